"""The demo installation's accounts and its simulated market. All but the past of its machines goes through the services."""
