"""Pages of the administration that are about no single table."""
