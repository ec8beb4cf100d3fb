"""Users. A password is kept as its argon2id hash; whatever ends a user's tokens moves ``tokens_after``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    select,
)

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.credentials.application import application_credentials_forget
from pileus.services.identity.declared import ENABLED, EXTRA, ID, OPTIONS, home_domain, merged
from pileus.services.identity.errors import DomainNotFound, NameTaken, UserNotFound, ValidationError
from pileus.services.identity.generation import announce, announce_turn
from pileus.services.identity.projects import projects
from pileus.services.identity.rules.passwords import Lockout
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import Id, JsonText, Moment, Name, metadata
from pileus.store.tx import Tx

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", Id, index=True),
    Column("password_hash", Text),
    Column("tokens_after", Moment, nullable=False),
    Column("failed_auth_count", Integer, nullable=False, server_default="0"),
    Column("failed_auth_at", Moment),
    Column("extra", JsonText),
    UniqueConstraint("domain_id", "name"),
)

USER = Resource(
    "user",
    table=users,
    wording=KEYSTONE,
    not_found=UserNotFound,
    attributes=(
        ID,
        Attribute(
            "name",
            types.string(255, minimum=1),
            create=True,
            update=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "domain_id",
            types.string(64, minimum=1),
            create=True,
            update=True,
            filter=True,
            sort=True,
            default=home_domain,
        ),
        ENABLED,
        Attribute("default_project_id", types.nullable(types.string(36)), create=True, update=True),
        Attribute("password", types.nullable(types.string(None)), create=True, update=True, visible=False),
        Attribute("password_hash", types.string(None), visible=False),
        Attribute("tokens_after", types.timestamp, visible=False),
        Attribute("password_expires_at", types.anything, compute=lambda values: None),
        OPTIONS,
        EXTRA,
    ),
)

_WHEN = types.string(64, pattern="(lt|lte|gt|gte|eq|neq):.*")


def _no_expiry(texts: Sequence[str]) -> ColumnElement[bool]:
    """``password_expires_at=lt:2026-01-31T00:00:00Z``: no password expires, so no user has such a time."""
    for text in texts:
        when = _WHEN.parse(text)
        types.timestamp.query(when.partition(":")[2])
    return false()


def _nobody(texts: Sequence[str]) -> ColumnElement[bool]:
    """There are no users of other identity providers."""
    return false()


USER_FILTERS = {
    "password_expires_at": _no_expiry,
    "idp_id": _nobody,
    "protocol_id": _nobody,
    "unique_id": _nobody,
}

_FAILURES = (
    select(users.c.failed_auth_count, users.c.failed_auth_at)
    .where(users.c.id == bindparam("key"))
    .with_for_update()
)
_SET_FAILURES = (
    users.update()
    .where(users.c.id == bindparam("key"))
    .values(failed_auth_count=bindparam("count"), failed_auth_at=bindparam("at"))
)
_IS_DOMAIN = projects.select().where(projects.c.id == bindparam("id"), projects.c.is_domain.is_(True))


def user_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a user."""
    if values is None:
        return {}
    return {
        "target.user.id": values["id"],
        "target.user.domain_id": values["domain_id"],
        "target.domain_id": values["domain_id"],
        "user_id": values["id"],
    }


def user_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a user; ``password_hash`` is handed in."""
    _check_default_project(tx, spec)
    if tx.first(_IS_DOMAIN, {"id": spec["domain_id"]}) is None:
        raise DomainNotFound(id=spec["domain_id"])
    spec["tokens_after"] = context.now
    try:
        USER.insert(tx, context, [spec])
    except Duplicate:
        raise NameTaken("user", spec) from None
    except Referenced:
        raise DomainNotFound(id=spec["domain_id"]) from None
    announce(tx, context, "user.create", spec["id"], name=spec["name"])
    return spec


def user_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a user. A new password, and being disabled, end all his tokens; being disabled also his
    application credentials."""
    original = _held(tx, key)
    if changes.get("domain_id", original["domain_id"]) != original["domain_id"]:
        raise ValidationError("Cannot change Domain ID")
    _check_default_project(tx, changes)
    if "password_hash" in changes or changes.get("enabled") is False:
        changes["tokens_after"] = context.now
    if changes.get("enabled") is False:
        application_credentials_forget(tx, key)
    if changes.get("enabled") is True:  # which unlocks him too
        tx.execute(_SET_FAILURES, {"key": key, "count": 0, "at": None})
    try:
        after = USER.change(tx, context, [Update(original, merged(original, changes))])[0]
    except Duplicate:
        raise NameTaken("user", {**original, **changes}) from None
    changed = sorted(changes.keys() - {"password", "password_hash", "tokens_after"})
    announce_turn(tx, context, "user.update", key, changed=changed)
    return after


def password_change(tx: Tx, context: Context, key: str, old_hash: str, new_hash: str) -> bool:
    """Replace a password that was just verified; False if it was changed by somebody else meanwhile."""
    original = _held(tx, key)
    if original["password_hash"] != old_hash:
        return False
    changes = Values({"password_hash": new_hash, "tokens_after": context.now})
    USER.change(tx, context, [Update(original, changes)])
    announce_turn(tx, context, "user.update", key, changed=["password"])
    return True


def failure_count(tx: Tx, now: dt.datetime, key: str, lockout: Lockout) -> None:
    """Count a wrong password of a user, unless he is locked by now: no lock is prolonged."""
    row = tx.first(_FAILURES, {"key": key})
    if row is not None and not lockout.locks(row.failed_auth_count, row.failed_auth_at, now):
        count = lockout.after_failure(row.failed_auth_count)
        tx.execute(_SET_FAILURES, {"key": key, "count": count, "at": now})


def failures_settle(tx: Tx, now: dt.datetime, key: str, lockout: Lockout) -> bool:
    """Forget the failures of a user whose password was right; False if he is locked by now."""
    row = tx.first(_FAILURES, {"key": key})
    if row is None or lockout.locks(row.failed_auth_count, row.failed_auth_at, now):
        return False
    if row.failed_auth_count:
        tx.execute(_SET_FAILURES, {"key": key, "count": 0, "at": None})
    return True


def _held(tx: Tx, key: str) -> Values:
    found = fetch(tx, USER, [key], lock=True)
    if not found:
        raise UserNotFound(id=key)
    return found[0]


def _check_default_project(tx: Tx, values: Values) -> None:
    """A domain can't be one. A project that does not exist can, as in Keystone: logins pass over it."""
    key = values.get("default_project_id")
    if key and tx.first(_IS_DOMAIN, {"id": key}) is not None:
        raise ValidationError(f"User's default project ID cannot be a domain ID: {key}")
