"""Measurements against a floor taken in the same run; `make bench-*`. Not part of the tests."""
