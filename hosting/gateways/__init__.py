"""The only users of Redis in this app."""
