"""The host agent: runs on a host's machine, dials out to the marketplace, drives the container engine.

From the wire inwards: ``protocol`` is the schema, ``server`` one request, ``sync`` the conversation. ``tasks`` compares
what should be with what is (``decide``, pure), carries it out (``steps``), one worker a task (``reconciler``), and
keeps what must outlive a crash (``memory``). ``engine`` hides Docker; ``guest`` is what goes into a container;
``inventory`` describes the machine, really or simulated; ``firewall`` and ``usage`` keep guests within bounds.
``host_agent`` puts one machine together, ``process`` what a process needs once; ``__main__`` runs one machine,
``fleet`` many.
"""

__version__ = "0.1.0"
