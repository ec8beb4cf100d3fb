"""All providers of resources: the hosts, the cards that their agents tell of, and what operators made.

One truth: what is promised is read where the scheduler counts it, and the scheduler asks these values. They
are read whole, in a constant number of statements, since a question may be about all of them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, func, select

from pileus.services.compute.nodes.reading import inventory_of
from pileus.services.compute.rules.host_facts import HostFacts, Ratios, inventories_of, ratios_of, used_of
from pileus.services.compute.rules.providers import OF_HOSTS, Amounts, Inventory, Landscape, Provider
from pileus.services.compute.rules.standard_resources import TRAITS
from pileus.services.compute.tables.nodes import aggregate_hosts, aggregates, compute_nodes
from pileus.services.compute.tables.placement import (
    placement_aggregates,
    placement_allocations,
    placement_inventories,
    placement_provider_traits,
    placement_providers,
)
from pileus.services.compute.tables.servers import allocations, server_migrations
from pileus.services.compute.uses.network import TUNNELLED, guarantees_carried, guarantees_left
from pileus.store.tx import Tx

RATES = {"egress": "NET_BW_EGR_KILOBIT_PER_SEC", "ingress": "NET_BW_IGR_KILOBIT_PER_SEC"}
"""The resource classes of a card, by direction."""

_GIVEN = (
    select(allocations.c.server_id.label("id"), allocations.c.resources).where(
        allocations.c.resources.is_not(None)
    ),
    select(server_migrations.c.id, server_migrations.c.held_resources.label("resources")).where(
        server_migrations.c.held_host.is_not(None), server_migrations.c.held_resources.is_not(None)
    ),
)
_TAKEN = select(
    placement_allocations.c.provider_id,
    placement_allocations.c.resource_class,
    func.sum(placement_allocations.c.used).label("used"),
).group_by(placement_allocations.c.provider_id, placement_allocations.c.resource_class)
_HOST_AGGREGATES = select(aggregate_hosts.c.host, aggregates.c.id).where(
    aggregates.c.number == aggregate_hosts.c.aggregate
)
_SEEN = select(compute_nodes.c.id, compute_nodes.c.updated_at)
_PROVIDERS = select(placement_providers).order_by(placement_providers.c.created_at, placement_providers.c.id)
_INVENTORIES = select(placement_inventories).order_by(placement_inventories.c.resource_class)


class Given(NamedTuple):
    """The resources besides CPUs, memory and disk that a server or a migration was given."""

    consumer_id: str
    resources: Mapping[str, Amounts]


class _Told(NamedTuple):
    """All that operators have told, by provider."""

    rows: dict[str, Row[Any]]
    inventories: dict[str, dict[str, Inventory]]
    traits: dict[str, set[str]]
    aggregates: dict[str, set[str]]
    used: dict[str, dict[str, int]]


def given_read(tx: Tx) -> list[Given]:
    """Resources that servers and migrations have besides the room of hosts; two statements."""
    return [Given(row.id, row.resources) for statement in _GIVEN for row in tx.rows(statement)]


def with_providers(tx: Tx, hosts: Sequence[HostFacts], ratios: Ratios) -> list[HostFacts]:
    """The hosts with all providers of resources, where something is asked of these."""
    landscape = landscape_read(tx, hosts, ratios)
    return [msgspec.structs.replace(one, landscape=landscape) for one in hosts]


def landscape_read(tx: Tx, hosts: Sequence[HostFacts], ratios: Ratios) -> Landscape:
    """All providers, those of hosts first; twelve statements."""
    told = _told(tx)
    derived = [*_of_hosts(tx, hosts, ratios), *_of_cards(tx, hosts)]
    roots = {one.id: one.root_id for one in derived}
    found = [_with(one, told) for one in derived]
    found += [_made(row, told) for row in told.rows.values() if not row.derived and row.id not in roots]
    return Landscape(found)


def _told(tx: Tx) -> _Told:
    told = _Told({row.id: row for row in tx.rows(_PROVIDERS)}, {}, {}, {}, {})
    for row in tx.rows(_INVENTORIES):
        told.inventories.setdefault(row.provider_id, {})[row.resource_class] = inventory_of(row)
    for row in tx.rows(select(placement_provider_traits)):
        told.traits.setdefault(row.provider_id, set()).add(row.trait)
    for row in tx.rows(select(placement_aggregates)):
        told.aggregates.setdefault(row.provider_id, set()).add(row.aggregate_id)
    for row in tx.rows(_TAKEN):
        told.used.setdefault(row.provider_id, {})[row.resource_class] = int(row.used)
    for one in given_read(tx):
        for provider_id, amounts in one.resources.items():
            used = told.used.setdefault(provider_id, {})
            for name, amount in amounts.items():
                used[name] = used.get(name, 0) + amount
    return told


def _of_hosts(tx: Tx, hosts: Iterable[HostFacts], ratios: Ratios) -> list[Provider]:
    groups: dict[str, set[str]] = {}
    for row in tx.rows(_HOST_AGGREGATES):
        groups.setdefault(row.host, set()).add(row.id)
    seen = {row.id: row.updated_at for row in tx.rows(_SEEN)}
    return [
        Provider(
            id=one.node_id,
            name=one.node,
            root_id=one.node_id,
            host=one.host,
            inventories=inventories_of(one, ratios_of(one, ratios)),
            used=used_of(one),
            own_traits=_host_traits(one),
            own_aggregates=frozenset(groups.get(one.host, ())),
            updated_at=seen.get(one.node_id),
        )
        for one in hosts
    ]


def _host_traits(host: HostFacts) -> frozenset[str]:
    """The standard traits that a host's report says it has."""
    said = {"COMPUTE_NODE", f"HW_ARCH_{host.architecture.upper()}"}
    if not host.enabled:
        said.add("COMPUTE_STATUS_DISABLED")
    return frozenset(said & TRAITS)


def _of_cards(tx: Tx, hosts: Iterable[HostFacts]) -> list[Provider]:
    """The cards of which agents say what they carry (``switch.bandwidths``), each below its host."""
    carried = guarantees_carried(tx)
    left = guarantees_left(tx) if carried else {}
    found = []
    for host in hosts:
        names = sorted({key.rpartition(" ")[0] for key in carried.get(host.host, ())})
        for name in names:
            keys = {RATES[way]: f"{name} {way}" for way in RATES if f"{name} {way}" in carried[host.host]}
            rates = {key: carried[host.host][card] for key, card in keys.items()}
            found.append(
                Provider(
                    id=card_id(host.node_id, name),
                    name=f"{host.node}:Open vSwitch agent:{name}",
                    root_id=host.node_id,
                    parent_id=host.node_id,
                    card=name,
                    inventories={key: Inventory(total=rate, max_unit=rate) for key, rate in rates.items()},
                    used={key: rates[key] - left[host.host][card] for key, card in keys.items()},
                    own_traits=_card_traits(name),
                )
            )
    return found


def card_id(node_id: str, name: str) -> str:
    """The id of the provider that a host's card is; the same whoever computes it."""
    return str(uuid.uuid5(uuid.UUID(node_id), name))


def _card_traits(name: str) -> frozenset[str]:
    """The traits by which the resource requests of ports find a card."""
    plain = re.sub("[^0-9A-Za-z]+", "_", name).upper()
    place = "CUSTOM_NETWORK_TUNNEL_PROVIDER" if name == TUNNELLED else f"CUSTOM_PHYSNET_{plain}"
    return frozenset({place, "CUSTOM_VNIC_TYPE_NORMAL"})


def _with(one: Provider, told: _Told) -> Provider:
    """A provider that is there by itself, with what operators have told of it."""
    row = told.rows.get(one.id)
    more = {
        key: inventory
        for key, inventory in told.inventories.get(one.id, {}).items()
        if key not in OF_HOSTS or one.host is None
    }
    used = {key: amount for key, amount in told.used.get(one.id, {}).items() if key not in one.used}
    return msgspec.structs.replace(
        one,
        generation=row.generation if row is not None else 0,
        inventories={**more, **one.inventories},
        used={**one.used, **used},
        traits=one.own_traits | told.traits.get(one.id, set()),
        aggregates=one.own_aggregates | told.aggregates.get(one.id, set()),
        updated_at=row.updated_at if row is not None else one.updated_at,
    )


def _made(row: Row[Any], told: _Told) -> Provider:
    return Provider(
        id=row.id,
        name=row.name,
        root_id=row.root_id,
        parent_id=row.parent_id,
        generation=row.generation,
        inventories=told.inventories.get(row.id, {}),
        used=told.used.get(row.id, {}),
        traits=frozenset(told.traits.get(row.id, ())),
        aggregates=frozenset(told.aggregates.get(row.id, ())),
        updated_at=row.updated_at,
    )
