"""Credentials that users keep here: EC2 keys, and whatever else a client stores as text.

Source: the Identity API v3 reference, "Credentials". The blob is sealed before it comes to a table. An EC2
credential's id is the SHA-256 of its access key, so that it is found without opening any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, String, Table, bindparam

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.credentials.sealing import blob_open
from pileus.services.identity.declared import EXTRA, ID, merged
from pileus.services.identity.errors import SchemaValidationError, ValidationError
from pileus.services.identity.generation import announce
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.errors import Duplicate
from pileus.store.schema import JsonText, LongText, Name, metadata
from pileus.store.tx import Tx
from pileus.web.reading import read_json

EC2 = "ec2"

# Users and projects are named as the client names them: Keystone asks for neither to exist.
credentials = Table(
    "credentials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False, index=True),
    Column("project_id", String(64), index=True),
    Column("type", Name, nullable=False),
    Column("sealed", LongText, nullable=False),
    Column("extra", JsonText),
)


class CredentialNotFound(NotFound):
    """There is no such credential (404)."""

    message = "Could not find credential: {id}."


class CredentialTaken(Conflict):
    """There is an EC2 credential with that access key (409)."""

    message = "Conflict occurred attempting to store credential - Duplicate entry found with ID {id}."


class MissingInCredential(ValidationError):
    """Something that such a credential must have is not there (400)."""

    message = (
        "Expecting to find {attribute} in credential. The server could not comply with the request since it "
        "is either malformed or otherwise incorrect. The client is assumed to be in error."
    )


_TEXT = types.string(64, minimum=1)

CREDENTIAL = Resource(
    "credential",
    table=credentials,
    wording=KEYSTONE,
    not_found=CredentialNotFound,
    attributes=(
        ID,
        Attribute("user_id", _TEXT, create=True, update=True, required=True, filter=True),
        Attribute("project_id", types.nullable(_TEXT), create=True, update=True),
        Attribute("type", types.string(255), create=True, update=True, required=True, filter=True),
        Attribute("blob", types.string(None), create=True, update=True, required=True),
        Attribute("sealed", types.string(None), visible=False),
        EXTRA,
    ),
)

_DELETE = credentials.delete().where(credentials.c.id == bindparam("key"))
_DELETE_OF_USER = credentials.delete().where(credentials.c.user_id == bindparam("key"))
_DELETE_IN_PROJECT = credentials.delete().where(credentials.c.project_id == bindparam("key"))

BOUNDS = ("trust_id", "app_cred_id", "access_token_id")
"""What in an EC2 credential's blob says through whom it was made, and bounds what it opens."""


def ec2_id(access: str) -> str:
    """The id of the credential with that access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def is_ec2(values: Mapping[str, Any]) -> bool:
    """Whether the credential is one of EC2's, or shall be."""
    return str(values.get("type", "")).lower() == EC2


def ec2_blob(text: str) -> dict[str, Any]:
    """What an EC2 credential's blob holds. Raises Invalid where it has no access key."""
    try:
        blob = read_json(text.encode())
    except ValueError:
        raise ValidationError("Invalid blob in credential") from None
    if not blob or not isinstance(blob, dict):
        raise MissingInCredential(attribute="blob")
    if not isinstance(blob.get("access"), str):
        raise MissingInCredential(attribute="access")
    return blob


def keep_nature(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """What a credential is, and whose, stays; only what it holds changes. Raises ValidationError.

    Were an EC2 credential turned into another type and back, it would lose its bounds on the way.
    """
    for name in ("type", "user_id", "project_id"):
        if before[name] != after[name]:
            raise ValidationError(f"{name} can not be updated for credential")


def keep_bounds(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Through whom an EC2 credential was made is neither changed nor forgotten; one that was made through
    somebody keeps its access key too. Raises ValidationError."""
    old, new = ec2_blob(before["blob"]), ec2_blob(after["blob"])
    bound = any(old.get(name) is not None for name in BOUNDS)
    for name in (*BOUNDS, "access") if bound else BOUNDS:
        if old.get(name) != new.get(name):
            raise ValidationError(f"{name} can not be updated for credential")


def credential_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a credential."""
    return {} if values is None else {"target.credential.user_id": values.get("user_id")}


def credentials_read(
    tx: Tx,
    keys: TokenKeys,
    where: Sequence[ColumnElement[bool]] = (),
    ids: Sequence[str] | None = None,
) -> list[Values]:
    """Credentials with their blobs opened, by id."""
    found = fetch(tx, CREDENTIAL, ids, where)
    for one in found:
        one["blob"] = blob_open(keys, one["sealed"])
    return sorted(found, key=lambda one: str(one["id"]))


def credential_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Keep a credential; ``sealed`` is handed in."""
    if is_ec2(spec) and not spec["project_id"]:
        raise SchemaValidationError("'project_id' is a required property")
    try:
        CREDENTIAL.insert(tx, context, [spec])
    except Duplicate:
        raise CredentialTaken(id=spec["id"]) from None
    announce(tx, context, "credential.create", spec["id"], user_id=spec["user_id"])
    return spec


def credential_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a credential; ``sealed`` is handed in where the blob changes."""
    found = fetch(tx, CREDENTIAL, [key], lock=True)
    if not found:
        raise CredentialNotFound(id=key)
    after = {**found[0], **changes}
    if is_ec2(after) and not after["project_id"]:
        raise MissingInCredential(attribute="project_id")
    changed = CREDENTIAL.change(tx, context, [Update(found[0], merged(found[0], changes))])[0]
    announce(tx, context, "credential.update", key, changed=sorted(changes.keys() - {"blob", "sealed"}))
    return changed


def credential_delete(tx: Tx, context: Context, key: str) -> None:
    """Forget a credential. Raises CredentialNotFound."""
    if not tx.execute(_DELETE, {"key": key}).rowcount:
        raise CredentialNotFound(id=key)
    announce(tx, context, "credential.delete", key)


def credentials_forget(tx: Tx, *, user_id: str | None = None, project_id: str | None = None) -> None:
    """Forget what a user keeps, or what is kept for a project."""
    if user_id is not None:
        tx.execute(_DELETE_OF_USER, {"key": user_id})
    if project_id is not None:
        tx.execute(_DELETE_IN_PROJECT, {"key": project_id})
