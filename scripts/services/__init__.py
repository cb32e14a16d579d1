"""PostgreSQL and Valkey from Python wheels, run by us: no root, no system packages, data in a folder of ours."""
