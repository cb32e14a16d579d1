"""Looking into the disk of a container that does not run, without running anything of what is on it.

A helper process of the agent's own mounts the disk where nobody else sees it, locks itself in there, gives up every
right but those over files, and does one simple command. No program of the disk's is executed, no link on it leads out.
"""
