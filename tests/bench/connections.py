"""Many connections: what each costs in memory, and what it costs that many of them wait in FETCH.

    python -m tests.bench.connections [--connections 9990] [--fetching 2000] [--seconds 10]

Every connection greets as a worker of its own; then some of them fetch from empty queues all the time, which the server
answers every two seconds. Both ends need a file handle a connection: raise `ulimit -n` where that is less.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

from tests.system.server import Server

_TOGETHER = 200  # connections that greet at a time
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS = os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB


def processor_seconds(pid: int) -> float:
    """Return the processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def connect(port: int, count: int) -> list[socket.socket]:
    """Return so many greeted connections."""
    found: list[socket.socket] = []
    while len(found) < count:
        group = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(_TOGETHER, count - len(found)))]
        for number, sock in enumerate(group, len(found)):
            assert sock.recv(100).startswith(b"+HI")
            sock.sendall(b'HELLO {"v":2,"wid":"worker-%d"}\r\n' % number)
        for sock in group:
            assert sock.recv(100) == b"+OK\r\n"
        found += group
        sys.stderr.write(f"\r{len(found)} of {count} connected ")
    sys.stderr.write("\n")
    return found


def fetch(socks: list[socket.socket], seconds: float) -> int:
    """Fetch on all of these from empty queues until the time is over; return how many were answered."""
    answered, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for sock in socks:
            sock.sendall(b"FETCH a b c\r\n")
        for sock in socks:
            assert sock.recv(100) == b"$-1\r\n"
            answered += 1
    return answered


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=9990)
    parser.add_argument("--fetching", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory))
        try:
            port = server.start().port
            assert server.process is not None
            pid, began = server.process.pid, time.monotonic()
            before = resident_kib(pid)
            socks = connect(port, options.connections)
            print(f"connected and greeted       {len(socks):,} in {time.monotonic() - began:.1f} s")
            print(f"memory a connection         {(resident_kib(pid) - before) / len(socks):.1f} KiB")
            began, taken = time.monotonic(), processor_seconds(pid)
            answered = fetch(socks[: options.fetching], options.seconds)
            share = (processor_seconds(pid) - taken) / (time.monotonic() - began)
            print(f"{options.fetching:,} of them fetching        {share:.1%} of a processor, {answered:,} answered")
            for sock in socks:
                sock.close()
        finally:
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
