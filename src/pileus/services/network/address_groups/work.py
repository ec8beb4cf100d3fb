"""Units of work of address groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.address_groups.resource import ADDRESS_GROUP, addresses_load, addresses_save
from pileus.services.network.address_groups.tables import address_group_addresses
from pileus.services.network.common.errors import InUse
from pileus.services.network.security_groups.tables import security_group_rules
from pileus.store.column_in import column_in
from pileus.store.errors import Referenced
from pileus.store.event import Event
from pileus.store.tx import Tx
from pileus.wire import scopes


class AddressGroupInUse(InUse):
    message = "Address group {address_group_id} is in use on one or more security group rules."


class AddressesNotFound(NotFound):
    message = "Addresses {addresses} not found in the address group {address_group_id}."


class AddressesAlreadyExist(Invalid):
    message = "Addresses {addresses} already exist in the address group {address_group_id}."


_REFERRING = (
    select(security_group_rules.c.remote_address_group_id)
    .where(security_group_rules.c.remote_address_group_id.in_(bindparam("ids", expanding=True)))
    .limit(1)
)


def address_group_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new groups with their prefixes."""
    ADDRESS_GROUP.insert(tx, context, specs)
    tx.emit_many([_event(context, "address_group.create", spec, ()) for spec in specs])
    return list(specs)


def address_group_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names and descriptions, which no switch cares about."""
    after = ADDRESS_GROUP.change(tx, context, updates)
    tx.emit_many([_event(context, "address_group.update", group, ()) for group in after])
    return after


def address_group_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete groups; AddressGroupInUse while a rule refers to one."""
    used = tx.first(_REFERRING, {"ids": [group["id"] for group in originals]})
    if used is not None:
        raise AddressGroupInUse(address_group_id=used.remote_address_group_id)
    try:
        with tx.savepoint():
            ADDRESS_GROUP.remove(tx, originals)
    except Referenced:
        raise AddressGroupInUse(address_group_id=originals[0]["id"]) from None
    tx.emit_many([_event(context, "address_group.delete", group, ()) for group in originals])


def addresses_add(tx: Tx, context: Context, group: Values, addresses: Sequence[str]) -> Values:
    """Put prefixes into a group; AddressesAlreadyExist where it has one of them."""
    present = sorted(set(addresses) & set(group["addresses"]))
    if present:
        raise AddressesAlreadyExist(addresses=present, address_group_id=group["id"])
    addresses_save(tx, context, {group["id"]: addresses})
    return _changed(tx, context, group)


def addresses_remove(tx: Tx, context: Context, group: Values, addresses: Sequence[str]) -> Values:
    """Take prefixes out of a group; AddressesNotFound where it lacks one of them."""
    absent = sorted(set(addresses) - set(group["addresses"]))
    if absent:
        raise AddressesNotFound(addresses=absent, address_group_id=group["id"])
    if addresses:
        tx.execute(
            delete(address_group_addresses).where(
                address_group_addresses.c.address_group_id == group["id"],
                column_in(tx, address_group_addresses.c.address, addresses),
            )
        )
    return _changed(tx, context, group)


def _changed(tx: Tx, context: Context, group: Values) -> Values:
    """Count the change, wake those who let the group's members in, and return the group as it is now."""
    (after,) = ADDRESS_GROUP.change(tx, context, [Update(group, Values())])
    after["addresses"] = addresses_load(tx, [group["id"]]).get(group["id"], [])
    tx.emit_many([_event(context, "address_group.update", after, [scopes.address_group(group["id"])])])
    return after


def _event(context: Context, kind: str, group: Mapping[str, Any], concerned: Iterable[str]) -> Event:
    return event(context, kind, group["id"], group["project_id"], concerned, name=group["name"])
