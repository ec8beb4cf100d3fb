"""Units of work of ports, for the API and for siblings; the nouns above follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.create import create_ports
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.facts import PortFacts, facts_of_new
from pileus.services.network.ports.service_ports import kinds_of
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.update import update_ports
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx

PORT_QUOTA = network_quota("port", 500, ports.c.project_id)


class ServicePortInUse(InUse):
    message = "Port {port_id} cannot be {change} directly via the port API: {reason}."


def port_create(
    tx: Tx,
    context: Context,
    specs: Sequence[Values],
    *,
    config: NetworkConfig,
    facts: PortFacts | None = None,
) -> list[Values]:
    """Write new ports, all of them or none. ``facts`` where they have been read already."""
    spend(tx, specs, PORT_QUOTA)
    if facts is None:
        facts = facts_of_new(tx, context, specs, config)
    made = create_ports(tx, context, specs, facts, config=config)
    for follow in config.followers.ports_created:
        follow(tx, context, made, facts.with_dhcp, config)
    return made


def port_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ports."""
    after = update_ports(tx, context, updates, config=config)
    changed = [(one.original, port) for one, port in zip(updates, after, strict=True)]
    for follow in config.followers.ports_updated:
        follow(tx, context, changed, config)
    return after


def port_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete ports; ServicePortInUse for a router's and a floating IP's own, which go by other requests."""
    check_removable(originals, kinds_of(tx, {port["id"] for port in originals}))
    delete_ports(tx, context, originals, config)


def check_removable(originals: Sequence[Values], kinds: Mapping[str, str]) -> None:
    """ServicePortInUse for the network's own ports but DHCP's; ``kinds`` as ``belonging`` has them."""
    for port in originals:
        if kinds.get(port["id"], device_owners.DHCP) != device_owners.DHCP:
            reason = f"has device owner {kinds[port['id']]}"
            raise ServicePortInUse(port_id=port["id"], change="deleted", reason=reason)
