"""Fuzzing of everything that reads bytes from outside.

A *target* is a function that takes bytes, plays them to real code without sockets, and raises when an invariant is
broken. They are listed in ``targets/__init__.py``. Two drivers run them: ``test_targets.py``, hypothesis with the grammars
of ``grammar.py``, small and the same in every run; and ``python -m tests.fuzz``, coverage-guided by atheris, for hours if
you like. The corpus in ``tests/data/fuzz`` is what both begin with, and a plain test replays it.

HTTP has a program of its own, ``python -m tests.fuzz.http``: the site has an inventory, every route is asked with
something wrong in each part of the request, and a test fails when a route is added that nothing knows.
"""
