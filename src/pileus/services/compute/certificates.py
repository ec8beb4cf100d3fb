"""X.509 certificates, as nova-cert gave them out: a root of this cloud, and certificates that it signs.

Source: Compute API reference, "Root certificates (os-certificates)". The root is made at first use and kept,
key and all, in a file that servers share; a certificate's own key is made for whoever asks, and kept nowhere.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from pileus.core.files import keep_first
from pileus.resource.declaration import Extension
from pileus.services.compute.api import enforce
from pileus.services.compute.keypairs.making import KeyMaker
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import TEXT, TEXT_OR_NULL, always, named
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_BITS = 2048
_ROOT_DAYS, _DAYS = 3650, 365
_CERTIFICATE = named("certificate", always({"data": TEXT, "private_key": TEXT_OR_NULL}))


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(text: str, unit: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Pileus")]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit[:64]))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(now: dt.datetime, days: int, is_root: bool) -> x509.CertificateBuilder:
    limits = x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(limits, critical=True)
    )


class Authority:
    """The root and its key, in the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _read(self, now: dt.datetime) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = keep_first(self._path, self._fresh(now))
        key = serialization.load_pem_private_key(content, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key, x509.load_pem_x509_certificate(content)

    @staticmethod
    def _fresh(now: dt.datetime) -> bytes:
        key, name = rsa.generate_private_key(public_exponent=65537, key_size=_BITS), _name("Root")
        builder = _builder(now, _ROOT_DAYS, True).subject_name(name).issuer_name(name)
        root = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
        return _pem(key) + root.public_bytes(serialization.Encoding.PEM)

    def root(self, now: dt.datetime) -> str:
        """The root's certificate as PEM; takes a while where it has to be made."""
        return self._read(now)[1].public_bytes(serialization.Encoding.PEM).decode()

    def certificate(self, user_id: str, project_id: str, now: dt.datetime) -> tuple[str, str]:
        """A new key and a certificate for it of a user in a project, as PEM; takes a while."""
        root_key, root = self._read(now)
        key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        builder = _builder(now, _DAYS, False).subject_name(_name(user_id, project_id))
        signed = (
            builder.issuer_name(root.subject).public_key(key.public_key()).sign(root_key, hashes.SHA256())
        )
        return _pem(key).decode(), signed.public_bytes(serialization.Encoding.PEM).decode()


class CertificateHandlers:
    """Handlers; keys are made in a thread of their own."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._maker = KeyMaker()

    async def create(self, request: Request) -> Reply:
        """``POST /os-certificates``: a certificate of the caller's, with its key."""
        enforce(request, {"project_id": request.context.project_id})
        user_id, project_id = request.context.user_id or "", request.context.project_id or ""
        work = self._maker.make(
            user_id, self._authority.certificate, user_id, project_id, request.context.now
        )
        key, data = await request.while_there(work)
        return Reply.json({"certificate": {"data": data, "private_key": key}})

    async def show(self, request: Request) -> Reply:
        """``GET /os-certificates/root``."""
        enforce(request, {"project_id": request.context.project_id})
        user_id = request.context.user_id or ""
        data = await self._maker.make(user_id, self._authority.root, request.context.now)
        return Reply.json({"certificate": {"data": data, "private_key": None}})


def certificates_noun(authority: Authority) -> Noun:
    """The noun."""
    handlers, path = CertificateHandlers(authority), "/v2.1/os-certificates"
    return Noun(
        name="certificate",
        rules=rules({"os-certificates:create": ADMIN_OR_MEMBER, "os-certificates:show": ADMIN_OR_READER}),
        extensions=(Extension("os-certificates", "Certificates", "Certificates support."),),
        routes=(
            Route(
                "POST",
                path,
                handlers.create,
                body=NO_BODY,
                reply=_CERTIFICATE,
                rule="os_compute_api:os-certificates:create",
                summary="Make a key, and a certificate that this cloud signs",
            ),
            Route(
                "GET",
                f"{path}/root",
                handlers.show,
                reply=_CERTIFICATE,
                rule="os_compute_api:os-certificates:show",
                summary="Show the root of certificates",
            ),
        ),
    )
