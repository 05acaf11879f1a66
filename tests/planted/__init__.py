"""Faults that are planted into a copy of the package, by area, and what plants them: ``python -m tests.planted_faults``."""
