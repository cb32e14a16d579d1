"""The machine's way to the relay: one ssh, kept up, with a reverse forward for each port that is reached through it."""
