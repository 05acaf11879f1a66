"""The certificates for TLS in development: what is made, what is renewed, what is refused, and what is left alone."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faktory_tw import certificates
from faktory_tw.config import ConfigError

NOW = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
HOSTS = certificates.hosts([], "box")
FILES = ("ca-key.pem", "ca.pem", "server-key.pem", "server.pem")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the certificates will be; it does not exist yet."""
    return tmp_path / "config" / "tls"


def made(directory: Path, now: datetime = NOW, hosts: tuple[str, ...] = HOSTS) -> certificates.Material:
    return certificates.material(directory, hosts, now)


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def names(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in extension]


def somebodys_own(tmp_path: Path, directory: Path, *, now: datetime = NOW) -> certificates.Material:
    """Put a pair that another authority has signed into the directory."""
    material = made(tmp_path / "elsewhere", now)
    directory.mkdir(parents=True)
    for name in ("server.pem", "server-key.pem"):
        (directory / name).write_bytes((tmp_path / "elsewhere" / name).read_bytes())
    return material


def assert_usable(directory: Path, material: certificates.Material) -> None:
    """The files are complete, belong together, and are what the server shows."""
    assert sorted(contents(directory)) == sorted(FILES)
    assert x509.load_pem_x509_certificates((directory / "server.pem").read_bytes()) == list(material.chain)
    assert pem(material.key) == (directory / "server-key.pem").read_bytes()
    assert material.chain[0].public_key() == material.key.public_key()
    material.chain[0].verify_directly_issued_by(x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes()))


def pem(key: certificates.Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def foreign_authority(directory: Path, key: certificates.Key, *, days: int) -> x509.Certificate:
    """Put an authority into the directory that was made by some other program."""
    directory.mkdir(parents=True)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a company's own")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 7, NOW - timedelta(days=1), NOW + timedelta(days=days)
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    authority = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256())
    (directory / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    (directory / "ca-key.pem").write_bytes(pem(key))
    return authority


# -- what is made ------------------------------------------------------------------------------------------------------


def test_the_first_start_makes_an_authority_and_a_certificate_that_it_signed(directory: Path) -> None:
    material = made(directory)
    assert sorted(contents(directory)) == sorted(FILES)
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    material.chain[0].verify_directly_issued_by(authority)
    assert material.authority == directory / "ca.pem"
    assert isinstance(material.key, ec.EllipticCurvePrivateKey)
    assert material.key.curve.name == "secp256r1"


def test_the_files_are_for_nobody_else_to_read(directory: Path) -> None:
    old = os.umask(0)
    try:
        made(directory)
    finally:
        os.umask(old)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {(directory / name).stat().st_mode & 0o777 for name in FILES} == {0o600}


def test_the_server_is_valid_for_90_days_and_the_authority_for_ten_years(directory: Path) -> None:
    server = made(directory).chain[0]
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    assert server.not_valid_after_utc == NOW + timedelta(days=90)
    assert authority.not_valid_after_utc == NOW + timedelta(days=3650)
    assert max(server.not_valid_before_utc, authority.not_valid_before_utc) < NOW


def test_the_authority_may_sign_servers_only_and_the_server_nothing(directory: Path) -> None:
    server = made(directory).chain[0]
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_key_is_not_shown_when_the_material_is_printed(directory: Path) -> None:
    assert "key" not in repr(made(directory)).lower().replace(str(directory).lower(), "")


# -- names -------------------------------------------------------------------------------------------------------------


def test_the_certificate_names_this_machine_and_the_hosts_of_the_bindings(directory: Path) -> None:
    hosts = certificates.hosts(["jobs.example.com:7443", "[2001:db8::1]:7443", "192.0.2.7:1", "localhost:2"], "Box")
    expected = ["localhost", "127.0.0.1", "::1", "box", "jobs.example.com", "2001:db8::1", "192.0.2.7"]
    assert names(made(directory, hosts=hosts).chain[0]) == expected


@pytest.mark.parametrize("binding", [":7443", "0.0.0.0:7443", "[::]:7443"])
def test_all_interfaces_are_no_name(binding: str) -> None:
    assert certificates.hosts([binding], "box") == ("localhost", "127.0.0.1", "::1", "box")


def test_a_host_name_in_another_script_is_written_as_the_names_of_hosts_are(directory: Path) -> None:
    assert "xn--bro-hoa" in names(made(directory, hosts=certificates.hosts([], "büro")).chain[0])


@pytest.mark.parametrize("host_name", ["", "a..b", "x" * 64, "."])
def test_a_host_name_that_no_certificate_can_have_is_left_out(directory: Path, host_name: str) -> None:
    assert names(made(directory, hosts=certificates.hosts([], host_name)).chain[0]) == ["localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "binding",
    [
        "",
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:65536",
        "unix:/run/x",
        "a b:1",
        "u@h:1",
        "h:1/x",
        "[::1:2",
    ],
)
def test_what_is_no_address_is_refused(binding: str) -> None:
    with pytest.raises(ConfigError, match="is no address for TLS: give host:port, or :port for all interfaces"):
        certificates.hosts([binding], "box")


# -- what is kept and what is renewed ----------------------------------------------------------------------------------


def test_a_second_start_uses_what_the_first_one_made(directory: Path) -> None:
    made(directory)
    before = contents(directory)
    made(directory, NOW + timedelta(days=60))
    assert contents(directory) == before


def test_a_certificate_is_renewed_when_fewer_than_30_days_are_left(directory: Path) -> None:
    first = made(directory)
    before = contents(directory)
    later = NOW + timedelta(days=60, seconds=1)
    second = made(directory, later)
    assert second.chain[0].not_valid_after_utc == later + timedelta(days=90)
    assert second.chain[0].public_key() == first.chain[0].public_key()
    after = contents(directory)
    assert {name for name in FILES if before[name] != after[name]} == {"server.pem"}


def test_a_certificate_is_renewed_when_a_name_is_missing(directory: Path) -> None:
    made(directory)
    material = made(directory, hosts=certificates.hosts(["new.example:1"], "box"))
    assert "new.example" in names(material.chain[0])


def test_a_certificate_with_more_names_than_needed_stays(directory: Path) -> None:
    first = made(directory, hosts=certificates.hosts(["old.example:1"], "box"))
    assert made(directory).chain == first.chain


def test_a_certificate_of_a_clock_that_was_ahead_is_made_anew(directory: Path) -> None:
    made(directory, NOW + timedelta(days=700))
    assert made(directory).chain[0].not_valid_before_utc < NOW


def test_an_old_authority_is_renewed_and_who_trusts_the_old_one_trusts_the_new_certificates(directory: Path) -> None:
    made(directory)
    old = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    material = made(directory, NOW + timedelta(days=3650 - 100))
    new = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    assert new.not_valid_after_utc > old.not_valid_after_utc
    material.chain[0].verify_directly_issued_by(old)
    material.chain[0].verify_directly_issued_by(new)


@pytest.mark.parametrize("name", ["ca.pem", "server-key.pem", "server.pem"])
def test_a_file_that_is_gone_is_made_again(directory: Path, name: str) -> None:
    made(directory)
    before = contents(directory)
    (directory / name).unlink()
    material = made(directory)
    after = contents(directory)
    assert after["ca-key.pem"] == before["ca-key.pem"]
    assert_usable(directory, material)


def test_a_start_after_a_crash_at_any_write_finds_or_makes_a_pair(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four files are written; a crash before each rename leaves the file under its temporary name."""
    replace = os.replace
    for crash_at in range(len(FILES)):
        target = directory / str(crash_at)
        done = 0

        def crash(source: str, destination: Path, crash_at: int = crash_at) -> None:
            nonlocal done
            if done == crash_at:
                raise KeyboardInterrupt
            done += 1
            replace(source, destination)

        monkeypatch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            made(target)
        monkeypatch.setattr(os, "replace", replace)
        assert len(contents(target)) == crash_at + 1
        assert_usable(target, made(target))


def test_a_key_is_never_written_again(directory: Path) -> None:
    directory.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP384R1())
    (directory / "server-key.pem").write_bytes(pem(key))
    assert made(directory).chain[0].public_key() == key.public_key()
    assert (directory / "server-key.pem").read_bytes() == pem(key)


def test_many_starts_at_once_agree(directory: Path) -> None:
    barrier = threading.Barrier(8)
    results: list[certificates.Material] = []

    def start() -> None:
        barrier.wait()
        results.append(made(directory))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({material.chain for material in results}) == 1
    assert len(results) == 8
    assert_usable(directory, results[0])


# -- somebody's own ----------------------------------------------------------------------------------------------------


def test_somebodys_own_pair_is_used_as_it_is_and_no_authority_is_made(tmp_path: Path, directory: Path) -> None:
    own = somebodys_own(tmp_path, directory)
    material = made(directory, NOW + timedelta(days=80), certificates.hosts(["other.example:1"], "box"))
    assert material.chain == own.chain
    assert material.authority is None
    assert sorted(contents(directory)) == ["server-key.pem", "server.pem"]


def test_somebodys_own_pair_is_used_beside_an_authority_that_did_not_sign_it(tmp_path: Path, directory: Path) -> None:
    own = somebodys_own(tmp_path, directory)
    made(tmp_path / "third")
    for name in ("ca.pem", "ca-key.pem"):
        (directory / name).write_bytes((tmp_path / "third" / name).read_bytes())
    before = contents(directory)
    material = made(directory, NOW + timedelta(days=80))
    assert (material.chain, material.authority) == (own.chain, None)
    assert contents(directory) == before


def test_certificates_between_the_server_and_its_authority_are_shown_too(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory)
    with (directory / "server.pem").open("ab") as file:
        file.write((tmp_path / "elsewhere" / "ca.pem").read_bytes())
    assert len(made(directory).chain) == 2


def test_an_own_pair_with_the_wrong_key_is_refused(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory)
    (directory / "server-key.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    before = contents(directory)
    with pytest.raises(
        ConfigError, match=r"server-key.pem is not the key of the certificate .*server.pem: replace both"
    ):
        made(directory)
    assert contents(directory) == before


def test_an_own_certificate_without_its_key_is_refused(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory)
    (directory / "server-key.pem").unlink()
    with pytest.raises(ConfigError, match=r"its key .*server-key.pem is not: add it, or remove .*server.pem to have"):
        made(directory)


def test_an_own_certificate_that_has_expired_is_refused(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory)
    with pytest.raises(ConfigError, match=r"server.pem expired on 2030-04-01: replace both, or remove"):
        made(directory, NOW + timedelta(days=90))


def test_an_own_certificate_of_the_future_is_refused(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory, now=NOW + timedelta(days=10))
    with pytest.raises(ConfigError, match=r"server.pem is not valid before 2030-01-10 12:00 UTC: replace both"):
        made(directory)


def test_an_authority_without_its_key_is_refused_when_it_would_have_to_sign(directory: Path) -> None:
    made(directory)
    for name in ("ca-key.pem", "server.pem", "server-key.pem"):
        (directory / name).unlink()
    with pytest.raises(ConfigError, match=r"has ca.pem and neither ca-key.pem nor server.pem: give it server.pem"):
        made(directory)


def test_an_authority_with_the_wrong_key_is_refused(directory: Path) -> None:
    made(directory)
    (directory / "ca-key.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ConfigError, match=r"ca-key.pem is not the key of .*ca.pem: put the right one back, or remove"):
        made(directory)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()], ids=["RSA", "Ed25519"]
)
def test_somebodys_authority_signs_and_is_never_replaced(directory: Path, key: certificates.Key) -> None:
    authority = foreign_authority(directory, key, days=20)
    material = made(directory)
    material.chain[0].verify_directly_issued_by(authority)
    assert x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes()) == authority
    with pytest.raises(ConfigError, match=r"ca.pem expired on 2030-01-21: renew it, or remove it and ca-key.pem"):
        made(directory, NOW + timedelta(days=20))


# -- what cannot be read or written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_pem_is_refused_and_kept(directory: Path, name: str) -> None:
    made(directory)
    (directory / name).write_text("nonsense")
    kind = "private key" if "key" in name else "certificate"
    with pytest.raises(ConfigError, match=f"{name} holds no {kind} in PEM form: replace it, or remove it"):
        made(directory)
    assert (directory / name).read_text() == "nonsense"


def test_an_encrypted_key_is_refused(tmp_path: Path, directory: Path) -> None:
    own = somebodys_own(tmp_path, directory)
    encrypted = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (directory / "server-key.pem").write_bytes(encrypted)
    with pytest.raises(ConfigError, match=r"server-key.pem is encrypted: store it without a password"):
        made(directory)


def test_a_key_of_another_kind_is_refused(directory: Path) -> None:
    directory.mkdir(parents=True)
    key = dsa.generate_private_key(2048)
    (directory / "server-key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigError, match=r"of a kind that is not supported: use EC, RSA or Ed25519"):
        made(directory)


def test_a_file_that_cannot_be_read_is_named(directory: Path) -> None:
    (directory / "server.pem").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read .*server.pem: Is a directory; make it readable, or remove it"):
        made(directory)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot use the directory .*file/tls for certificates: Not a directory"):
        made(tmp_path / "file" / "tls")


def test_a_write_that_fails_says_what_to_do(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot write .*ca-key.pem: No space left on device; make .* writable, or"):
        made(directory)


# -- what to tell ------------------------------------------------------------------------------------------------------


def test_how_to_trust_names_the_file_for_each_kind_of_client(tmp_path: Path) -> None:
    directory = tmp_path / "my config"
    text = certificates.how_to_trust(made(directory))
    file = f"'{directory / 'ca.pem'}'"
    assert f"sudo install -m 644 {file} /usr/local/share/ca-certificates/faktory-tw.crt && sudo update-ca-cert" in text
    assert f"SSL_CERT_FILE={file}\n" in text
    assert f"NODE_EXTRA_CA_CERTS={file}" in text
    assert "localhost, 127.0.0.1, ::1, box, valid until 2030-04-01" in text


def test_of_somebodys_own_certificate_only_the_names_and_the_end_are_told(tmp_path: Path, directory: Path) -> None:
    somebodys_own(tmp_path, directory)
    text = certificates.how_to_trust(made(directory))
    assert text.endswith("certificate for localhost, 127.0.0.1, ::1, box, valid until 2030-04-01")
