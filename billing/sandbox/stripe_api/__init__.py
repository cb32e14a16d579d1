"""Stripe's API, as far as a site that sells credit and pays its hosts calls it."""
