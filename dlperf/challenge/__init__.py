"""The challenge: a computation whose answer is the same, bit for bit, on all honest hardware.

``plan`` says what is computed. ``prove`` and ``serve`` are the program that machines run, ``ask`` how it is spoken
with; they need torch and nothing else. ``answers``, ``recompute`` and ``verify`` are the server's check of that.
"""

CHALLENGE_VERSION = 2
