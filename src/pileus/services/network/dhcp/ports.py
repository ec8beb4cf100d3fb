"""The ports that DHCP agents plug into the networks they serve.

One function makes them what they should be: a network that is bound to an agent and has a
subnet with DHCP has a port on the agent's host, with an address from each such subnet. A port
whose agent leaves is handed to the one that comes, so that guests keep their DHCP server's address.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.tables import dhcp_bindings, dhcp_ports
from pileus.services.network.networks.host_segments import host_segments, segments_of
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.create import create_ports
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.facts import facts_of_new
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.update import update_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx

_BOUND = (
    select(dhcp_bindings.c.network_id, agents.c.host, networks.c.project_id)
    .select_from(
        dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id).join(
            networks, networks.c.id == dhcp_bindings.c.network_id
        )
    )
    .where(dhcp_bindings.c.network_id.in_(bindparam("ids", expanding=True)))
    .order_by(dhcp_bindings.c.network_id, agents.c.host)
)
_WITH_DHCP = (
    select(subnets.c.network_id, subnets.c.id, subnets.c.segment_id)
    .where(subnets.c.network_id.in_(bindparam("ids", expanding=True)), subnets.c.enable_dhcp)
    .order_by(subnets.c.created_at, subnets.c.id)
)


_LACKING = (
    select(dhcp_bindings.c.network_id)
    .where(
        dhcp_bindings.c.agent_id == bindparam("agent"),
        select(subnets.c.id)
        .where(subnets.c.network_id == dhcp_bindings.c.network_id, subnets.c.enable_dhcp)
        .exists(),
        ~select(dhcp_ports.c.port_id)
        .where(
            dhcp_ports.c.network_id == dhcp_bindings.c.network_id,
            dhcp_ports.c.port_id == ports.c.id,
            ports.c.host == bindparam("on_host"),
        )
        .exists(),
    )
    .order_by(dhcp_bindings.c.network_id)
)


class _Wanted(NamedTuple):
    """One port that should be there."""

    network_id: str
    host: str
    project_id: str
    subnet_ids: tuple[str, ...]

    @property
    def device_id(self) -> str:
        return device_id(self.network_id, self.host)


def device_id(network_id: str, host: str) -> str:
    """The name of a host's DHCP in a network, as Neutron's agents make it; it never changes."""
    return f"dhcp{uuid.uuid5(uuid.NAMESPACE_DNS, host.split('.')[0])}-{network_id}"


def networks_lacking_port(tx: Tx, agent_id: str, host: str) -> list[str]:
    """The networks that a DHCP agent can't serve, since it has no port there: they were full perhaps."""
    return [row.network_id for row in tx.rows(_LACKING, {"agent": agent_id, "on_host": host})]


def dhcp_ports_sync(tx: Tx, context: Context, network_ids: Collection[str], config: NetworkConfig) -> None:
    """Make the DHCP ports of these networks what they should be; a constant number of statements.

    A port that finds no free address is left out, and an event says so: guests have theirs already.
    """
    ids = {"ids": sorted(network_ids)}
    if not network_ids:
        return
    wanted = _wanted(tx, ids)
    mine = ports.c.id.in_(select(dhcp_ports.c.port_id).where(dhcp_ports.c.network_id.in_(ids["ids"])))
    there: dict[tuple[str, str], Values] = {}
    spare: dict[str, list[Values]] = {}
    for port in fetch(tx, PORT, where=[mine], lock=True):
        key = (port["network_id"], port["binding:host_id"])
        if key in wanted and key not in there and port["device_id"] == wanted[key].device_id:
            there[key] = port
        else:
            spare.setdefault(port["network_id"], []).append(port)
    updates = []
    missing = []
    for key, one in wanted.items():
        if key in there:
            port = there[key]
        elif spare.get(one.network_id):
            port = spare[one.network_id].pop()
        else:
            missing.append(one)
            continue
        changes = _changes(port, one)
        if changes:
            updates.append(Update(port, Values(changes)))
    as_admin = elevated(context)
    if updates:
        update_ports(tx, as_admin, updates, config=config)
    delete_ports(tx, as_admin, [port for several in spare.values() for port in several], config)
    _make(tx, as_admin, missing, config)


def _wanted(tx: Tx, ids: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], _Wanted]:
    """The ports that should be there, by network and host: a host serves the segment that it reaches."""
    served: dict[str, list[tuple[str, str | None]]] = {}
    for row in tx.rows(_WITH_DHCP, ids):
        served.setdefault(row.network_id, []).append((row.id, row.segment_id))
    bound = [row for row in tx.rows(_BOUND, ids) if row.network_id in served]
    routed = [network_id for network_id, several in served.items() if any(segment for _, segment in several)]
    near = host_segments(tx, segments_of(tx, routed), {row.host for row in bound})
    wanted = {}
    for row in bound:
        segment = near.get((row.network_id, row.host))
        own = tuple(
            subnet_id
            for subnet_id, of in served[row.network_id]
            if of is None or (segment is not None and segment.id == of)
        )
        if own:
            wanted[row.network_id, row.host] = _Wanted(row.network_id, row.host, row.project_id, own)
    return wanted


def _changes(port: Values, wanted: _Wanted) -> dict[str, object]:
    changes: dict[str, object] = {}
    if port["binding:host_id"] != wanted.host or port["device_id"] != wanted.device_id:
        changes |= {"binding:host_id": wanted.host, "device_id": wanted.device_id}
    if {ip["subnet_id"] for ip in port["fixed_ips"]} != set(wanted.subnet_ids):
        changes["fixed_ips"] = _any_of_each(wanted.subnet_ids)
    return changes


def _any_of_each(subnet_ids: Sequence[str]) -> list[Mapping[str, str]]:
    return [{"subnet_id": subnet_id} for subnet_id in subnet_ids]


def _make(tx: Tx, context: Context, missing: Sequence[_Wanted], config: NetworkConfig) -> None:
    """All together; only if that fails one by one, to find out which can't be."""
    if not missing:
        return
    wanted = {one: _spec(context, one) for one in missing}
    facts = facts_of_new(tx, context, list(wanted.values()), config)

    def make(several: Sequence[_Wanted]) -> None:
        with tx.savepoint():
            made = create_ports(tx, context, [wanted[one] for one in several], facts, config=config)
            tx.insert(
                dhcp_ports, [{"port_id": port["id"], "network_id": port["network_id"]} for port in made]
            )

    try:
        make(missing)
    except Conflict:
        for one in missing:
            try:
                make([one])
            except Conflict as refusal:
                tx.emit(
                    event(
                        context,
                        "network.dhcp_failed",
                        one.network_id,
                        one.project_id,
                        host=one.host,
                        reason=refusal.text,
                    )
                )


def _spec(context: Context, wanted: _Wanted) -> Values:
    return new_port(
        context,
        project_id=wanted.project_id,
        network_id=wanted.network_id,
        device_owner=device_owners.DHCP,
        device_id=wanted.device_id,
        fixed_ips=_any_of_each(wanted.subnet_ids),
        **{"binding:host_id": wanted.host},
    )
