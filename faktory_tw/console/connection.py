"""A connection to a server: one command, one reply, and errors in words.

It speaks plain TCP and TLS. A server's certificate is checked against the system's authorities (OpenSSL's variable
SSL_CERT_FILE replaces these) and those of ``ca_file``, and must be made out for the host in the URL.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from faktory_tw.challenge import password_hash
from faktory_tw.console.address import Address
from faktory_tw.console.errors import ConsoleError

CONNECT_SECONDS = 15.0
REPLY_SECONDS = 60.0
FOREVER = float("inf")
_MEANWHILE_SECONDS = 0.25
_MOST_ITERATIONS = 10_000_000
_NO_ADMIN = "Unknown command ADMIN"


class Refused(ConsoleError):
    """The server answered with an error; ``reason`` is what it said, without ``ERR``."""

    def __init__(self, address: Address, answer: str) -> None:
        self.reason = answer.removeprefix("-").removeprefix("ERR").strip()
        hint = ""
        if self.reason.startswith(_NO_ADMIN):
            hint = "; it is no faktory_tw, or an older one, and cannot be asked this"
        elif self.reason == "Invalid password":
            hint = f"; the URL has {'another' if address.password else 'no'} password"
        super().__init__(f"the server at {address} answers {answer!r}{hint}")

    @property
    def unknown(self) -> bool:
        """Whether the server does not know the extension ADMIN at all."""
        return self.reason.startswith(_NO_ADMIN)


class Connection:
    """A greeted connection. Raises ConsoleError when there can be none, and in every method when it is lost."""

    def __init__(self, address: Address, ca_file: str | None = None) -> None:
        self.address = address
        self._buffer = b""
        self._socket = self._open(ca_file)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    # -- the handshake -------------------------------------------------------------------------------------------

    def _open(self, ca_file: str | None) -> socket.socket:
        address = self.address
        plain: socket.socket | None = None
        try:
            plain = socket.create_connection((address.host, address.port), timeout=CONNECT_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if not address.tls:
                return plain
            return tls_context(ca_file).wrap_socket(plain, server_hostname=address.host)
        except ssl.SSLCertVerificationError as error:
            problem = f"{error.verify_message}; --ca-file names the file of an authority to trust"
        except ssl.SSLError as error:
            problem = f"{error.reason or error}; is there a TLS server?"
        except UnicodeError:
            problem = "that is no name of a machine"
        except OSError as error:
            problem = error.strerror or str(error)
        if plain is not None:
            plain.close()
        raise ConsoleError(f"cannot connect to {address}: {problem}")

    def _greet(self) -> None:
        self._socket.settimeout(CONNECT_SECONDS)
        greeting = self._handshake_line()
        try:
            if not greeting.startswith("+HI "):
                raise ValueError
            hi = json.loads(greeting[4:])
            salt, iterations = hi.get("s"), int(hi.get("i", 1))
            if iterations > _MOST_ITERATIONS:
                raise ValueError
        except (ValueError, AttributeError, TypeError):
            if greeting.startswith("-"):
                raise Refused(self.address, greeting) from None
            raise ConsoleError(f"no Faktory server at {self.address}: it says {greeting[:200]!r}") from None
        hello: dict[str, Any] = {"v": 2, "hostname": socket.gethostname(), "pid": os.getpid(), "labels": ["faktory-tw"]}
        if self.address.username:
            hello["username"] = self.address.username
        if salt is not None:
            hello["pwdhash"] = password_hash(self.address.password or "", str(salt), iterations)
        self._send(f"HELLO {json.dumps(hello)}".encode())
        answer = self._handshake_line()
        if answer != "+OK":
            raise Refused(self.address, answer)
        self._socket.settimeout(REPLY_SECONDS)

    def _handshake_line(self) -> str:
        try:
            return self._line(time.monotonic() + CONNECT_SECONDS, None).decode("utf-8", "replace")
        except ConsoleError as error:
            hint = "" if self.address.tls else "; if it expects TLS, use tcp+tls:// in the URL"
            raise ConsoleError(f"{error} during the handshake{hint}") from None

    # -- commands ------------------------------------------------------------------------------------------------

    def command(
        self, line: bytes, seconds: float = REPLY_SECONDS, meanwhile: Callable[[], None] | None = None
    ) -> bytes | None:
        """The reply to one line: text or body, None for a null one. Raises Refused for an error reply.

        ``meanwhile`` is called several times a second while the server works, for up to ``seconds``.
        """
        self._send(line)
        deadline = time.monotonic() + seconds
        reply = self._line(deadline, meanwhile)
        if reply[:1] == b"-":
            raise Refused(self.address, reply.decode("utf-8", "replace"))
        if reply[:1] == b"$":
            length = int(reply[1:])
            if length < 0:
                return None
            return self._exactly(length + 2, deadline, meanwhile)[:-2]
        return reply[1:]

    def ask(self, line: str, argument: object = None, **options: Any) -> Any:
        """The decoded JSON of a bulk reply, or the text of a simple one. ``argument`` is added to the line as JSON."""
        text = line if argument is None else f"{line} {json.dumps(argument)}"
        reply = self.command(text.encode("utf-8", "surrogateescape"), **options)
        if reply is None or reply[:1] not in b"{[":
            return None if reply is None else reply.decode("utf-8", "replace")
        try:
            return msgspec.json.decode(reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConsoleError(f"the server at {self.address} answers what is no JSON: {error}") from None

    def ask_if_known(self, line: str, argument: object = None) -> Any:
        """As :meth:`ask`, but None when the server refuses, for instance because it does not know the extension."""
        try:
            return self.ask(line, argument)
        except Refused:
            return None

    # -- bytes ---------------------------------------------------------------------------------------------------

    def _send(self, line: bytes) -> None:
        try:
            self._socket.sendall(line + b"\r\n")
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> ConsoleError:
        if isinstance(error, TimeoutError):
            return ConsoleError(f"the server at {self.address} does not answer")
        return ConsoleError(f"the connection to {self.address} was lost: {error.strerror or error}")

    def _line(self, deadline: float, meanwhile: Callable[[], None] | None) -> bytes:
        while b"\n" not in self._buffer:
            self._more(deadline, meanwhile)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def _exactly(self, length: int, deadline: float, meanwhile: Callable[[], None] | None) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < length:
            self._buffer = b""
            self._more(deadline, meanwhile)
            parts.append(self._buffer)
            have += len(self._buffer)
        data = b"".join(parts)
        self._buffer = data[length:]
        return data[:length]

    def _more(self, deadline: float, meanwhile: Callable[[], None] | None) -> None:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._lost(TimeoutError())
            self._socket.settimeout(min(left, REPLY_SECONDS if meanwhile is None else _MEANWHILE_SECONDS))
            try:
                data = self._socket.recv(262_144)
            except TimeoutError:
                if meanwhile is not None:
                    meanwhile()
                continue
            except OSError as error:
                raise self._lost(error) from None
            if not data:
                raise ConsoleError(f"the server at {self.address} closed the connection")
            self._buffer += data
            return


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """What a server's certificate is checked with. Raises ConsoleError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # an SSLError is one, too
            reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConsoleError(f"cannot read the certificates in {ca_file}: {reason}") from None
    return context
