"""The host agent: runs on a host's machine, dials out to the marketplace, drives the container engine."""

__version__ = "0.1.0"
