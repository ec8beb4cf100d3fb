"""Units of work of users, batch first."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.domains import domains_among, domains_require
from pileus.services.identity.common.errors import DomainNotFound, NameTaken, UserNotFound, ValidationError
from pileus.services.identity.common.generation import (
    announce_many,
    announce_token_change,
    announce_token_changes,
    changed_names,
)
from pileus.services.identity.passwords.failures import failures_forget
from pileus.services.identity.tables import cascade
from pileus.services.identity.users.resource import USER
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx

_SECRET = frozenset({"password", "password_hash", "tokens_after"})


def user_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make users; ``password_hash`` is handed in."""
    _check_default_projects(tx, specs)
    domains_require(tx, (spec["domain_id"] for spec in specs))
    for spec in specs:
        spec["tokens_after"] = context.now
    try:
        USER.insert(tx, context, specs)
    except Duplicate:
        raise NameTaken("user", specs[0]) from None
    except Referenced:
        raise DomainNotFound(id=specs[0]["domain_id"]) from None
    announce_many(tx, context, "user.create", [(spec["id"], {"name": spec["name"]}) for spec in specs])
    return specs


def user_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change users. A new password, and being disabled, end all tokens of a user; being disabled ends the
    application credentials too, and being enabled a lockout."""
    for update in updates:
        if update.changes.get("domain_id", update.original["domain_id"]) != update.original["domain_id"]:
            raise ValidationError("Cannot change Domain ID")
    _check_default_projects(tx, [update.changes for update in updates])
    for update in updates:
        if "password_hash" in update.changes or update.changes.get("enabled") is False:
            update.changes["tokens_after"] = context.now
    disabled = [one.original["id"] for one in updates if one.changes.get("enabled") is False]
    if disabled:
        cascade.application_credentials_of(tx, disabled)
    enabled = [one.original["id"] for one in updates if one.changes.get("enabled") is True]
    if enabled:
        failures_forget(tx, enabled)
    try:
        changed = USER.change(tx, context, updates)
    except Duplicate:
        raise NameTaken("user", {**updates[0].original, **updates[0].changes}) from None
    announce_token_changes(tx, context, "user.update", changed_names(updates, hidden=_SECRET))
    return changed


def user_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete users with their grants, memberships and credentials; their tokens end."""
    keys = [one["id"] for one in originals]
    USER.remove(tx, originals)
    cascade.of_users(tx, keys)
    announce_token_changes(tx, context, "user.delete", [(key, {}) for key in keys])


def password_change(tx: Tx, context: Context, key: str, old_hash: str, new_hash: str) -> bool:
    """Replace a password that was just verified; False if it was changed by somebody else meanwhile."""
    found = fetch(tx, USER, [key], lock=True)
    if not found:
        raise UserNotFound(id=key)
    original = found[0]
    if original["password_hash"] != old_hash:
        return False
    changes = Values({"password_hash": new_hash, "tokens_after": context.now})
    USER.change(tx, context, [Update(original, changes)])
    announce_token_change(tx, context, "user.update", key, changed=["password"])
    return True


def _check_default_projects(tx: Tx, several: Sequence[Values]) -> None:
    """A domain can't be one. A project that does not exist can, as in Keystone: logins pass over it."""
    named = {values["default_project_id"] for values in several if values.get("default_project_id")}
    domains = domains_among(tx, named)
    if domains:
        raise ValidationError(f"User's default project ID cannot be a domain ID: {min(domains)}")
