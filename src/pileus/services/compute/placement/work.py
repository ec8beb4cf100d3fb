"""Units of work of providers: made, renamed, moved and deleted; their inventories, traits and aggregates.

Each holds the lock under which the scheduler counts, reads everything, decides, and writes. A generation is
compared with the one that was just read, so it needs no condition in the statement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, delete, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.nodes.providers import RATES
from pileus.services.compute.placement.api import landscape_now, provider_of
from pileus.services.compute.placement.errors import (
    BadRequest,
    ConcurrentUpdate,
    DuplicateName,
    InventoryInUse,
    ProviderHasChildren,
    ProviderInUse,
    ProviderIsDerived,
)
from pileus.services.compute.placement.queries import classes_unknown, traits_unknown
from pileus.services.compute.rules.providers import OF_HOSTS, Inventory, Landscape, Provider
from pileus.services.compute.rules.standard_resources import CLASSES
from pileus.services.compute.servers.chains.placing import CLAIMS
from pileus.services.compute.tables.placement import (
    placement_aggregates,
    placement_inventories,
    placement_provider_traits,
    placement_providers,
)
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_CARDS = frozenset(RATES.values())


def begin(tx: Tx, context: Context, config: ComputeConfig) -> Landscape:
    """Hold what the scheduler counts, and read it."""
    tx.lock(CLAIMS)
    return landscape_now(tx, config, context.now)


def provider_create(
    tx: Tx, context: Context, config: ComputeConfig, provider_id: str, name: str, parent_id: str | None
) -> Provider:
    """Make a provider, a root or below another. Raises DuplicateName or BadRequest."""
    landscape = begin(tx, context, config)
    _free(landscape, name, provider_id)
    root_id = provider_id
    if parent_id is not None:
        if parent_id == provider_id:
            raise BadRequest(
                f'Unable to create resource provider "{name}", {provider_id}: parent provider UUID '
                "cannot be same as UUID."
            )
        root_id = _parent(landscape, parent_id, "create", name).root_id
    row = {
        "id": provider_id,
        "name": name,
        "derived": False,
        "generation": 0,
        "parent_id": parent_id,
        "root_id": root_id,
        "created_at": context.now,
        "updated_at": context.now,
    }
    tx.insert(placement_providers, [row])
    tx.emit(event(context, "resource_provider.create", provider_id, None, name=name))
    return Provider(id=provider_id, name=name, root_id=root_id, parent_id=parent_id, updated_at=context.now)


def _free(landscape: Landscape, name: str, provider_id: str | None = None) -> None:
    taken = []
    if provider_id is not None and provider_id in landscape.providers:
        taken.append(f"uuid: {provider_id}")
    if any(one.name == name for one in landscape.providers.values()):
        taken.append(f"name: {name}")
    if taken:
        raise DuplicateName(duplicates=", ".join(taken))


def _parent(landscape: Landscape, parent_id: str, verb: str, name: str) -> Provider:
    parent = landscape.providers.get(parent_id)
    if parent is None:
        raise BadRequest(
            f'Unable to {verb} resource provider "{name}": parent provider UUID {parent_id} does not exist.'
        )
    return parent


def provider_update(
    tx: Tx,
    context: Context,
    config: ComputeConfig,
    provider_id: str,
    changes: Mapping[str, Any],
    *,
    anywhere: bool,
) -> Provider:
    """Rename a provider, or give it a parent; ``anywhere``: it may have had another one."""
    landscape = begin(tx, context, config)
    one = provider_of(landscape, provider_id)
    name = changes["name"]
    parent_id = changes.get("parent_provider_uuid", one.parent_id)
    if one.is_derived and (name != one.name or parent_id != one.parent_id):
        raise ProviderIsDerived(id=one.id, reason="its name and its place can't be changed.")
    if name != one.name:
        if any(other.name == name for other in landscape.providers.values()):
            raise DuplicateName(duplicates=name)
        tx.emit(event(context, "resource_provider.update", one.id, None, name=name))
    root_id = one.root_id
    if parent_id != one.parent_id:
        root_id = _moved(tx, landscape, one, parent_id, anywhere)
    changed = msgspec.structs.replace(one, name=name, parent_id=parent_id, root_id=root_id)
    values = {"name": name, "parent_id": parent_id, "root_id": root_id, "updated_at": context.now}
    if not one.is_derived:
        tx.execute(update(placement_providers).where(placement_providers.c.id == one.id).values(values))
    return msgspec.structs.replace(changed, updated_at=context.now)


def _moved(tx: Tx, landscape: Landscape, one: Provider, parent_id: str | None, anywhere: bool) -> str:
    """Put a provider and what is below it into another tree, or make it a tree; returns the root."""
    failed = f"Unable to save resource provider {one.id}: "
    if one.parent_id is not None and not anywhere:
        how = "un-parenting a provider" if parent_id is None else "re-parenting a provider"
        raise BadRequest(f"{failed}{how} is not currently allowed.")
    if parent_id is not None and landscape.providers.get(parent_id) is None:
        raise BadRequest(f"{failed}parent provider UUID does not exist.")
    if parent_id is not None and landscape.is_below(parent_id, one.id):
        raise BadRequest(f"{failed}creating loop in the provider tree is not allowed.")
    root_id = one.id if parent_id is None else landscape.providers[parent_id].root_id
    below = [other.id for other in landscape.trees[one.root_id] if landscape.is_below(other.id, one.id)]
    where = column_in(tx, placement_providers.c.id, sorted(below))
    tx.execute(update(placement_providers).where(where).values(root_id=root_id))
    return root_id


def provider_delete(tx: Tx, context: Context, config: ComputeConfig, provider_id: str) -> None:
    """Delete a provider with its inventories, where nothing is taken of it and nothing is below it."""
    landscape = begin(tx, context, config)
    one = provider_of(landscape, provider_id, " for delete")
    if landscape.children.get(one.id):
        raise ProviderHasChildren(id=one.id)
    if any(one.used.values()):
        raise ProviderInUse(id=one.id)
    if one.is_derived:
        raise ProviderIsDerived(id=one.id, reason="it goes with the compute service.")
    of_it = (placement_inventories, placement_provider_traits, placement_aggregates)
    for table in of_it:
        tx.execute(delete(table).where(table.c.provider_id == one.id))
    tx.execute(delete(placement_providers).where(placement_providers.c.id == one.id))
    tx.emit(event(context, "resource_provider.delete", one.id, None, name=one.name))


def providers_bump(tx: Tx, context: Context, several: Collection[Provider]) -> None:
    """Providers have changed: their generations are one more."""
    if not several:
        return
    ids = sorted({one.id for one in several})
    table = placement_providers
    known = {row.id for row in tx.rows(table.select().where(column_in(tx, table.c.id, ids)))}
    if known:
        where = column_in(tx, table.c.id, sorted(known))
        changed = {"generation": table.c.generation + 1, "updated_at": context.now}
        tx.execute(update(table).where(where).values(changed))
    new = [_own_row(one, context.now) for one in several if one.id not in known]
    if new:
        tx.insert(table, new)


def _own_row(one: Provider, now: dt.datetime) -> dict[str, Any]:
    """The row of a provider that is there by itself; names are unique, so it has its id there."""
    return {
        "id": one.id,
        "name": one.id,
        "derived": True,
        "generation": 1,
        "parent_id": one.parent_id,
        "root_id": one.root_id,
        "created_at": now,
        "updated_at": now,
    }


def must_be(one: Provider, generation: int | None) -> None:
    """Raise ConcurrentUpdate unless a provider has the generation that the caller knows (None: any)."""
    if generation is not None and generation != one.generation:
        raise ConcurrentUpdate(
            f"resource provider generation conflict for provider {one.id}: actual: {one.generation}, "
            f"given: {generation}"
        )


def inventories_set(
    tx: Tx,
    context: Context,
    one: Provider,
    given: Mapping[str, Inventory],
    *,
    whole: bool,
    verb: str = "update",
) -> None:
    """Give a provider these inventories and no others. ``whole``: all of one may be reserved.

    Raises BadRequest, InventoryInUse or ProviderIsDerived.
    """
    unknown = classes_unknown(tx, given)
    if unknown:
        raise BadRequest(
            f"Unknown resource class in inventory for resource provider {one.id}: "
            f"No such resource class {unknown[0]}."
        )
    for name, inventory in given.items():
        least = 0 if whole else 1
        if inventory.capacity < least:
            raise BadRequest(
                f"Unable to {verb} inventory for resource provider {one.id}: Invalid inventory for '{name}' "
                f"on resource provider '{one.id}'. The reserved value is greater than "
                f"{'' if whole else 'or equal to '}total."
            )
    kept = _of_node(one)
    _judge_derived(one, given, kept)
    going = [
        name for name in one.inventories if name not in given and name not in kept and one.used.get(name)
    ]
    if going:
        raise InventoryInUse(classes=", ".join(sorted(going, key=_in_order)), provider=one.id)
    table = placement_inventories
    tx.execute(delete(table).where(table.c.provider_id == one.id))
    rows = [
        {"provider_id": one.id, "resource_class": name, **msgspec.structs.asdict(inventory)}
        for name, inventory in given.items()
        if one.card is None or name not in kept
    ]
    if rows:
        tx.insert(table, rows)
    providers_bump(tx, context, [one])
    tx.emit(event(context, "resource_provider.inventories", one.id, None, classes=sorted(given)))


def _in_order(name: str) -> tuple[int, str]:
    """Standard classes first, by their numbers."""
    return (CLASSES.index(name) if name in CLASSES else len(CLASSES), name)


def _of_node(one: Provider) -> frozenset[str]:
    """The classes of which the node says how much there is."""
    if one.host is not None:
        return frozenset(OF_HOSTS)
    return _CARDS if one.card is not None else frozenset()


def _judge_derived(one: Provider, given: Mapping[str, Inventory], kept: frozenset[str]) -> None:
    for name in kept & given.keys():
        has = one.inventories.get(name)
        if one.card is not None and given[name] != has:
            raise ProviderIsDerived(id=one.id, reason=f"{name} is what switch.bandwidths of its node says.")
        total = has.total if has is not None else 0
        if given[name].total != total:
            raise ProviderIsDerived(id=one.id, reason=f"it has {total} of {name}, whoever says what else.")


def traits_set(
    tx: Tx,
    context: Context,
    config: ComputeConfig,
    provider_id: str,
    names: Sequence[str],
    generation: int | None,
) -> Provider:
    """Give a provider these traits beside those that it has by itself. Raises BadRequest for unknown ones."""
    landscape = begin(tx, context, config)
    one = provider_of(landscape, provider_id)
    if generation is not None and generation != one.generation:
        raise ConcurrentUpdate(
            "Resource provider's generation already changed. Please update the generation and try again."
        )
    unknown = traits_unknown(tx, names)
    if unknown:
        raise BadRequest(f"No such trait {', '.join(unknown)}")
    told = sorted(set(names) - one.own_traits)
    _rewrite(tx, placement_provider_traits, one.id, "trait", told)
    providers_bump(tx, context, [one])
    return msgspec.structs.replace(
        one, traits=one.own_traits | set(told), generation=one.generation + 1, updated_at=context.now
    )


def aggregates_set(
    tx: Tx,
    context: Context,
    config: ComputeConfig,
    provider_id: str,
    ids: Sequence[str],
    generation: int | None,
) -> Provider:
    """Put a provider into these aggregates, beside those host aggregates that its host is in."""
    landscape = begin(tx, context, config)
    one = provider_of(landscape, provider_id)
    must_be(one, generation)
    told = sorted(set(ids) - one.own_aggregates)
    _rewrite(tx, placement_aggregates, one.id, "aggregate_id", told)
    grown = one.generation
    if generation is not None:
        # clients of old know no generation of aggregates, and their changes make none
        providers_bump(tx, context, [one])
        grown += 1
    return msgspec.structs.replace(
        one, aggregates=one.own_aggregates | set(told), generation=grown, updated_at=context.now
    )


def _rewrite(tx: Tx, table: Table, provider_id: str, column: str, values: Sequence[str]) -> None:
    tx.execute(delete(table).where(table.c.provider_id == provider_id))
    if values:
        tx.insert(table, [{"provider_id": provider_id, column: value} for value in values])
