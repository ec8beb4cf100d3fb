"""Providers of resources as values: trees of what has inventories, and what of these is taken. Pure.

Words are Placement's: a host is a provider, what belongs to it are providers below it, and a provider with
the trait ``MISC_SHARES_VIA_AGGREGATE`` serves all trees that are in one of its aggregates.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping

import msgspec

VCPU, MEMORY_MB, DISK_GB = "VCPU", "MEMORY_MB", "DISK_GB"
OF_HOSTS = (VCPU, MEMORY_MB, DISK_GB)
"""The classes that each host has, in the order in which they are told."""
SHARES = "MISC_SHARES_VIA_AGGREGATE"
LARGEST = 2**31 - 1

Amounts = Mapping[str, int]
"""How much of each resource class."""
Given = Mapping[str, Amounts]
"""The amounts that providers give, by their ids."""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The stock of a class that a provider has. A request is between the units, in steps."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = LARGEST
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """How much may be promised."""
        return int((self.total - self.reserved) * self.allocation_ratio)


def out_of_units(inventory: Inventory, amount: int) -> str | None:
    """Say why an amount can't be asked of an inventory, whatever is free."""
    if amount < inventory.min_unit:
        return f"{amount} wanted, {inventory.min_unit} is the least"
    if amount > inventory.max_unit:
        return f"{amount} wanted, {inventory.max_unit} is the most"
    if amount % inventory.step_size:
        return f"{amount} wanted, it is given in steps of {inventory.step_size}"
    return None


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """``host`` is the host that it is, ``card`` the network card of which an agent told; both are None for
    what an operator has made. ``own_traits`` and ``own_aggregates`` are those that nobody may take away."""

    id: str
    name: str
    root_id: str
    parent_id: str | None = None
    generation: int = 0
    host: str | None = None
    card: str | None = None
    inventories: Mapping[str, Inventory] = msgspec.field(default_factory=dict)
    used: Amounts = msgspec.field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()
    own_traits: frozenset[str] = frozenset()
    own_aggregates: frozenset[str] = frozenset()
    updated_at: dt.datetime | None = None

    @property
    def is_derived(self) -> bool:
        """Whether it is there because a node has told of it."""
        return self.host is not None or self.card is not None

    def room(self, resource_class: str) -> int:
        """How much is left of a class."""
        inventory = self.inventories.get(resource_class)
        return inventory.capacity - self.used.get(resource_class, 0) if inventory else 0

    def gives(self, resource_class: str, amount: int) -> bool:
        """Whether so much may be taken of it now."""
        inventory = self.inventories.get(resource_class)
        return (
            inventory is not None
            and out_of_units(inventory, amount) is None
            and self.used.get(resource_class, 0) + amount <= inventory.capacity
        )


class Landscape:
    """All providers, with what is asked of them all the time found once."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.providers = {one.id: one for one in providers}

    @functools.cached_property
    def trees(self) -> dict[str, list[Provider]]:
        """The providers of each tree, by its root."""
        found: dict[str, list[Provider]] = {}
        for one in self.providers.values():
            found.setdefault(one.root_id, []).append(one)
        return found

    @functools.cached_property
    def children(self) -> dict[str, list[Provider]]:
        """The providers directly below each."""
        found: dict[str, list[Provider]] = {}
        for one in self.providers.values():
            if one.parent_id is not None:
                found.setdefault(one.parent_id, []).append(one)
        return found

    @functools.cached_property
    def sharing(self) -> dict[str, list[Provider]]:
        """The providers of other trees that serve a tree, by its root."""
        members: dict[str, set[str]] = {}
        for one in self.providers.values():
            for aggregate in one.aggregates:
                members.setdefault(aggregate, set()).add(one.root_id)
        found: dict[str, list[Provider]] = {}
        for one in self.providers.values():
            if SHARES in one.traits:
                served = {root for aggregate in one.aggregates for root in members[aggregate]}
                for root in sorted(served - {one.root_id}):
                    found.setdefault(root, []).append(one)
        return found

    @functools.cached_property
    def by_host(self) -> dict[str, Provider]:
        """The providers that are hosts."""
        return {one.host: one for one in self.providers.values() if one.host is not None}

    def is_below(self, provider_id: str, ancestor_id: str) -> bool:
        """Whether a provider is another one, or below it."""
        at: str | None = provider_id
        for _ in range(len(self.providers)):
            if at is None or at == ancestor_id:
                break
            above = self.providers.get(at)
            at = above.parent_id if above else None
        return at == ancestor_id

    def less(self, taken: Mapping[str, Amounts]) -> Landscape:
        """The same with more taken of some providers."""
        changed = dict(self.providers)
        for provider_id, amounts in taken.items():
            one = changed[provider_id]
            used = {**one.used}
            for name, amount in amounts.items():
                used[name] = used.get(name, 0) + amount
            changed[provider_id] = msgspec.structs.replace(one, used=used)
        return Landscape(changed.values())
