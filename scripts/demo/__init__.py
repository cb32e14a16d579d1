"""`make demo`: the whole marketplace on one machine, supervised from the first process to the last."""
