"""The only writers: one function per business action."""
