"""Tests that start the real server as a process and talk to it over loopback sockets, and nothing else."""
