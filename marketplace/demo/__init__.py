"""The demo installation's accounts and its simulated market. All but its machines' past goes through the services."""
