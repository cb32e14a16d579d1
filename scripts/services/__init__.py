"""PostgreSQL and Valkey from Python wheels, run by us: no root needed, no system packages, data in var/."""
