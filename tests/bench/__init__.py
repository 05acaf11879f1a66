"""Programs that measure. They are run by hand (`python -m tests.bench.million`) and print tables."""
