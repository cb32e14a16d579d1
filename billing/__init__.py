"""Money: ledger, meters and credit. Knows accounts and references, never machines or containers."""
