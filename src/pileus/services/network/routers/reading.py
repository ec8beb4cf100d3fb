"""Facts that units of routers read once: the routers' ports, and the subnets that these reach."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, select

from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.routing import Attached
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx


class AttachedPort(NamedTuple):
    """A router's port."""

    router_id: str
    port_id: str
    port_type: str
    network_id: str
    fixed_ips: list[dict[str, str]]
    gateway_index: int = 0

    @property
    def subnet_ids(self) -> list[str]:
        return [ip["subnet_id"] for ip in self.fixed_ips]


class Attachments(NamedTuple):
    """The ports of some routers (not those that routers need for themselves), and the subnets of the networks
    that these are on, by id."""

    attached_ports: dict[str, list[AttachedPort]]
    subnets: dict[str, Row[Any]]

    def gateway(self, router_id: str) -> AttachedPort | None:
        """The router's first gateway port."""
        return next(iter(self.gateways(router_id)), None)

    def gateways(self, router_id: str) -> list[AttachedPort]:
        """The router's gateway ports, the first one first."""
        return [
            one
            for one in self.attached_ports.get(router_id, ())
            if one.port_type == device_owners.ROUTER_GATEWAY
        ]

    def interfaces(self, router_id: str) -> list[AttachedPort]:
        """The router's ports on project networks."""
        return [
            one for one in self.attached_ports.get(router_id, ()) if one.port_type in device_owners.INTERFACES
        ]

    def reached(self, router_id: str, without: Collection[str] = ()) -> list[Attached]:
        """The subnets that the router is on: those of its interfaces' addresses, all of its gateway's
        network. ``without``: ports that are about to go."""
        found = {}
        for attached in self.attached_ports.get(router_id, ()):
            if attached.port_id in without:
                continue
            if attached.port_type == device_owners.ROUTER_GATEWAY:
                ids = [row.id for row in self.subnets.values() if row.network_id == attached.network_id]
            else:
                ids = attached.subnet_ids
            found.update({one: Attached(one, self.subnets[one].cidr) for one in ids if one in self.subnets})
        return list(found.values())

    def addresses(self, router_id: str, without: Collection[str] = ()) -> set[str]:
        """The router's own addresses."""
        return {
            ip["ip_address"]
            for attached in self.attached_ports.get(router_id, ())
            if attached.port_id not in without
            for ip in attached.fixed_ips
        }


_ATTACHED = (
    select(
        router_ports.c.router_id,
        router_ports.c.port_id,
        router_ports.c.port_type,
        ports.c.network_id,
        ports.c.fixed_ips,
        router_ports.c.gateway_index,
    )
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type.in_((*device_owners.INTERFACES, device_owners.ROUTER_GATEWAY)),
    )
    .order_by(router_ports.c.router_id, router_ports.c.gateway_index, router_ports.c.port_id)
)
_SUBNETS = select(
    subnets.c.id,
    subnets.c.network_id,
    subnets.c.cidr,
    subnets.c.ip_version,
    subnets.c.gateway_ip,
    subnets.c.subnetpool_id,
).where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))
_IN_USE = (
    select(
        floating_ips.c.router_id,
        floating_ips.c.floating_network_id,
        floating_ips.c.fixed_port_id,
        floating_ips.c.fixed_ip_address,
        ports.c.fixed_ips,
    )
    .select_from(floating_ips.outerjoin(ports, ports.c.id == floating_ips.c.fixed_port_id))
    .where(floating_ips.c.router_id.in_(bindparam("ids", expanding=True)))
)
_FORWARDED = (
    select(port_forwardings.c.internal_ip_address, ports.c.fixed_ips)
    .select_from(
        port_forwardings.join(floating_ips, floating_ips.c.id == port_forwardings.c.floatingip_id).join(
            ports, ports.c.id == port_forwardings.c.internal_port_id
        )
    )
    .where(floating_ips.c.router_id.in_(bindparam("ids", expanding=True)))
)


def attachments(tx: Tx, router_ids: Sequence[str], more_networks: Collection[str] = ()) -> Attachments:
    """The ports of routers, and the subnets of their networks and of ``more_networks``; two statements."""
    attached_ports: dict[str, list[AttachedPort]] = {}
    for row in tx.rows(_ATTACHED, {"ids": list(router_ids)}):
        attached_ports.setdefault(row.router_id, []).append(AttachedPort(*tuple(row)))
    wanted = {attached.network_id for several in attached_ports.values() for attached in several} | set(
        more_networks
    )
    rows = tx.rows(_SUBNETS, {"ids": sorted(wanted)}) if wanted else []
    return Attachments(attached_ports, {row.id: row for row in rows})


def subnets_forwarded(tx: Tx, router_ids: Sequence[str]) -> set[str]:
    """The subnets of the addresses that floating IPs forward single ports to through these routers."""
    rows = tx.rows(_FORWARDED, {"ids": list(router_ids)})
    return {
        ip["subnet_id"] for row in rows for ip in row.fixed_ips if ip["ip_address"] == row.internal_ip_address
    }


def used_by_floating_ips(tx: Tx, router_ids: Sequence[str]) -> list[Row[Any]]:
    """Floating IPs that lead through these routers, with all addresses of the ports that they lead to."""
    return tx.rows(_IN_USE, {"ids": list(router_ids)})


def subnets_used(rows: Sequence[Row[Any]]) -> set[str]:
    """The subnets of the fixed addresses that floating IPs (as found above) lead to."""
    return {
        ip["subnet_id"]
        for row in rows
        for ip in row.fixed_ips or ()
        if ip["ip_address"] == row.fixed_ip_address
    }
