"""What the greeting asks of clients when there is a password, and what they answer in HELLO."""

from __future__ import annotations

import hashlib
import secrets
from functools import cached_property

_FEWEST_ITERATIONS = 4000
_ITERATIONS = 4096


def password_hash(password: str, salt: str, iterations: int) -> str:
    """What a client answers to a greeting with ``s`` and ``i``: SHA-256 of password and salt, hashed again and again."""
    digest = hashlib.sha256((password + salt).encode()).digest()
    for _ in range(iterations - 1):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


class Challenge:
    """A salt and a number of iterations, new at random, and the answer to them."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.salt = f"{secrets.randbits(63):x}"
        self.iterations = _FEWEST_ITERATIONS + secrets.randbelow(_ITERATIONS)

    @cached_property
    def expected(self) -> str:
        """The hash that a client with the right password sends."""
        return password_hash(self._password, self.salt, self.iterations)
