"""Data of simulated machines."""
