"""Hardware addresses of new ports: those asked for are looked up, the others drawn."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from pileus.resource.declaration import Values
from pileus.services.network.common.errors import InUse
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules import macs
from pileus.store.tx import Tx


class MacAddressInUse(InUse):
    message = "Unable to complete operation for network {net_id}. The mac address {mac} is in use."


_MACS = select(ports.c.network_id, ports.c.mac_address).where(
    ports.c.network_id.in_(bindparam("networks", expanding=True)),
    ports.c.mac_address.in_(bindparam("macs", expanding=True)),
)


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
