"""Tests of the web UI, without a network."""
