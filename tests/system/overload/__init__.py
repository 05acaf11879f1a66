"""Overload: far more clients, jobs or queues at once than a server has on an ordinary day; see __main__.py."""
