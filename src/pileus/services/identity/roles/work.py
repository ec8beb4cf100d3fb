"""Units of work of roles, batch first."""

from __future__ import annotations

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.services.identity.common.domains import domains_require
from pileus.services.identity.common.errors import DomainNotFound, NameTaken, ValidationError
from pileus.services.identity.common.generation import announce_many, announce_token_changes, changed_names
from pileus.services.identity.common.options import merged, require_deletable, require_mutable
from pileus.services.identity.roles.resource import ROLE
from pileus.services.identity.tables import cascade
from pileus.services.identity.tables.roles import roles
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


def role_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make roles, global or of a domain."""
    for spec in specs:
        spec["options"] = merged(None, spec["options"])
    domains_require(tx, (spec["domain_id"] for spec in specs if spec["domain_id"] is not None))
    try:
        tx.insert(roles, [{**ROLE.row(spec), "owner": spec["domain_id"] or ""} for spec in specs])
    except Duplicate:
        raise NameTaken("role", specs[0]) from None
    except Referenced:
        raise DomainNotFound(id=specs[0]["domain_id"]) from None
    announce_many(tx, context, "role.create", [(spec["id"], {"name": spec["name"]}) for spec in specs])
    return specs


def role_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change names or descriptions of roles."""
    for update in updates:
        require_mutable("role", update.original, update.changes)
        if "options" in update.changes:
            update.changes["options"] = merged(update.original["options"], update.changes["options"])
        if update.changes.get("domain_id", update.original["domain_id"]) != update.original["domain_id"]:
            raise ValidationError("Update of `domain_id` is not allowed.")
    try:
        changed = ROLE.change(tx, context, updates)
    except Duplicate:
        raise NameTaken("role", {**updates[0].original, **updates[0].changes}) from None
    announce_token_changes(tx, context, "role.update", changed_names(updates))
    return changed


def role_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete roles, with the grants of them, what they implied and the application credentials that have
    them."""
    for one in originals:
        require_deletable("role", one)
    cascade.application_credentials_with(tx, [one["id"] for one in originals])
    ROLE.remove(tx, originals)
    announce_token_changes(
        tx, context, "role.delete", [(one["id"], {"name": one["name"]}) for one in originals]
    )
