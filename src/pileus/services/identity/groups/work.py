"""Units of work of groups, batch first."""

from __future__ import annotations

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.services.identity.common.domains import domains_require
from pileus.services.identity.common.errors import DomainNotFound, NameTaken, ValidationError
from pileus.services.identity.common.generation import announce_many, announce_token_changes, changed_names
from pileus.services.identity.groups.resource import GROUP
from pileus.services.identity.tables import cascade
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


def group_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make groups."""
    domains_require(tx, (spec["domain_id"] for spec in specs))
    try:
        GROUP.insert(tx, context, specs)
    except Duplicate:
        raise NameTaken("group", specs[0]) from None
    except Referenced:
        raise DomainNotFound(id=specs[0]["domain_id"]) from None
    announce_many(tx, context, "group.create", [(spec["id"], {"name": spec["name"]}) for spec in specs])
    return specs


def group_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change names, descriptions or additional attributes of groups."""
    for update in updates:
        if update.changes.get("domain_id", update.original["domain_id"]) != update.original["domain_id"]:
            raise ValidationError("Cannot change Domain ID")
    try:
        changed = GROUP.change(tx, context, updates)
    except Duplicate:
        raise NameTaken("group", {**updates[0].original, **updates[0].changes}) from None
    announce_many(tx, context, "group.update", changed_names(updates))
    return changed


def group_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete groups with their grants; the members stay, as users."""
    keys = [one["id"] for one in originals]
    GROUP.remove(tx, originals)
    cascade.of_groups(tx, keys)
    announce_token_changes(tx, context, "group.delete", [(key, {}) for key in keys])
