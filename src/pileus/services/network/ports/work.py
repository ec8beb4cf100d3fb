"""The units of work behind the API of ports: what may be asked, and what follows from it.

Making, changing and taking away are in files of their own, since other nouns do the same for
ports of their own (DHCP's, routers').
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.services.network.common.config import NetworkConfig
from pileus.services.network.common.errors import InUse
from pileus.services.network.dhcp.scheduling import networks_schedule
from pileus.services.network.floating_ips.release import floating_ips_follow
from pileus.services.network.ports.belonging import kinds_of
from pileus.services.network.ports.changing import change_ports
from pileus.services.network.ports.making import make_ports
from pileus.services.network.ports.removing import remove_ports
from pileus.services.network.ports.world import read_world
from pileus.services.network.quotas import PORT_QUOTA, spend
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx


class ServicePortInUse(InUse):
    message = "Port {port_id} cannot be {change} directly via the port API: has device owner {owner}."


def port_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig) -> list[Values]:
    """Write new ports, all of them or none; a network gets its DHCP with its first port."""
    world = read_world(tx, {spec["network_id"] for spec in specs})
    spend(tx, specs, PORT_QUOTA)
    made = make_ports(tx, context, specs, world, config=config)
    asking = {port["network_id"] for port in made if port["device_owner"] != device_owners.DHCP}
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
    check_removable(originals, kinds_of(tx, {port["id"] for port in originals}))
    remove_ports(tx, context, originals)


def check_removable(originals: Sequence[Values], kinds: Mapping[str, str]) -> None:
    """ServicePortInUse for the network's own ports but DHCP's; ``kinds`` as ``belonging`` has them."""
    for port in originals:
        if kinds.get(port["id"], device_owners.DHCP) != device_owners.DHCP:
            raise ServicePortInUse(port_id=port["id"], change="deleted", owner=kinds[port["id"]])
