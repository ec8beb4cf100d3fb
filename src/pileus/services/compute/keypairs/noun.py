"""Key pairs: public keys that guests are given, by user and name. They are of a user, not of a project."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.listing import Listing
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce, judging, since
from pileus.services.compute.keypairs.making import (
    SSH,
    X509,
    BadKeypair,
    KeyMaker,
    fingerprint,
    generate_ssh,
    generate_x509,
)
from pileus.services.compute.keypairs.resource import BRIEF, KEYPAIR, KeypairNotFound
from pileus.services.compute.keypairs.work import keypair_check_room, keypair_create, keypair_delete
from pileus.services.compute.paging import page_size
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
from pileus.services.compute.tables.keypairs import keypairs
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request
from pileus.web.routes import ByVersion

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


def _owner(request: Request, values: Values | None = None) -> str:
    """The user whose key pairs are meant: the caller, or since 2.10 the one that an administrator names."""
    if values is not None:
        return str(values["user_id"])
    asked = request.parameter("user_id") if since(request, "2.10") else None
    return asked if asked is not None else request.context.user_id or ""


def _listing(request: Request) -> Listing:
    """All of a user's; in pages since 2.35."""
    if not since(request, "2.35"):
        return Listing(paged=False)
    return Listing(limit=page_size(request), marker=request.parameter("marker") or None)


async def _prepare(request: Request, spec: Values) -> None:
    """Have a pair made where no public key is given; take the fingerprint."""
    name, kind = spec["name"], spec["type"]
    safe = _SAFE_292 if since(request, "2.92") else _SAFE
    if not safe.fullmatch(name) or name != name.strip():
        raise BadKeypair(reason="Keypair name contains unsafe characters")
    if spec["public_key"] is None:
        # what is dear is not done in vain
        await request.read(keypair_check_room, request.context, spec["user_id"], name)
        if kind == SSH:
            made = await _MAKER.make(spec["user_id"], generate_ssh)
        else:
            made = await _MAKER.make(spec["user_id"], generate_x509, spec["user_id"], request.context.now)
        spec["private_key"], spec["public_key"] = made
    spec["fingerprint"] = fingerprint(spec["public_key"], kind)


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    if view.get("private_key") is None:
        view.pop("private_key", None)
    return {"keypair": view} if action == "list" else view


def _judge_list(request: Request) -> None:
    enforce(request, {"user_id": _owner(request)})


_KEYPAIRS = Crud(
    resource=KEYPAIR,
    create=keypair_create,
    delete=keypair_delete,
    judge=judging(lambda request, values: {"user_id": _owner(request, values)}),
    list_judge=_judge_list,
    visible=lambda request: [keypairs.c.user_id == _owner(request)],
    not_found=lambda request: KeypairNotFound(name=request.path["name"], user_id=_owner(request)),
    listing=_listing,
    shown={"list": BRIEF, "create": (*BRIEF, "user_id", "private_key")},
    view=_view,
    bodies={"create": ByVersion(_create_body)},
    replies={
        "list": ByVersion(_list_reply),
        "create": ByVersion(_create_reply),
        "get": ByVersion(_show_reply),
    },
    statuses={"create": 201},
    prepare=_prepare,
)
_OLD = replace(_KEYPAIRS, statuses={"create": 200, "delete": 202})

_PATH = "/v2.1/os-keypairs"
_OWNER = any_of(ADMIN, "user_id:%(user_id)s")

KEYPAIRS = Noun(
    name="keypair",
    rules=rules({f"os-keypairs:{action}": _OWNER for action in ("index", "show", "create", "delete")}),
    extensions=(Extension("os-keypairs", "Keypairs", "Keypair Support."),),
    routes=(
        *crud_routes(_OLD, _PATH, versions=("", "2.1")),
        *crud_routes(_KEYPAIRS, _PATH, versions=("2.2", "")),
    ),
)
