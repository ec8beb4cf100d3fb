"""Where a server that exists goes: its host is chosen as a new server's is, and its ports follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.services.compute.errors import PortBindingFailed
from pileus.services.compute.nodes.providers import with_providers
from pileus.services.compute.nodes.reading import hosts_for_scheduler
from pileus.services.compute.rules.asks import question_of, room_of
from pileus.services.compute.rules.host_facts import without_over_commit
from pileus.services.compute.rules.providers import Given
from pileus.services.compute.rules.scheduler import HostFacts, Wanted, choose, sentence
from pileus.services.compute.servers.attached import ports_of
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.tables.servers import allocations, server_groups, servers
from pileus.services.compute.uses.image import images_of
from pileus.services.compute.uses.network import (
    as_update,
    bindings_refused,
    guarantees_asked,
    guarantees_left,
    is_networks_own,
    port_update,
)
from pileus.store.tx import Tx

CLAIMS = "compute:claims"
"""The lock under which room on hosts is counted and promised."""


class NoValidHost(Conflict):
    """No host takes the server."""


class GroupWishes(NamedTuple):
    """Of a server group: its policy, how many may be on one host, and where its members are."""

    policy: str | None = None
    per_host: int = 1
    hosts: tuple[str, ...] = ()


def group_wishes(tx: Tx, group_id: str | None, but: str = "") -> GroupWishes:
    """Read a server group; ``but``: the member that is to be placed. Two statements, none without a group."""
    if not group_id:
        return GroupWishes()
    columns = server_groups.c
    group = tx.first(select(columns.policy, columns.rules).where(columns.id == group_id))
    if group is None:
        return GroupWishes()
    c = servers.c
    rows = tx.rows(
        select(c.host).where(c.group_id == group_id, c.host.is_not(None), c.deleted_at.is_(None), c.id != but)
    )
    per_host = int((group.rules or {}).get("max_server_per_host", 1))
    return GroupWishes(group.policy, per_host, tuple(row.host for row in rows))


def claim_of(server: Mapping[str, Any], host: str, given: Given | None = None) -> dict[str, Any]:
    """The row by which a host promises a server its room, and ``given`` by providers of resources."""
    return {
        "server_id": server["id"],
        "host": host,
        "project_id": server["project_id"],
        **room_of(server, server["flavor"]["extra_specs"]),
        "resources": given or None,
    }


def claim_move(tx: Tx, server: Values, given: Given | None = None) -> Given | None:
    """The host that a server is on now has promised it its room, and the one before has not; returns what
    providers of resources gave it before."""
    before: Given | None = tx.scalar(
        select(allocations.c.resources).where(allocations.c.server_id == server["id"])
    )
    claim = claim_of(server, server["host"], given)
    del claim["server_id"]
    tx.execute(update(allocations).where(allocations.c.server_id == server["id"]).values(**claim))
    return before


def with_bandwidth(
    tx: Tx, hosts: Sequence[HostFacts], bandwidth: Mapping[str, int], but: Sequence[str] = ()
) -> list[HostFacts]:
    """The hosts with what they can guarantee, read where something is asked of it; ``but``: ports that count
    nowhere, since they are to move."""
    if not bandwidth:
        return list(hosts)
    left = guarantees_left(tx, but)
    return [msgspec.structs.replace(one, bandwidth=left.get(one.host, {})) for one in hosts]


def host_choose(
    tx: Tx,
    context: Context,
    server: Mapping[str, Any],
    parts: Parts,
    *,
    zone: str | None,
    host: str | None = None,
    excluded: Sequence[str] = (),
    over_commit: bool = True,
    named: bool = False,
) -> HostFacts:
    """Choose a host for a server (its values are the room that it needs). Raises NoValidHost with the
    reasons. Holds the lock of claims until the transaction ends. ``over_commit`` False: memory and disk must
    be free, whatever a host may promise. ``named``: the reasons name hosts, since administrators alone
    ask for this."""
    tx.lock(CLAIMS)
    config = parts.config
    group = group_wishes(tx, server["group_id"], server["id"])
    image = images_of(tx, [server["image_id"]] if server["image_id"] else []).get(server["image_id"] or "")
    ports = [port["id"] for port in ports_of(tx, server["id"])]
    bandwidth = guarantees_asked(tx, ports)
    hosts = with_bandwidth(tx, hosts_for_scheduler(tx, config, context.now), bandwidth, but=ports)
    properties = image["properties"] if image else {}
    extra_specs = server["flavor"]["extra_specs"]
    question = question_of(extra_specs, properties)
    if question is not None:
        hosts = with_providers(tx, hosts, config.manner.ratios)
    wanted = Wanted(
        **room_of(server, extra_specs),
        question=question,
        zone=zone,
        host=host,
        excluded=tuple(excluded),
        bandwidth=bandwidth,
        policy=group.policy,
        per_host=group.per_host,
        group_hosts=group.hosts,
        image=properties,
        project_id=server["project_id"],
        flavor=server["flavor"]["name"],
        extra_specs=extra_specs,
    )
    if not over_commit:
        hosts = [without_over_commit(one, config.manner.ratios) for one in hosts]
    choice = choose(hosts, wanted, config.manner)
    if choice.chosen is None:
        raise NoValidHost(sentence(choice, named))
    return msgspec.structs.replace(choice.chosen, given=choice.resources)


def ports_move(
    tx: Tx, context: Context, server: Values, host: str | None, zone: str | None, parts: Parts
) -> None:
    """Bind a server's ports to a host, or (None) to none; what its owner has given to others stays theirs.

    Raises PortBindingFailed where the host can't carry a port's network.
    """
    mine = [
        port
        for port in ports_of(tx, server["id"])
        if port["device_id"] in ("", server["id"]) and not is_networks_own(port)
    ]
    owned = f"compute:{zone or parts.config.default_zone}"
    several = [
        as_update(port, binding__host_id=host or "", device_id=server["id"], device_owner=owned)
        for port in mine
        if port["binding:host_id"] != (host or "")
    ]
    if several:
        moved = port_update(tx, context, several, config=parts.network)
        for port_id, reason in bindings_refused(tx, context, moved, parts.network).items():
            raise PortBindingFailed(port_id=port_id, reason=reason)
