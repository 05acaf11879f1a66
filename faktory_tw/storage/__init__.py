"""Keeping what was acknowledged: the interface in ``store``, its SQLite engine beside it."""
