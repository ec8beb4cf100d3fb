"""Certificates by which hosts know each other when one opens what another one exports.

Each host has an authority of its own, whose key never leaves it, and which can speak for that host alone: it
is bound to the host's address (RFC 5280, name constraints), and whoever takes it looks whether it is. So a
host that was broken into can't show itself as another one. QEMU wants an authority and a certificate, as
files in a folder (https://www.qemu.org/docs/master/system/tls.html). It uses its own only where their
authority is among those that it knows, and reads sixteen authorities at most.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.core.files import write_atomically

_FROM, _UNTIL = dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
"""Good as long as the host has its folder, whatever the clocks of two hosts say."""
_AUTHORITY, _AUTHORITY_KEY = "authority.pem", "authority-key.pem"


class NotBound(ValueError):
    """An authority that could speak for other hosts than the one that it is said to be of."""


class Authority:
    """The authority of this host, made where there is none. ``address``: the host's; ``name``: its name."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._folder = folder
        self._open()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._certificate = x509.load_pem_x509_certificate((self._folder / _AUTHORITY).read_bytes())
            key = serialization.load_pem_private_key((self._folder / _AUTHORITY_KEY).read_bytes(), None)
            must_be_bound(self.certificate, self.address)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._key = key
        except (OSError, ValueError):
            self._make()

    def _make(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {self.name}"[:64])])
        self._certificate = (
            _builder(name, name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(_bound_to(self.address), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        write_atomically(self._folder / _AUTHORITY_KEY, _private(self._key), 0o600)
        write_atomically(self._folder / _AUTHORITY, self.certificate.encode(), 0o644)

    @property
    def certificate(self) -> str:
        """The authority as text, for other hosts."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_files(self, peer: str) -> dict[str, bytes]:
        """The files of a folder by which a server shows itself, and lets in whom ``peer`` has signed."""
        return self._files("server", ExtendedKeyUsageOID.SERVER_AUTH, peer)

    def client_files(self, peers: str) -> dict[str, bytes]:
        """The files of a folder by which a client shows itself, and takes servers that ``peers`` signed."""
        return self._files("client", ExtendedKeyUsageOID.CLIENT_AUTH, peers)

    def _files(self, role: str, purpose: x509.ObjectIdentifier, peers: str) -> dict[str, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name[:64])])
        address = x509.IPAddress(ipaddress.ip_address(self.address))
        certificate = (
            _builder(subject, self._certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return {
            "ca-cert.pem": (peers + self.certificate).encode(),
            f"{role}-cert.pem": certificate.public_bytes(serialization.Encoding.PEM),
            f"{role}-key.pem": _private(key),
        }


def must_be_bound(certificate: str, address: str) -> None:
    """Raise NotBound for the authority of a host that says that it has this address, and could speak for
    others, too; ValueError for what is none."""
    read = x509.load_pem_x509_certificate(certificate.encode())
    try:
        constraints = read.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        raise NotBound("the other host's authority is bound to no address") from None
    if not constraints.critical or constraints.value != _bound_to(address):
        raise NotBound(f"the other host's authority is not bound to {address}")


def put_files(folder: Path, files: dict[str, bytes], owner: tuple[int, int] | None) -> None:
    """Write a folder of credentials that its owner alone can read, beside us."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        write_atomically(path, content, 0o400, durable=False)
        if owner is not None and os.geteuid() == 0:
            os.chown(path, *owner, follow_symlinks=False)
    if owner is not None and os.geteuid() == 0:
        os.chown(folder, 0, owner[1], follow_symlinks=False)
        folder.chmod(0o750)


def _bound_to(address: str) -> x509.NameConstraints:
    network = ipaddress.ip_network(address)
    return x509.NameConstraints(permitted_subtrees=[x509.IPAddress(network)], excluded_subtrees=None)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
