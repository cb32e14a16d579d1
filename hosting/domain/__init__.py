"""Pure decisions: no Django, no I/O, no clock; `now` is an argument."""
