"""Who takes what of which provider: servers, migrations, and consumers of which operators have told.

What servers and migrations take is what the scheduler has promised them; nobody else can change it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Select, or_, select

from pileus.services.compute.nodes.providers import RATES, card_id
from pileus.services.compute.rules.providers import OF_HOSTS, Landscape
from pileus.services.compute.tables.placement import placement_allocations, placement_consumers
from pileus.services.compute.tables.servers import (
    allocations,
    server_interfaces,
    server_migrations,
    servers,
)
from pileus.services.compute.uses.network import guarantees_of_ports
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

INSTANCE, MIGRATION = "INSTANCE", "MIGRATION"
UNKNOWN = "unknown"
DERIVED = (INSTANCE, MIGRATION)


class Consumer(msgspec.Struct, kw_only=True):
    """Somebody who takes resources. ``derived``: a server or a migration. ``amounts`` by provider."""

    id: str
    project_id: str
    user_id: str
    kind: str | None
    generation: int
    updated_at: dt.datetime | None
    derived: bool
    amounts: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    def take(self, provider_id: str, amounts: Mapping[str, int]) -> None:
        """Take more of a provider."""
        mine = self.amounts.setdefault(provider_id, {})
        for name, amount in amounts.items():
            if amount > 0:
                mine[name] = mine.get(name, 0) + amount
        if not mine:
            del self.amounts[provider_id]


_SERVERS = select(
    allocations, servers.c.user_id, servers.c.updated_at, servers.c.host.label("server_host")
).join(servers, servers.c.id == allocations.c.server_id)
_MIGRATIONS = (
    select(server_migrations, servers.c.project_id.label("owner"), servers.c.user_id.label("owned_by"))
    .join(servers, servers.c.id == server_migrations.c.server_id)
    .where(server_migrations.c.held_host.is_not(None))
)
_OWN = select(placement_consumers, placement_allocations).join(
    placement_allocations, placement_allocations.c.consumer_id == placement_consumers.c.id
)


def consumers_of(tx: Tx, landscape: Landscape, ids: Collection[str]) -> dict[str, Consumer]:
    """Some consumers, without those who take nothing; five statements."""
    several = sorted(ids)
    if not several:
        return {}
    return _read(
        tx,
        landscape,
        _SERVERS.where(column_in(tx, allocations.c.server_id, several)),
        _MIGRATIONS.where(column_in(tx, server_migrations.c.id, several)),
        _OWN.where(column_in(tx, placement_consumers.c.id, several)),
    )


def consumers_at(tx: Tx, landscape: Landscape, provider_id: str) -> dict[str, Consumer]:
    """All who take something of a provider; five statements."""
    provider = landscape.providers[provider_id]
    root = landscape.providers.get(provider.root_id)
    host = root.host if root is not None and root.host is not None else ""
    held = server_migrations.c
    found = _read(
        tx,
        landscape,
        _SERVERS.where(or_(allocations.c.host == host, allocations.c.resources.is_not(None))),
        _MIGRATIONS.where(or_(held.held_host == host, held.held_resources.is_not(None))),
        _OWN.where(placement_allocations.c.provider_id == provider_id),
    )
    return {key: one for key, one in found.items() if provider_id in one.amounts}


def consumers_in(tx: Tx, landscape: Landscape, project_id: str, user_id: str | None) -> dict[str, Consumer]:
    """All who take something for a project, or for one of its users; five statements."""
    rows = _SERVERS.where(allocations.c.project_id == project_id)
    moves = _MIGRATIONS.where(servers.c.project_id == project_id)
    own = _OWN.where(placement_consumers.c.project_id == project_id)
    if user_id is not None:
        rows = rows.where(servers.c.user_id == user_id)
        moves = moves.where(servers.c.user_id == user_id)
        own = own.where(placement_consumers.c.user_id == user_id)
    return _read(tx, landscape, rows, moves, own)


def _read(
    tx: Tx, landscape: Landscape, rows: Select[Any], moves: Select[Any], own: Select[Any]
) -> dict[str, Consumer]:
    found: dict[str, Consumer] = {}
    for row in tx.rows(rows):
        one = Consumer(
            id=row.server_id,
            project_id=row.project_id,
            user_id=row.user_id,
            kind=INSTANCE,
            generation=1,
            updated_at=row.updated_at,
            derived=True,
        )
        _promised(landscape, one, row.host, (row.vcpus, row.memory_mib, row.disk_gib), row.resources)
        found[one.id] = one
    for row in tx.rows(moves):
        one = Consumer(
            id=row.id,
            project_id=row.owner,
            user_id=row.owned_by,
            kind=MIGRATION,
            generation=1,
            updated_at=row.updated_at,
            derived=True,
        )
        amounts = (row.held_vcpus, row.held_memory_mib, row.held_disk_gib)
        _promised(landscape, one, row.held_host, amounts, row.held_resources)
        found[one.id] = one
    _guaranteed(tx, landscape, found)
    for row in tx.rows(own):
        one = found.setdefault(
            row.id,
            Consumer(
                id=row.id,
                project_id=row.project_id,
                user_id=row.user_id,
                kind=row.kind,
                generation=row.generation,
                updated_at=row.updated_at,
                derived=False,
            ),
        )
        one.take(row.provider_id, {row.resource_class: int(row.used)})
    return {key: one for key, one in found.items() if one.amounts}


def _promised(
    landscape: Landscape,
    one: Consumer,
    host: str,
    amounts: Iterable[int],
    resources: Mapping[str, Mapping[str, int]] | None,
) -> None:
    provider = landscape.by_host.get(host)
    if provider is not None:
        one.take(provider.id, dict(zip(OF_HOSTS, amounts, strict=True)))
    for provider_id, more in (resources or {}).items():
        one.take(provider_id, more)


def _guaranteed(tx: Tx, landscape: Landscape, found: Mapping[str, Consumer]) -> None:
    """Put in the bandwidth that servers' ports are guaranteed, where an agent tells of the card."""
    if not found or not any(one.card is not None for one in landscape.providers.values()):
        return
    c = server_interfaces.c
    rows = tx.rows(
        select(c.port_id, c.server_id, servers.c.host)
        .join(servers, servers.c.id == c.server_id)
        .where(column_in(tx, c.server_id, sorted(found)))
    )
    rates = guarantees_of_ports(tx, [row.port_id for row in rows])
    for row in rows:
        host = landscape.by_host.get(row.host or "")
        for key, kbps in rates.get(row.port_id, {}).items():
            name, _, way = key.rpartition(" ")
            if host is not None and (card := card_id(host.id, name)) in landscape.providers:
                found[row.server_id].take(card, {RATES[way]: kbps})
