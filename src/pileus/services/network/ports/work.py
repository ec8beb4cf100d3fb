"""The units of work behind the API of ports: what may be asked, and what follows from it.

Making, changing and taking away are in files of their own, since other nouns do the same for
ports of their own (DHCP's, routers').
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.scheduling import networks_schedule
from pileus.services.network.errors import InUse
from pileus.services.network.floating_ips.release import floating_ips_follow
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.ports import owners
from pileus.services.network.ports.changing import change_ports
from pileus.services.network.ports.making import make_ports
from pileus.services.network.ports.removing import remove_ports
from pileus.services.network.ports.world import read_world
from pileus.services.network.quotas import PORT_QUOTA, spend
from pileus.services.network.routers.tables import router_ports
from pileus.store.tx import Tx
from pileus.web.resource import Update, Values


class ServicePortInUse(InUse):
    message = "Port {port_id} cannot be deleted directly via the port API: {reason}."


_ROUTERS_OWN = select(router_ports.c.port_id).where(
    router_ports.c.port_id.in_(bindparam("ids", expanding=True))
)
_FLOATING_IPS_OWN = select(floating_ips.c.floating_port_id).where(
    floating_ips.c.floating_port_id.in_(bindparam("ids", expanding=True))
)


def port_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig) -> list[Values]:
    """Write new ports, all of them or none; a network gets its DHCP with its first port."""
    world = read_world(tx, {spec["network_id"] for spec in specs})
    spend(tx, specs, PORT_QUOTA)
    made = make_ports(tx, context, specs, world, config=config)
    asking = {port["network_id"] for port in made if port["device_owner"] != owners.DHCP}
    networks_schedule(
        tx,
        context,
        [one for one in sorted(asking) if any(subnet.enable_dhcp for subnet in world.subnets[one])],
        config,
    )
    return made


def port_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ports; a floating IP whose fixed address is taken away is freed."""
    after = change_ports(tx, context, updates, config=config)
    moved = {
        port["id"]: {ip["ip_address"] for ip in port["fixed_ips"]}
        for one, port in zip(updates, after, strict=True)
        if port["fixed_ips"] != one.original["fixed_ips"]
    }
    if moved:
        floating_ips_follow(tx, context, moved)
    return after


def port_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete ports; ServicePortInUse for a router's and a floating IP's own, which go by other requests."""
    for statement, concerned in (
        (_ROUTERS_OWN, owners.OF_ROUTERS),
        (_FLOATING_IPS_OWN, (owners.FLOATING_IP,)),
    ):
        ids = {port["id"]: port for port in originals if port["device_owner"] in concerned}
        used = tx.first(statement, {"ids": sorted(ids)}) if ids else None
        if used is not None:
            owner = ids[used[0]]["device_owner"]
            raise ServicePortInUse(port_id=used[0], reason=f"has device owner {owner}")
    remove_ports(tx, context, originals)
