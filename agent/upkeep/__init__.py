"""What the agent does for itself: tells how it is, proves to systemd that it lives, and replaces itself by what the
marketplace offers (``updater``; ``agent.installer.launch`` decides what is started)."""
