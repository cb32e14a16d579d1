"""Many simulated agents and clients in one process, against a real server: for development, load tests and demos."""
