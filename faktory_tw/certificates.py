"""Certificates for TLS in development, made on the spot.

The directory holds

=================== ================================================================================================
``ca-key.pem``      the key of a certificate authority of this server's own
``ca.pem``          its certificate, ten years: what clients are told to trust
``server-key.pem``  the key of the server
``server.pem``      its certificate, 90 days; renewed at a start when fewer than 30 are left or a name is missing
=================== ================================================================================================

Somebody's own ``server.pem`` and ``server-key.pem`` are used as they are: a certificate that this authority has not
signed is checked and never replaced.

A key that exists is never written again; certificates are issued for the key that is there, each file in one rename.
So a crash at any moment leaves nothing that the next start does not put right, and two starts wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faktory_tw.config import ConfigError

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca-key.pem"
SERVER, SERVER_KEY = "server.pem", "server-key.pem"
AUTHORITY_DAYS = 3650
AUTHORITY_RENEWED_DAYS = 120  # before its end: longer than a certificate that it signs lives
SERVER_DAYS = 90
SERVER_RENEWED_DAYS = 30
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_EARLIER = timedelta(days=1)  # the clocks of clients may be behind
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NEW = ".new-"  # how a file begins that is being written

Key: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True)
class Material:
    """What a TLS endpoint shows to clients.

    ``chain`` begins with the server's certificate. ``authority`` is the file that clients have to trust; None when
    the certificate is somebody's own, so that they know best.
    """

    chain: tuple[x509.Certificate, ...]
    key: Key = field(repr=False)
    authority: Path | None


# -- what is in the directory ------------------------------------------------------------------------------------------


def material(directory: Path, hosts: Collection[str], now: datetime) -> Material:
    """Read the certificate in ``directory``, or make or renew it for these ``hosts`` (see :func:`hosts`).

    ``now`` has a time zone. Raises ConfigError when a file cannot be used, saying which and what to do.
    """
    with _alone_in(directory):
        chain = _read_chain(directory / SERVER)
        if not (directory / AUTHORITY_KEY).exists() and (chain or (directory / AUTHORITY).exists()):
            return _supplied(directory, chain, now)
        authority, authority_key = _authority(directory, now)
        if chain and not _issued_by(authority, chain[0]):
            return _supplied(directory, chain, now)
        key = _key(directory / SERVER_KEY)
        if not chain or not _serves(chain[0], key, hosts, now):
            chain = (_issue_server(key, hosts, authority, authority_key, now),)
            _write(directory / SERVER, chain[0].public_bytes(Encoding.PEM))
        return Material(chain, key, directory / AUTHORITY)


def _supplied(directory: Path, chain: tuple[x509.Certificate, ...], now: datetime) -> Material:
    """Somebody's own certificate: it is right or it is refused."""
    file, key_file = directory / SERVER, directory / SERVER_KEY
    if not chain:
        raise ConfigError(
            f"{directory} has {AUTHORITY} and neither {AUTHORITY_KEY} nor {SERVER}: give it {SERVER} and {SERVER_KEY}, "
            f"or remove {AUTHORITY} to have all of them made"
        )
    remedy = f"replace both, or remove {file} and {key_file} to have them made"
    key = _read_key(key_file)
    if key is None:
        raise ConfigError(f"{file} is there and its key {key_file} is not: add it, or remove {file} to have both made")
    if not _belong_together(chain[0], key):
        raise ConfigError(f"{key_file} is not the key of the certificate {file}: {remedy}")
    if chain[0].not_valid_after_utc <= now:
        raise ConfigError(f"the certificate {file} expired on {chain[0].not_valid_after_utc:%Y-%m-%d}: {remedy}")
    if chain[0].not_valid_before_utc > now:
        start = chain[0].not_valid_before_utc
        raise ConfigError(f"the certificate {file} is not valid before {start:%Y-%m-%d %H:%M} UTC: {remedy}")
    return Material(chain, key, None)


def _authority(directory: Path, now: datetime) -> tuple[x509.Certificate, Key]:
    """The authority of this directory, made or renewed if need be."""
    file, key_file = directory / AUTHORITY, directory / AUTHORITY_KEY
    key = _key(key_file)
    found = _read_chain(file)
    if found:
        if not _belong_together(found[0], key):
            raise ConfigError(
                f"{key_file} is not the key of {file}: put the right one back, or remove both to have new ones made"
            )
        if found[0].not_valid_after_utc - now > timedelta(days=AUTHORITY_RENEWED_DAYS):
            return found[0], key
        if found[0].subject != _authority_name(key):
            return _somebodys_authority(file, found[0], now), key
    certificate = _issue_authority(key, now)
    _write(file, certificate.public_bytes(Encoding.PEM))
    return certificate, key


def _somebodys_authority(file: Path, certificate: x509.Certificate, now: datetime) -> x509.Certificate:
    """One that was not made here is used to its end, and never replaced."""
    if certificate.not_valid_after_utc <= now:
        raise ConfigError(
            f"the certificate {file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: renew it, or remove it "
            f"and {AUTHORITY_KEY} to have new ones made"
        )
    return certificate


def _key(file: Path) -> Key:
    """The key in the file; a new one when there is none."""
    key = _read_key(file)
    if key is None:
        key = generate_private_key(SECP256R1())
        _write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def _issued_by(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _belong_together(certificate: x509.Certificate, key: Key) -> bool:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def _serves(certificate: x509.Certificate, key: Key, hosts: Collection[str], now: datetime) -> bool:
    """Whether the certificate is for this key and all these hosts, and for a while to come."""
    if not _belong_together(certificate, key) or certificate.not_valid_before_utc > now:
        return False
    if certificate.not_valid_after_utc - now < timedelta(days=SERVER_RENEWED_DAYS):
        return False
    return set(_alternative_names(hosts)) <= set(_names_of(certificate))


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):
        return []


# -- issuing -----------------------------------------------------------------------------------------------------------


def _issue_authority(key: Key, now: datetime) -> x509.Certificate:
    """A certificate that signs others. Its name depends on its key only: a renewed one takes the place of the old."""
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _authority_name(key)
    builder = _builder(name, name, key, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.add_extension(mark, critical=False).sign(key, _digest(key))


def _authority_name(key: Key) -> x509.Name:
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return _name(f"faktory_tw development CA {mark.digest.hex()[:8]}")


def _issue_server(
    key: Key, hosts: Collection[str], authority: x509.Certificate, authority_key: Key, now: datetime
) -> x509.Certificate:
    builder = _builder(_name("faktory_tw development server"), authority.subject, key, now, SERVER_DAYS)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(_alternative_names(hosts)), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False),
    ]
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(authority_key, _digest(authority_key))


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key: Key) -> SHA256 | None:
    return None if isinstance(key, Ed25519PrivateKey) else SHA256()


# -- names -------------------------------------------------------------------------------------------------------------


def hosts(bindings: Collection[str], host_name: str) -> tuple[str, ...]:
    """What the server is called: by the names of this machine, and by the hosts of its bindings.

    ``host_name`` is what the system says; when it can be no name in a certificate, it is left out.
    """
    found = dict.fromkeys(_ALWAYS)
    try:
        _alternative_name(host_name)
        found[host_name] = None
    except ValueError:
        pass
    for binding in bindings:
        host, _ = address(binding)
        if host and not _is_wildcard(host):
            found[host] = None
    return tuple(found)


def _is_wildcard(host: str) -> bool:
    address = _ip_address(host)
    return address is not None and address.is_unspecified


def _ip_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _alternative_names(hosts: Collection[str]) -> list[x509.GeneralName]:
    return [_alternative_name(host) for host in hosts]


def _alternative_name(host: str) -> x509.GeneralName:
    """Raises ValueError (UnicodeError is one) for what can be no name of a host."""
    address = _ip_address(host)
    if address is not None:
        return x509.IPAddress(address)
    name = host.encode("idna").decode("ascii").lower()
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"{host!r} is no name of a host")
    return x509.DNSName(name)


def address(binding: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an empty host is all interfaces. Raises ConfigError."""
    try:
        parts = urlsplit(f"//{binding}")
        host, port = parts.hostname or "", parts.port
        if host:
            _alternative_name(host)
    except ValueError:
        host, port = "", None
    if port is None or parts.netloc != binding or "@" in binding:
        raise ConfigError(f"{binding!r} is no address for TLS: give host:port, or :port for all interfaces")
    return host, port


# -- files -------------------------------------------------------------------------------------------------------------


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the directory, made if need be, against other starts; what these left half written goes."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"cannot use the directory {directory} for certificates: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in directory.glob(f"{_NEW}*"):
            _remove(left)
        yield
    finally:
        os.close(descriptor)


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError:
        pass  # it is in nobody's way


def _write(file: Path, data: bytes) -> None:
    """All of it or nothing, for nobody else to read."""
    try:
        descriptor, new = tempfile.mkstemp(prefix=_NEW, dir=file.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        os.replace(new, file)
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}: {error.strerror}; make {file.parent} writable, or name another configuration "
            f"directory with -c"
        ) from None


def _read(file: Path) -> bytes | None:
    """None when there is no such file."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; make it readable, or remove it") from None


def _read_chain(file: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a file; none when there is no such file."""
    data = _read(file)
    if data is None:
        return ()
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise ConfigError(f"{file} holds no certificate in PEM form: replace it, or remove it") from None


def _read_key(file: Path) -> Key | None:
    data = _read(file)
    if data is None:
        return None
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise ConfigError(f"the key {file} is encrypted: store it without a password, readable by you only") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{file} holds no private key in PEM form: replace it, or remove it") from None
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey):
        raise ConfigError(f"the key {file} is of a kind that is not supported: use EC, RSA or Ed25519")
    return key


# -- what to tell ------------------------------------------------------------------------------------------------------


def how_to_trust(material: Material) -> str:
    """What to tell at start: for which names the certificate is, until when, and how clients come to trust it."""
    certificate = material.chain[0]
    names = ", ".join(str(name.value) for name in _names_of(certificate)) or "no name"
    text = f"TLS for development: certificate for {names}, valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if material.authority is None:
        return text
    file = shlex.quote(str(material.authority))
    installed = "/usr/local/share/ca-certificates/faktory-tw.crt"
    return (
        f"{text}. Clients must trust {file}, by one of:\n"
        f"    all programs, on Debian: sudo install -m 644 {file} {installed} && sudo update-ca-certificates\n"
        f"    one program in Ruby, Go, Python, Rust: SSL_CERT_FILE={file}\n"
        f"    one program in Node: NODE_EXTRA_CA_CERTS={file}"
    )
