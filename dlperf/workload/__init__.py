"""The benchmark program: it runs in a container on a host's machine and needs nothing but torch (2.3 or later).

It imports nothing of the project, so that this folder can be shipped alone. ``dlperf/domain/command.py`` says how it is
called, ``dlperf/domain/result.py`` what it prints.
"""

WORKLOAD_VERSION = 1
"""Rises when sizes or models change so that throughputs don't compare with earlier ones."""
