"""The challenge: a computation whose answer is the same, bit for bit, on all honest hardware.

Nothing here but ``prove`` needs torch, and nothing needs more than that: the same files make the program that machines
run (``python -m dlperf.challenge``) and the server's check of what it prints.
"""

CHALLENGE_VERSION = 1
