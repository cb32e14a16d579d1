"""The host agent: runs on a host's machine, dials out to the marketplace, drives the container engine.

From the wire inwards: ``protocol`` is the schema, ``server`` one request, ``sync`` the conversation. ``tasks`` compares
what should be with what is (``decide``, pure), carries it out (``steps``), one worker a task (``reconciler``), and
keeps what must outlive a crash (``memory``). ``engine`` hides Docker; ``guest`` is what goes into a container;
``inventory`` describes the machine, really or simulated; ``firewall`` and ``usage`` keep guests within bounds.
``upkeep`` is what the agent does for itself: its status, its watchdog, its own replacement. ``installer`` sets a
machine up and needs nothing but an old Python. ``host_agent`` puts one machine together, ``process`` what a process
needs once; ``__main__`` runs one machine, ``fleet`` many.
"""

from pathlib import Path

_BUILD = Path(__file__).with_name("build.txt")
"""Only in bundles that a marketplace has made: release and content, as in 0.1.0+3f2a91c0."""
RELEASE = "0.1.0"
__version__ = _BUILD.read_text().strip() if _BUILD.exists() else RELEASE
