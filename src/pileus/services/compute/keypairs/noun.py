"""Key pairs: public keys that guests are given, by user and name (Compute API reference, "Keypairs")."""

from __future__ import annotations

import re
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, body_of, enforce, since
from pileus.services.compute.keypairs.making import (
    SSH,
    X509,
    BadKeypair,
    KeyMaker,
    fingerprint,
    generate_ssh,
    generate_x509,
)
from pileus.services.compute.keypairs.work import (
    keypair_check_room,
    keypair_create,
    keypair_delete,
    keypair_find,
    keypair_page,
)
from pileus.services.compute.paging import largest_page, next_page, page_size
from pileus.services.compute.policy import ADMIN, any_of, rules
from pileus.services.compute.replies import (
    FLAG,
    INTEGER,
    MOMENT,
    NULL,
    TEXT,
    always,
    named,
    named_list,
)
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route

_SAFE = re.compile(r"[a-zA-Z0-9 _-]+")
_SAFE_292 = re.compile(r"[a-zA-Z0-9 _\-@.]+")
_MAKER = KeyMaker()


def _create_body(version: Version) -> Type:
    fields = {"name": types.string(255, minimum=1), "public_key": types.string(16384)}
    required: tuple[str, ...] = ("name",)
    if at_least(version, "2.2"):
        fields["type"] = types.enum(SSH, X509)
    if at_least(version, "2.10"):
        fields["user_id"] = types.string(64)
    if at_least(version, "2.92"):
        required = ("name", "public_key")
    else:
        fields["public_key"] = types.nullable(fields["public_key"])
    return types.dict_of({"keypair": types.dict_of(fields, required=required)}, required=("keypair",))


def _brief(version: Version) -> dict[str, Type]:
    fields: dict[str, Type] = {"name": TEXT, "public_key": TEXT, "fingerprint": TEXT}
    return {**fields, "type": types.enum(SSH, X509)} if at_least(version, "2.2") else fields


def _list_reply(version: Version) -> Type:
    links = "keypairs_links" if at_least(version, "2.35") else ""
    return named_list("keypairs", named("keypair", always(_brief(version))), links=links)


def _create_reply(version: Version) -> Type:
    private = {} if at_least(version, "2.92") else {"private_key": TEXT}
    return named("keypair", always({**_brief(version), "user_id": TEXT}, private))


def _show_reply(version: Version) -> Type:
    times = {"created_at": MOMENT, "updated_at": NULL, "deleted_at": NULL, "deleted": FLAG}
    return named("keypair", always({**_brief(version), "id": INTEGER, "user_id": TEXT, **times}))


def _user(request: Request, asked: str | None) -> str:
    """The user whose key pairs are meant: the caller, or since 2.10 the one that an administrator names."""
    own = request.context.user_id or ""
    return asked if asked is not None and since(request, "2.10") else own


async def list_keypairs(request: Request) -> Reply:
    """List a user's key pairs by name; in pages since 2.35."""
    user_id = _user(request, request.parameter("user_id"))
    enforce(request, {"user_id": user_id})
    paged = since(request, "2.35")
    size = page_size(request) if paged else largest_page(request)
    marker = request.parameter("marker") if paged else None
    rows, more = await request.read(keypair_page, user_id, size, marker or None)
    names = ["name", "public_key", "fingerprint", *(["type"] if since(request, "2.2") else [])]
    reply: dict[str, Any] = {"keypairs": [{"keypair": {name: row[name] for name in names}} for row in rows]}
    if paged and more:
        reply |= next_page(request, "keypairs_links", rows[-1]["name"])
    return Reply.json(reply)


async def create_keypair(request: Request) -> Reply:
    """Import a public key, or have a pair made whose private half is shown this once."""
    asked = body_of(request)["keypair"]
    user_id = _user(request, asked.get("user_id"))
    enforce(request, {"user_id": user_id})
    name, kind, public = asked["name"], asked.get("type", SSH), asked.get("public_key")
    safe = _SAFE_292 if since(request, "2.92") else _SAFE
    if not safe.fullmatch(name) or name != name.strip():
        raise BadKeypair(reason="Keypair name contains unsafe characters")
    private = None
    if public is None:
        await request.read(
            keypair_check_room, request.context, user_id, name
        )  # before the work, not after it
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
    """Show one key pair."""
    user_id = _user(request, request.parameter("user_id"))
    enforce(request, {"user_id": user_id})
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
    enforce(request, {"user_id": user_id})
    await request.write(keypair_delete, request.context, user_id, request.path["name"])
    return Reply.empty(204 if since(request, "2.2") else 202)


_ALL, _ONE = "/v2.1/os-keypairs", "/v2.1/os-keypairs/{name}"
_RULE = "os_compute_api:os-keypairs:"
_OWNER = any_of(ADMIN, "user_id:%(user_id)s")

KEYPAIRS = Noun(
    name="keypair",
    rules=rules({f"os-keypairs:{action}": _OWNER for action in ("index", "show", "create", "delete")}),
    extensions=(Extension("os-keypairs", "Keypairs", "Keypair Support."),),
    routes=(
        Route(
            "GET",
            _ALL,
            list_keypairs,
            rule=_RULE + "index",
            reply=ByVersion(_list_reply),
            summary="List key pairs",
        ),
        Route(
            "POST",
            _ALL,
            create_keypair,
            rule=_RULE + "create",
            body=ByVersion(_create_body),
            reply=ByVersion(_create_reply),
            status=201,
            summary="Import or make a key pair",
        ),
        Route(
            "GET",
            _ONE,
            show_keypair,
            rule=_RULE + "show",
            reply=ByVersion(_show_reply),
            summary="Show a key pair",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_keypair,
            rule=_RULE + "delete",
            reply=NO_BODY,
            status=204,
            summary="Delete a key pair",
        ),
    ),
)
