"""A payment provider on this machine: it speaks the real providers' HTTP APIs, keeps state, and moves no money.

It is what the site talks to in the demo and in tests, with nothing but the base address changed. It knows nothing of
the site and imports nothing of it. Everything is kept in one SQLite file, so a restart forgets nothing.
"""
