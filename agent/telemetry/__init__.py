"""Measures how the machine, its GPUs and its containers are doing, and tells the server."""
