"""What the machine is made of: really, or simulated behind the same interface."""
