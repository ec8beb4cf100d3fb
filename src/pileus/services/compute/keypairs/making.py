"""Making keys and certificates, and their fingerprints."""

from __future__ import annotations

import asyncio
import binascii
import datetime as dt
import hashlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.core.errors import TooMany
from pileus.services.compute.errors import BadRequest

P = ParamSpec("P")
T = TypeVar("T")

SSH, X509 = "ssh", "x509"


class TooManyKeys(TooMany):
    """Making a key keeps a processor busy for a good part of a second (429)."""

    message = "Too many key pairs are being made. Try again later, or bring a public key of your own."
    retry_after_s = 5


class KeyMaker:
    """Makes keys in a thread of its own, one after another, so that they hold up nothing else.

    ``most`` may wait, ``most_of_one`` of one user; a client that is gone waits no more.
    """

    def __init__(self, most: int = 32, most_of_one: int = 4) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._waiting: Counter[str] = Counter()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="keypair")

    async def make(self, user_id: str, function: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run ``function`` in the thread; TooManyKeys where too many wait."""
        if self._waiting.total() >= self._most or self._waiting[user_id] >= self._most_of_one:
            raise TooManyKeys
        self._waiting[user_id] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, lambda: function(*args, **keywords))
        finally:
            self._waiting[user_id] -= 1
            self._waiting += Counter()  # forgets those at zero


class BadKeypair(BadRequest):
    message = "Keypair data is invalid: {reason}"


def fingerprint(public_key: str, kind: str) -> str:
    """MD5 of an ssh key's bytes, or SHA-1 of a certificate, with colons; BadKeypair for neither."""
    if kind == X509:
        try:
            certificate = x509.load_pem_x509_certificate(public_key.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise BadKeypair(reason="failed to generate X509 fingerprint") from None
        return certificate.fingerprint(hashes.SHA1()).hex(":")  # noqa: S303 - the API's form, no secret
    try:
        serialization.load_ssh_public_key(public_key.encode())
        data = b64decode(public_key.split(maxsplit=2)[1], validate=False)
    except (ValueError, UnsupportedAlgorithm, IndexError, binascii.Error):
        raise BadKeypair(reason="failed to generate fingerprint") from None
    return hashlib.md5(data, usedforsecurity=False).digest().hex(":")


def generate_ssh() -> tuple[str, str]:
    """A new RSA key: the private one as PEM, the public one as a line of authorized_keys. Takes a while."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode() + " Generated-by-Nova"


def generate_x509(user_id: str, now: dt.datetime) -> tuple[str, str]:
    """A new RSA key as PEM, and a certificate for it that signs itself, for ten years; takes a while.

    Windows guests let the user in who shows it; the user's name stands where they look for it (UPN).
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), _der_utf8(f"{user_id}@localhost"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([upn]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def _der_utf8(text: str) -> bytes:
    """A UTF8String of ASN.1; shorter than 128 bytes here, so that its length is one byte."""
    data = text.encode()[:127]
    return bytes((0x0C, len(data))) + data
