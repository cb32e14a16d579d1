"""The commands of the checkout: embedded servers, engine, demo supervisor."""
