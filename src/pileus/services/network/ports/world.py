"""What the units of ports read once for all ports of a request, and the rows that they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from pileus.core.errors import Unavailable
from pileus.resource.declaration import Values
from pileus.services.network.common.errors import InUse, NetworkNotFound
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.addressing import SubnetFacts, subnet_facts
from pileus.services.network.ports.binding import NetworkFacts, network_facts
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules import macs
from pileus.store.tx import Tx

ATTEMPTS = 16
ACTIVE, DOWN, NOT_APPLICABLE = "ACTIVE", "DOWN", "N/A"


class MacAddressInUse(InUse):
    message = "Unable to complete operation for network {net_id}. The mac address {mac} is in use."


class AddressesContended(Unavailable):
    """Every address that was drawn in several attempts was taken by somebody else at the same moment."""

    message = "Too many ports are being created on network {net_id}; please try again."


_MACS = select(ports.c.network_id, ports.c.mac_address).where(
    ports.c.network_id.in_(bindparam("networks", expanding=True)),
    ports.c.mac_address.in_(bindparam("macs", expanding=True)),
)


class World(NamedTuple):
    """What is read once for all ports of a unit."""

    networks: dict[str, NetworkFacts]
    subnets: dict[str, list[SubnetFacts]]

    @property
    def by_id(self) -> dict[str, SubnetFacts]:
        return {one.id: one for several in self.subnets.values() for one in several}


def read_world(tx: Tx, network_ids: Collection[str]) -> World:
    """The networks and their subnets; NetworkNotFound where one does not exist."""
    networks = network_facts(tx, network_ids)
    missing = set(network_ids) - networks.keys()
    if missing:
        raise NetworkNotFound(network_id=min(missing))
    return World(networks, subnet_facts(tx, network_ids))


def give_macs(tx: Tx, specs: Sequence[Values], named: Sequence[str | None], config: NetworkConfig) -> None:
    """Keep the hardware addresses asked for, make the others. Only those asked for are looked up: a drawn
    one is taken once in millions, and the key tells."""
    asked: set[tuple[str, str]] = set()
    for spec, mac in zip(specs, named, strict=True):
        if mac is not None:
            if (spec["network_id"], mac) in asked:
                raise MacAddressInUse(net_id=spec["network_id"], mac=mac)
            asked.add((spec["network_id"], mac))
    chosen = {mac for _, mac in asked}
    if asked:
        where = {"networks": sorted({network_id for network_id, _ in asked}), "macs": sorted(chosen)}
        for row in tx.rows(_MACS, where):
            if (row.network_id, row.mac_address) in asked:
                raise MacAddressInUse(net_id=row.network_id, mac=row.mac_address)
    made = iter(macs.make(len(specs) - len(asked), config.dice, chosen, config.base_mac))
    for spec, mac in zip(specs, named, strict=True):
        spec["mac_address"] = mac if mac is not None else next(made)


def refuse_taken_mac(tx: Tx, network_id: str, mac: str) -> None:
    """MacAddressInUse where a port of the network has the address already."""
    if tx.rows(_MACS, {"networks": [network_id], "macs": [mac]}):
        raise MacAddressInUse(net_id=network_id, mac=mac)


def allocation_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """In the order of their keys: two units that insert many then never wait for each other in a circle."""
    rows = [{**address, "port_id": port["id"]} for port in several for address in port["fixed_ips"]]
    return sorted(rows, key=lambda row: (row["subnet_id"], row["ip_address"]))


def membership_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {"port_id": port["id"], "security_group_id": group}
        for port in several
        for group in port["security_groups"]
    ]
