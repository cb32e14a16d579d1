"""The tasks of this machine: what should be, what is, and the steps from one to the other."""
