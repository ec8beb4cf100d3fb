"""Units of work of credentials, batch first; and who may know the secret of one."""

from __future__ import annotations

from calendar import timegm
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement

from pileus.core import log
from pileus.core.context import Context
from pileus.core.errors import Conflict, Forbidden
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.common.generation import announce_many, changed_names
from pileus.services.identity.credentials.resource import (
    CREDENTIAL,
    MissingInCredential,
    ec2_blob,
    is_ec2,
    logs_in,
)
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import blobs_open_each
from pileus.services.identity.tokens.sealing import CredentialEncryptionError, blob_seal
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request

logger = log.get("identity")

MANAGING = "credentials"
"""The things that a restricted application credential must not manage, in the words of the refusal."""


class CredentialTaken(Conflict):
    """There is an EC2 credential with that access key (409)."""

    message = "Conflict occurred attempting to store credential - Duplicate entry found with ID {id}."


class OutOfDelegation(Forbidden):
    """The credential is kept for another project than that of the application credential or trust (403)."""

    message = (
        "You are not authorized to perform the requested action: {what} project does not match the project "
        "scope of the delegated token."
    )


class KeysOutOfReach(Forbidden):
    """The EC2 credential would give the caller more than his token does (403)."""

    message = (
        "You are not authorized to perform the requested action: {what} credential does not match the scope "
        "of the token."
    )


def credentials_read(
    tx: Tx,
    keys: TokenKeys,
    where: Sequence[ColumnElement[bool]] = (),
    ids: Sequence[str] | None = None,
) -> list[Values]:
    """Credentials with their blobs opened, by id. Raises CredentialEncryptionError."""
    found = credentials_found(tx, keys, where, ids)
    if any(one["blob"] is None for one in found):
        raise CredentialEncryptionError
    return found


def credentials_found(
    tx: Tx,
    keys: TokenKeys,
    where: Sequence[ColumnElement[bool]] = (),
    ids: Sequence[str] | None = None,
) -> list[Values]:
    """Credentials by id; the blob of one that no key opens any more is None."""
    found = fetch(tx, CREDENTIAL, ids, where)
    blobs = blobs_open_each(tx, keys, [one["sealed"] for one in found])
    for one, blob in zip(found, blobs, strict=True):
        one["blob"] = blob
        if blob is None:
            logger.warning("a credential can't be opened", credential=one["id"])
    return sorted(found, key=lambda one: str(one["id"]))


def credentials_list(tx: Tx, keys: TokenKeys, where: Sequence[ColumnElement[bool]]) -> list[Values]:
    """Credentials by id, but those that no key opens: they keep nobody from the others.

    Raises CredentialEncryptionError where none can be opened: then it is the key that is lost.
    """
    found = credentials_found(tx, keys, where)
    opened = [one for one in found if one["blob"] is not None]
    if found and not opened:
        raise CredentialEncryptionError
    return opened


def credential_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Keep credentials; ``sealed`` is handed in."""
    if any(is_ec2(spec) and not spec["project_id"] for spec in specs):
        raise SchemaValidationError("'project_id' is a required property")
    try:
        CREDENTIAL.insert(tx, context, specs)
    except Duplicate:
        raise CredentialTaken(id=specs[0]["id"]) from None
    made = [(spec["id"], {"user_id": spec["user_id"]}) for spec in specs]
    announce_many(tx, context, "credential.create", made)
    return specs


def credential_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change credentials; ``sealed`` is handed in where a blob changes."""
    for update in updates:
        after = {**update.original, **update.changes}
        if is_ec2(after) and not after["project_id"]:
            raise MissingInCredential(attribute="project_id")
    changed = CREDENTIAL.change(tx, context, updates)
    announce_many(tx, context, "credential.update", changed_names(updates, hidden={"blob", "sealed"}))
    return changed


def credential_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Forget credentials."""
    CREDENTIAL.remove(tx, originals)
    announce_many(tx, context, "credential.delete", [(one["id"], {}) for one in originals])


def seal(keys: TokenKeys, request: Request, values: Values) -> None:
    """Put the sealed blob beside the blob."""
    values["sealed"] = blob_seal(keys, values["blob"], timegm(request.context.now.timetuple()))


def encode_blob(blob: Mapping[str, Any]) -> str:
    """A blob as text."""
    return msgspec.json.encode(blob).decode()


def within_delegation(session: Session) -> Sequence[ColumnElement[bool]]:
    """The condition that keeps a list to the project of an application credential or a trust."""
    return [] if session.bound is None else [credentials.c.project_id == session.scope.id]


def require_within(session: Session, project_id: str | None, what: str = "Credential") -> None:
    """Raise OutOfDelegation where an application credential or a trust reaches beyond its project."""
    if session.bound is not None and project_id != session.scope.id:
        raise OutOfDelegation(what=what)


def may_know_keys(session: Session, keys: Mapping[str, Any]) -> bool:
    """Whether this caller, whom the policy lets see a credential that logs in, may know its secret.

    EC2 keys may be bound to what the caller came through; a key of passcodes opens all that its owner has.
    """
    if session.bound is not None:
        name, key = session.bound
        return is_ec2(keys) and keys["blob"] is not None and ec2_blob(keys["blob"]).get(name) == key
    return session.scope.kind != "domain" or keys["user_id"] == session.user.id


def require_may_know(session: Session, values: Mapping[str, Any]) -> None:
    """Raise KeysOutOfReach for what logs in and the caller may not know."""
    if logs_in(values) and not may_know_keys(session, values):
        raise KeysOutOfReach(what=str(values["type"]).upper())
