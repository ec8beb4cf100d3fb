"""Units of work of users, batch first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from pileus.services.identity.common.options import merged
from pileus.services.identity.passwords.failures import failures_forget
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.tables import cascade
from pileus.services.identity.users.history import passwords_remember
from pileus.services.identity.users.resource import USER
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx

_SECRET = frozenset(
    {
        "password",
        "password_hash",
        "password_created_at",
        "password_expires_at",
        "password_self_service",
        "last_active_at",
        "tokens_after",
    }
)
_NO_RULES = Compliance()


def user_create(
    tx: Tx, context: Context, specs: list[Values], compliance: Compliance = _NO_RULES
) -> list[Values]:
    """Make users; ``password_hash`` is handed in."""
    _check_default_projects(tx, specs)
    domains_require(tx, (spec["domain_id"] for spec in specs))
    for spec in specs:
        spec["tokens_after"] = spec["created_at"] = context.now
        spec["options"] = merged(None, spec["options"])
        spec |= _password_times(context, compliance, spec["password_hash"], spec["options"])
    try:
        USER.insert(tx, context, specs)
    except Duplicate:
        raise NameTaken("user", specs[0]) from None
    except Referenced:
        raise DomainNotFound(id=specs[0]["domain_id"]) from None
    announce_many(tx, context, "user.create", [(spec["id"], {"name": spec["name"]}) for spec in specs])
    return specs


def _password_times(
    context: Context,
    compliance: Compliance,
    password_hash: str | None,
    options: Mapping[str, Any],
    *,
    by_owner: bool = False,
) -> dict[str, Any]:
    """The values that are kept beside a password that is set now."""
    there = password_hash is not None
    return {
        "password_created_at": context.now if there else None,
        "password_expires_at": compliance.expiry(context.now, options, by_owner=by_owner) if there else None,
        "password_self_service": by_owner,
    }


def user_update(
    tx: Tx, context: Context, updates: list[Update], compliance: Compliance = _NO_RULES
) -> list[Values]:
    """Change users. A new password, and being disabled, end all tokens of a user; being disabled ends the
    application credentials too, and being enabled a lockout."""
    for update in updates:
        if update.changes.get("domain_id", update.original["domain_id"]) != update.original["domain_id"]:
            raise ValidationError("Cannot change Domain ID")
    _check_default_projects(tx, [update.changes for update in updates])
    for update in updates:
        _complete(context, compliance, update)
    replaced = [one.original for one in updates if "password_hash" in one.changes]
    passwords_remember(tx, context, replaced, compliance.kept_passwords)
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


def _complete(context: Context, compliance: Compliance, update: Update) -> None:
    """Add to an update what follows from it."""
    original, changes = update.original, update.changes
    if "options" in changes:
        changes["options"] = merged(original["options"], changes["options"])
    if "password_hash" in changes:
        options = changes.get("options", original["options"])
        changes.update(_password_times(context, compliance, changes["password_hash"], options))
    if "password_hash" in changes or changes.get("enabled") is False:
        changes["tokens_after"] = context.now
    if changes.get("enabled") is True:
        changes["last_active_at"] = context.now


def user_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete users with their grants, memberships and credentials; their tokens end."""
    keys = [one["id"] for one in originals]
    cascade.application_credentials_of(tx, keys)
    USER.remove(tx, originals)
    cascade.of_users(tx, keys)
    announce_token_changes(tx, context, "user.delete", [(key, {}) for key in keys])


def password_change(
    tx: Tx, context: Context, key: str, old_hash: str, new_hash: str, compliance: Compliance = _NO_RULES
) -> bool:
    """Replace a password that was just verified; False if it was changed by somebody else meanwhile."""
    found = fetch(tx, USER, [key], lock=True)
    if not found:
        raise UserNotFound(id=key)
    original = found[0]
    if original["password_hash"] != old_hash:
        return False
    times = _password_times(context, compliance, new_hash, original["options"], by_owner=True)
    changes = Values({"password_hash": new_hash, "tokens_after": context.now, **times})
    passwords_remember(tx, context, [original], compliance.kept_passwords)
    USER.change(tx, context, [Update(original, changes)])
    announce_token_change(tx, context, "user.update", key, changed=["password"])
    return True


def password_import(
    tx: Tx, context: Context, original: Values, new_hash: str, compliance: Compliance
) -> None:
    """Take over the hash of a password that its owner has elsewhere; the user's tokens end."""
    times = _password_times(context, compliance, new_hash, original["options"], by_owner=True)
    times["password_self_service"] = False
    changes = Values({"password_hash": new_hash, "tokens_after": context.now, **times})
    passwords_remember(tx, context, [original], compliance.kept_passwords)
    USER.change(tx, context, [Update(original, changes)])
    announce_token_change(tx, context, "user.update", original["id"], changed=["password"])


def _check_default_projects(tx: Tx, several: Sequence[Values]) -> None:
    """A domain can't be one. A project that does not exist can, as in Keystone: logins pass over it."""
    named = {values["default_project_id"] for values in several if values.get("default_project_id")}
    domains = domains_among(tx, named)
    if domains:
        raise ValidationError(f"User's default project ID cannot be a domain ID: {min(domains)}")
