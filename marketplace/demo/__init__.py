"""The demo installation's accounts and its simulated market. Everything goes through the real services."""
