"""The long run: an hour of mixed load with steady sampling; see `__main__.py`."""
