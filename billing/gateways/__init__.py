"""The only importers of what speaks the protocols of payment providers."""
