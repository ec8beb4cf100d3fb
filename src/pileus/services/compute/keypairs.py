"""Key pairs: public keys that guests are given, by user and name (Compute API reference, "Keypairs")."""

from __future__ import annotations

import asyncio
import binascii
import datetime as dt
import hashlib
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Column, String, Table, UniqueConstraint, delete, func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound, TooMany
from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version, parse
from pileus.services.compute.declared import body_of, by_version, since
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.events import event
from pileus.services.compute.policy import ADMIN, any_of, rules
from pileus.services.compute.quotas import limit_of
from pileus.store.errors import Duplicate
from pileus.store.schema import BigSerial, LongText, Moment, Name, metadata
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

keypairs = Table(
    "keypairs",
    metadata,
    Column("id", BigSerial, primary_key=True, autoincrement=True),
    Column("user_id", String(64), nullable=False),
    Column("name", Name, nullable=False),
    Column("type", String(8), nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("public_key", LongText, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
)

P = ParamSpec("P")
T = TypeVar("T")

SSH, X509 = "ssh", "x509"
_SAFE = re.compile(r"[a-zA-Z0-9 _-]+")
_SAFE_292 = re.compile(r"[a-zA-Z0-9 _\-@.]+")

_OWNER = any_of(ADMIN, "user_id:%(user_id)s")
RULES = rules(
    {
        "os-keypairs:index": _OWNER,
        "os-keypairs:show": _OWNER,
        "os-keypairs:create": _OWNER,
        "os-keypairs:delete": _OWNER,
    }
)


class KeypairNotFound(NotFound):
    message = "Keypair {name} not found for user {user_id}"


class KeyPairExists(Conflict):
    message = "Key pair '{name}' already exists."


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
        """What ``function`` makes; TooManyKeys where too many wait."""
        if self._waiting.total() >= self._most or self._waiting[user_id] >= self._most_of_one:
            raise TooManyKeys
        self._waiting[user_id] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, lambda: function(*args, **keywords))
        finally:
            self._waiting[user_id] -= 1
            self._waiting += Counter()  # forgets those at zero


_MAKER = KeyMaker()


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


@by_version
def _create_type(version: Version) -> Type:
    fields = {"name": types.string(255, minimum=1), "public_key": types.string(16384)}
    required: tuple[str, ...] = ("name",)
    if version >= parse("2.2"):
        fields["type"] = types.enum(SSH, X509)
    if version >= parse("2.10"):
        fields["user_id"] = types.string(64)
    if version >= parse("2.92"):
        required = ("name", "public_key")
    else:
        fields["public_key"] = types.nullable(fields["public_key"])
    return types.dict_of({"keypair": types.dict_of(fields, required=required)}, required=("keypair",))


def keypair_create(tx: Tx, context: Context, row: dict[str, Any]) -> None:
    """Write a key pair; KeyPairExists, or QuotaError where its user has as many as he may."""
    tx.lock(f"quota:{row['user_id']}:key_pairs")
    _check_quota(tx, context, row["user_id"])
    try:
        with tx.savepoint():
            tx.insert(keypairs, [row])
    except Duplicate:
        raise KeyPairExists(name=row["name"]) from None
    tx.emit(event(context, "keypair.create", row["name"], context.project_id, user_id=row["user_id"]))


def _check_quota(tx: Tx, context: Context, user_id: str) -> None:
    have = tx.scalar(select(func.count()).where(keypairs.c.user_id == user_id))
    allowed = limit_of(tx, context.project_id or "", "key_pairs", user_id)
    if allowed >= 0 and have >= allowed:
        raise QuotaError("Quota exceeded, too many key pairs.")


def _check_room(tx: Tx, context: Context, user_id: str, name: str) -> None:
    """What ``keypair_create`` would refuse."""
    _check_quota(tx, context, user_id)
    if tx.first(select(keypairs.c.name).where(keypairs.c.user_id == user_id, keypairs.c.name == name)):
        raise KeyPairExists(name=name)


def keypair_find(tx: Tx, user_id: str, name: str) -> dict[str, Any]:
    """One key pair of a user; KeypairNotFound."""
    row = tx.first(select(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name))
    if row is None:
        raise KeypairNotFound(name=name, user_id=user_id)
    return dict(row._mapping)


def keypair_delete(tx: Tx, context: Context, user_id: str, name: str) -> None:
    """Delete one; servers keep the key that they were given."""
    gone = tx.execute(delete(keypairs).where(keypairs.c.user_id == user_id, keypairs.c.name == name))
    if not gone.rowcount:
        raise KeypairNotFound(name=name, user_id=user_id)
    tx.emit(event(context, "keypair.delete", name, context.project_id, user_id=user_id))


def _page(
    tx: Tx, user_id: str, limit: int | None, marker: str | None, default: int
) -> tuple[list[dict[str, Any]], bool]:
    statement = select(keypairs).where(keypairs.c.user_id == user_id).order_by(keypairs.c.name)
    if marker is not None:
        keypair_marker = tx.first(
            select(keypairs.c.name).where(keypairs.c.user_id == user_id, keypairs.c.name == marker)
        )
        if keypair_marker is None:
            raise BadRequest(f"marker [{marker}] not found")
        statement = statement.where(keypairs.c.name > marker)
    size = default if limit is None else min(limit, default)
    rows = [dict(row._mapping) for row in tx.rows(statement.limit(size))]
    return rows, bool(rows) and len(rows) >= size


def _user(request: Request, asked: str | None) -> str:
    """Whose key pairs: the caller's, or since 2.10 those of whom an administrator names."""
    own = request.context.user_id or ""
    return asked if asked is not None and since(request, "2.10") else own


def _authorised(request: Request, action: str, user_id: str) -> None:
    request.authorise(f"os_compute_api:os-keypairs:{action}", {"user_id": user_id})


async def list_keypairs(request: Request) -> Reply:
    """A user's key pairs, by name; pages since 2.35."""
    user_id = _user(request, request.parameter("user_id"))
    _authorised(request, "index", user_id)
    paged = since(request, "2.35")
    limit = request.parameter("limit") if paged else None
    size = request.dialect.limit(limit) if limit is not None else None  # type: ignore[attr-defined]
    marker = request.parameter("marker") if paged else None
    most = request.settings.page_limit or request.dialect.max_limit or 1000
    rows, more = await request.read(_page, user_id, size, marker or None, most)
    names = ["name", "public_key", "fingerprint", *(["type"] if since(request, "2.2") else [])]
    reply: dict[str, Any] = {"keypairs": [{"keypair": {name: row[name] for name in names}} for row in rows]}
    if paged and more:
        href = request.dialect.next_link(request, rows[-1]["name"])  # type: ignore[attr-defined]
        reply["keypairs_links"] = [{"rel": "next", "href": href}]
    return Reply.json(reply)


async def create_keypair(request: Request) -> Reply:
    """Import a public key, or have a pair made whose private half is shown this once."""
    asked = body_of(request, _create_type(request))["keypair"]
    user_id = _user(request, asked.get("user_id"))
    _authorised(request, "create", user_id)
    name, kind, public = asked["name"], asked.get("type", SSH), asked.get("public_key")
    safe = _SAFE_292 if since(request, "2.92") else _SAFE
    if not safe.fullmatch(name) or name != name.strip():
        raise BadKeypair(reason="Keypair name contains unsafe characters")
    private = None
    if public is None:
        await request.read(_check_room, request.context, user_id, name)  # before the work, not after it
        if kind == SSH:
            private, public = await _MAKER.make(user_id, generate_ssh)
        else:
            private, public = await _MAKER.make(user_id, generate_x509, user_id, request.context.now)
    row = {
        "user_id": user_id,
        "name": name,
        "type": kind,
        "fingerprint": fingerprint(public, kind),
        "public_key": public,
        "created_at": request.context.now,
    }
    await request.write(keypair_create, request.context, row)
    view = {key: row[key] for key in ("name", "public_key", "fingerprint", "user_id")}
    if since(request, "2.2"):
        view["type"] = kind
    if private is not None:
        view["private_key"] = private
    return Reply.json({"keypair": view}, 201 if since(request, "2.2") else 200)


async def show_keypair(request: Request) -> Reply:
    """One key pair."""
    user_id = _user(request, request.parameter("user_id"))
    _authorised(request, "show", user_id)
    row = await request.read(keypair_find, user_id, request.path["name"])
    view = {key: row[key] for key in ("id", "name", "public_key", "fingerprint", "user_id")}
    if since(request, "2.2"):
        view["type"] = row["type"]
    created = row["created_at"].isoformat(timespec="microseconds")
    view |= {"created_at": created, "updated_at": None, "deleted_at": None, "deleted": False}
    return Reply.json({"keypair": view})


async def delete_keypair(request: Request) -> Reply:
    """Delete one."""
    user_id = _user(request, request.parameter("user_id"))
    _authorised(request, "delete", user_id)
    await request.write(keypair_delete, request.context, user_id, request.path["name"])
    return Reply.empty(204 if since(request, "2.2") else 202)


ROUTES = (
    Route("GET", "/v2.1/os-keypairs", list_keypairs, summary="List key pairs"),
    Route("POST", "/v2.1/os-keypairs", create_keypair, summary="Import or make a key pair", status=201),
    Route("GET", "/v2.1/os-keypairs/{name}", show_keypair, summary="Show a key pair"),
    Route("DELETE", "/v2.1/os-keypairs/{name}", delete_keypair, summary="Delete a key pair", status=204),
)
