"""Units of work by which operators' consumers take resources: all that a request says, or nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import delete

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource.event import event
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.consumers import Consumer, consumers_of
from pileus.services.compute.placement.errors import (
    BadRequest,
    CannotAllocate,
    ConcurrentUpdate,
    UnknownProvider,
)
from pileus.services.compute.placement.inventories import inventory_from
from pileus.services.compute.placement.queries import classes_unknown
from pileus.services.compute.placement.work import begin, inventories_set, providers_bump
from pileus.services.compute.rules.providers import Landscape, out_of_units
from pileus.services.compute.tables.placement import placement_allocations, placement_consumers
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The project and the user of consumers of which clients of old told neither."""


class ConsumerIsDerived(Conflict):
    message = "Consumer {id} is a {kind}: the scheduler says what it takes, and nobody else."


class Wish(msgspec.Struct, kw_only=True):
    """The resources that a consumer is to take. ``knows``: whether its ``generation`` was said at all."""

    amounts: Mapping[str, Mapping[str, int]]
    project_id: str | None = None
    user_id: str | None = None
    kind: str | None = None
    knows: bool = False
    generation: int | None = None


def allocations_replace(tx: Tx, context: Context, config: ComputeConfig, wishes: Mapping[str, Wish]) -> None:
    """Give consumers what they are to take, and nothing else. Raises ConcurrentUpdate, CannotAllocate, …"""
    landscape = begin(tx, context, config)
    _replace(tx, context, landscape, wishes)


def _replace(
    tx: Tx, context: Context, landscape: Landscape, wishes: Mapping[str, Wish], *, over: bool = False
) -> None:
    """``over``: consumers end, which changes no provider's generation."""
    known = consumers_of(tx, landscape, wishes)
    for consumer_id, wish in wishes.items():
        _judge_consumer(consumer_id, wish, known.get(consumer_id))
    _judge_names(tx, landscape, wishes)
    _judge_room(landscape, wishes, known)
    _write(tx, context, wishes, known)
    touched = {
        key
        for ids in (
            *(one.amounts for one in wishes.values()),
            *(one.amounts for one in known.values() if not over),
        )
        for key in ids
    }
    providers_bump(tx, context, [landscape.providers[key] for key in touched if key in landscape.providers])


def _judge_consumer(consumer_id: str, wish: Wish, now: Consumer | None) -> None:
    if now is not None and now.derived:
        raise ConsumerIsDerived(id=consumer_id, kind="server" if now.kind == "INSTANCE" else "migration")
    expected = now.generation if now is not None else None
    if wish.knows and wish.generation != expected:
        raise ConcurrentUpdate(
            f"consumer generation conflict - expected {'null' if expected is None else expected} "
            f"but got {wish.generation}"
        )


def _judge_names(tx: Tx, landscape: Landscape, wishes: Mapping[str, Wish]) -> None:
    amounts = [pair for one in wishes.values() for pair in one.amounts.items()]
    for provider_id, _ in amounts:
        if provider_id not in landscape.providers:
            raise UnknownProvider(f"Allocation for resource provider '{provider_id}' that does not exist.")
    unknown = classes_unknown(tx, {name for _, several in amounts for name in several})
    if unknown:
        raise BadRequest(f"Unable to allocate inventory for consumer: No such resource class {unknown[0]}.")


def _judge_room(landscape: Landscape, wishes: Mapping[str, Wish], known: Mapping[str, Consumer]) -> None:
    """Refuse what providers don't have; where less is taken than before, it may be too much still."""
    change: dict[tuple[str, str], int] = {}
    for one in known.values():
        for provider_id, taken in one.amounts.items():
            for name, amount in taken.items():
                change[provider_id, name] = change.get((provider_id, name), 0) - amount
    for wish in wishes.values():
        for provider_id, several in wish.amounts.items():
            provider = landscape.providers[provider_id]
            for name, amount in several.items():
                inventory = provider.inventories.get(name)
                if inventory is None:
                    raise CannotAllocate(
                        reason=f"Inventory for '{name}' on resource provider '{provider_id}' invalid."
                    )
                if provider.card is not None and name in provider.used:
                    raise CannotAllocate(reason=f"{name} of {provider.name} is given to ports alone.")
                reason = out_of_units(inventory, amount)
                if reason is not None:
                    raise CannotAllocate(
                        reason=f"Unable to create allocation for '{name}' on resource provider "
                        f"'{provider_id}'. The requested amount would violate inventory constraints: "
                        f"{reason}."
                    )
                change[provider_id, name] = change.get((provider_id, name), 0) + amount
    for (provider_id, name), more in change.items():
        at = landscape.providers.get(provider_id)
        if at is not None and more > 0 and more > at.room(name):
            raise CannotAllocate(
                reason=f"Unable to create allocation for '{name}' on resource provider '{provider_id}'. "
                "The requested amount would exceed the capacity."
            )


def _write(tx: Tx, context: Context, wishes: Mapping[str, Wish], known: Mapping[str, Consumer]) -> None:
    ids = sorted(wishes)
    table = placement_consumers
    if known:
        allocated = placement_allocations
        tx.execute(delete(allocated).where(column_in(tx, allocated.c.consumer_id, ids)))
        tx.execute(delete(table).where(column_in(tx, table.c.id, ids)))
    consumers, rows = [], []
    for consumer_id, wish in wishes.items():
        if not wish.amounts:
            continue
        now = known.get(consumer_id)
        consumers.append(
            {
                "id": consumer_id,
                "project_id": wish.project_id or (now.project_id if now else NOBODY),
                "user_id": wish.user_id or (now.user_id if now else NOBODY),
                "kind": wish.kind or (now.kind if now else None),
                "generation": now.generation + 1 if now else 1,
                "updated_at": context.now,
            }
        )
        rows += [
            {
                "consumer_id": consumer_id,
                "provider_id": provider_id,
                "resource_class": name,
                "used": amount,
            }
            for provider_id, several in wish.amounts.items()
            for name, amount in several.items()
        ]
    if consumers:
        tx.insert(table, consumers)
        tx.insert(placement_allocations, rows)
    tx.emit_many(
        [
            event(context, "resource_consumer.update", key, wish.project_id, providers=sorted(wish.amounts))
            for key, wish in wishes.items()
        ]
    )


def allocations_delete(tx: Tx, context: Context, config: ComputeConfig, consumer_id: str) -> None:
    """A consumer takes nothing any more. Raises NotFound where it takes nothing."""
    landscape = begin(tx, context, config)
    if not consumers_of(tx, landscape, [consumer_id]):
        raise NotFound(f"No allocations for consumer '{consumer_id}'")
    _replace(tx, context, landscape, {consumer_id: Wish(amounts={})}, over=True)


def reshape(
    tx: Tx,
    context: Context,
    config: ComputeConfig,
    inventories: Mapping[str, Any],
    wishes: Mapping[str, Wish],
) -> None:
    """Move inventories and what is taken of them between providers, all at once.

    First everything is there that was or will be, then allocations change, then goes what is not to be.
    """
    landscape = begin(tx, context, config)
    for provider_id, given in inventories.items():
        one = landscape.providers.get(provider_id)
        if one is None:
            raise UnknownProvider(f"Resource provider {provider_id} in inventories not found.")
        generation = given["resource_provider_generation"]
        if generation != one.generation:
            raise ConcurrentUpdate(
                f"resource provider generation conflict for provider {provider_id}: "
                f"actual: {one.generation}, given: {generation}"
            )
    providers_bump(tx, context, [landscape.providers[key] for key in inventories])
    both = Landscape(
        msgspec.structs.replace(
            one,
            inventories={
                **one.inventories,
                **{
                    name: inventory_from(given)
                    for name, given in inventories.get(one.id, {}).get("inventories", {}).items()
                },
            },
        )
        for one in landscape.providers.values()
    )
    _replace(tx, context, both, wishes)
    after = begin(tx, context, config)
    for provider_id, given in inventories.items():
        wanted = {name: inventory_from(one) for name, one in given["inventories"].items()}
        inventories_set(tx, context, after.providers[provider_id], wanted, whole=True)
