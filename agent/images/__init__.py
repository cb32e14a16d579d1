"""Images that the agent has fetched: which they are (``fetched``), which of them go when the disk gets full (``rule``,
pure), and who does that (``janitor``). Whatever else lies on the machine is its owner's, or a client's disk."""
