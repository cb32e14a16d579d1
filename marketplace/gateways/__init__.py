"""The only importers of third-party protocol libraries."""
