"""Prometheus: ``metrics`` is the table of all, the others fill it, ``server`` serves it."""
