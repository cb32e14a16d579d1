"""Sets a machine up as a host, and takes everything away again.

``install.sh`` of the marketplace fetches the agent's bundle, checks it and runs ``python3 -m agent.installer`` out of
it, with whatever Python 3.8 or newer the system has and nothing else: modules here import the standard library and
each other only. ``checks`` look at the machine, ``steps`` change it, ``manifest`` remembers what was there before,
``removal`` restores that. ``launch`` is the small program that systemd starts; it decides which version runs.
"""
