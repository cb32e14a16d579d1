"""Hosts: machines, GPUs, listings, tasks and the agents that run them."""
