"""What the server asks to be done once: noted before it begins, told until the server knows, never done twice."""
