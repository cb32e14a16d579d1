"""What the agent puts into a guest's container."""
