"""Units of work of subnet pools and address scopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.rules import prefixes
from pileus.services.network.sharing.everybody import share_changed, share_new
from pileus.services.network.sharing.targets import ADDRESS_SCOPES, SUBNETPOOLS, caller_of, shared_to
from pileus.services.network.subnetpools.resource import ADDRESS_SCOPE, SUBNETPOOL, AddressScopeNotFound
from pileus.services.network.subnetpools.tables import address_scopes, subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.errors import Referenced
from pileus.store.tx import Tx

SUBNETPOOL_QUOTA = network_quota("subnetpool", -1, subnetpools.c.project_id)


class SubnetPoolDeleteError(Invalid):
    message = "Unable to delete subnet pool: {reason}."


class AddressScopeInUse(InUse):
    message = (
        "Unable to complete operation on address scope {address_scope_id}. "
        "There are one or more subnet pools in use on the address scope"
    )


class AddressScopePrefixConflict(Conflict):
    message = (
        "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
    )


class IllegalSubnetPoolIpVersionAssociationToAddressScope(Invalid):
    message = (
        "Illegal subnetpool association: subnetpool {subnetpool_id} cannot associate with address scope "
        "{address_scope_id} because subnetpool ip_version is not {ip_version}."
    )


class IllegalSubnetPoolUpdate(Invalid):
    message = "Illegal subnetpool update : {reason}."


_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")
_DEFAULTS = select(subnetpools.c.id).where(
    subnetpools.c.is_default, subnetpools.c.ip_version == bindparam("version")
)
_SCOPES = select(
    address_scopes.c.id,
    address_scopes.c.project_id,
    shared_to(ADDRESS_SCOPES, bindparam("caller")).label("shared"),
    address_scopes.c.ip_version,
).where(address_scopes.c.id == bindparam("scope"))
_IN_SCOPE = select(subnetpools.c.id, subnetpools.c.prefixes).where(
    subnetpools.c.address_scope_id == bindparam("scope")
)
_USED = (
    select(subnets.c.subnetpool_id)
    .where(subnets.c.subnetpool_id.in_(bindparam("ids", expanding=True)))
    .limit(1)
)


def subnetpool_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new pools."""
    specs = copied(specs)
    spend(tx, specs, SUBNETPOOL_QUOTA)
    for spec in specs:
        spec["ip_version"], spec["prefixes"] = prefixes.compact(spec["prefixes"])
        spec.update(prefixes.bounds(spec["ip_version"], {name: spec[name] for name in _LENGTHS}))
        _check_default(tx, spec)
        _check_scope(tx, context, spec)
    SUBNETPOOL.insert(tx, context, specs)
    share_new(tx, context, SUBNETPOOLS, specs)
    tx.emit_many([event(context, "subnetpool.create", one["id"], one["project_id"]) for one in specs])
    return specs


def subnetpool_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change pools; prefixes may be added, not taken away."""
    updates = copied_updates(updates)
    for one in updates:
        pool, changes = one.original, one.changes
        if pool["address_scope_id"]:
            _check_owned(tx, context, pool)
        if "prefixes" in changes:
            version, compacted = prefixes.compact(changes["prefixes"])
            if version != pool["ip_version"]:
                raise prefixes.PrefixVersionMismatch()
            prefixes.check_kept(pool["prefixes"], compacted)
            changes["prefixes"] = compacted
        merged = Values({**pool, **changes})
        prefixes.bounds(merged["ip_version"], {name: merged[name] for name in _LENGTHS})
        if changes.get("is_default") and not pool["is_default"]:
            _check_default(tx, merged)
        if {"address_scope_id", "prefixes"} & {*changes}:
            _check_scope(tx, context, merged)
    after = SUBNETPOOL.change(tx, context, updates)
    tx.emit_many([event(context, "subnetpool.update", one["id"], one["project_id"]) for one in after])
    return after


def subnetpool_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete pools; SubnetPoolDeleteError while a subnet comes from one."""
    ids = [one["id"] for one in originals]
    tx.lock(*(f"subnetpool:{one}" for one in ids))
    if tx.first(_USED, {"ids": ids}) is not None:
        raise SubnetPoolDeleteError(reason="Subnet pool has existing allocations")
    SUBNETPOOL.remove(tx, originals)
    tx.emit_many([event(context, "subnetpool.delete", one["id"], one["project_id"]) for one in originals])


def address_scope_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new scopes."""
    ADDRESS_SCOPE.insert(tx, context, specs)
    share_new(tx, context, ADDRESS_SCOPES, specs)
    tx.emit_many([event(context, "address_scope.create", one["id"], one["project_id"]) for one in specs])
    return list(specs)


def address_scope_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change scopes; what is shared stays so."""
    for one in updates:
        if one.original["shared"] and one.changes.get("shared") is False:
            raise InvalidInput(
                f"Unable to update address scope {one.original['id']} : Shared address scope "
                "can't be unshared"
            )
    share_changed(tx, context, ADDRESS_SCOPES, updates)
    after = ADDRESS_SCOPE.change(tx, context, updates)
    tx.emit_many([event(context, "address_scope.update", one["id"], one["project_id"]) for one in after])
    return after


def address_scope_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete scopes; AddressScopeInUse while a pool is in one."""
    try:
        with tx.savepoint():
            ADDRESS_SCOPE.remove(tx, originals)
    except Referenced:
        raise AddressScopeInUse(address_scope_id=originals[0]["id"]) from None
    tx.emit_many([event(context, "address_scope.delete", one["id"], one["project_id"]) for one in originals])


def _check_owned(tx: Tx, context: Context, pool: Values) -> None:
    """IllegalSubnetPoolUpdate where the pool is in a scope of somebody else's, who says what is in it."""
    scope = tx.first(_SCOPES, {"scope": pool["address_scope_id"], "caller": caller_of(context)})
    if scope is not None and not (context.is_admin or scope.project_id == context.project_id):
        raise IllegalSubnetPoolUpdate(
            reason=f"subnetpool {pool['id']} cannot be updated when associated with shared address scope "
            f"{pool['address_scope_id']}"
        )


def _check_default(tx: Tx, pool: Mapping[str, Any]) -> None:
    if not pool["is_default"]:
        return
    other = tx.first(_DEFAULTS, {"version": pool["ip_version"]})
    if other is not None and other.id != pool["id"]:
        raise InvalidInput(
            "A default subnetpool for this IP family has already been set. Only one default "
            "may exist per IP family"
        )


def _check_scope(tx: Tx, context: Context, pool: Mapping[str, Any]) -> None:
    """The scope exists, is of the pool's IP version, and no other pool in it has the same addresses."""
    scope_id = pool["address_scope_id"]
    if not scope_id:
        return
    tx.lock(f"address_scope:{scope_id}")
    scope = tx.first(_SCOPES, {"scope": scope_id, "caller": caller_of(context)})
    if scope is None or not (context.is_admin or scope.shared or scope.project_id == context.project_id):
        raise AddressScopeNotFound(address_scope_id=scope_id)
    if scope.ip_version != pool["ip_version"]:
        raise IllegalSubnetPoolIpVersionAssociationToAddressScope(
            subnetpool_id=pool["id"], address_scope_id=scope_id, ip_version=scope.ip_version
        )
    for other in tx.rows(_IN_SCOPE, {"scope": scope_id}):
        if other.id != pool["id"] and prefixes.share(pool["prefixes"], other.prefixes):
            raise AddressScopePrefixConflict()
