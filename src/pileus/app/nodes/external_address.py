"""This machine's way into the external network: an address on the physical network's bridge.

A veth pair, one end on the bridge, the other with the address: an internal port of the userspace
datapath would die with vswitchd. Without it floating IPs could be reached from outside only.
"""

from __future__ import annotations

from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit

ON_BRIDGE, AT_HOST = "pileus-ex", "pileus-host"
LABEL = "pileus-external"
WITHIN_S = 15.0


async def ensure_external_address(client: OvsdbClient, bridge: str, datapath_type: str, address: str) -> None:
    """Give this machine ``address`` (with prefix length) on ``bridge``; ``client`` is connected."""
    links = LinuxLinks()
    await links.ensure_veths([Veth(ON_BRIDGE, AT_HOST, label=LABEL)])
    await links.ensure_addresses([Address(None, AT_HOST, address)])
    edit = Edit(client)
    edit.ensure_bridge(bridge, datapath_type=datapath_type)
    edit.ensure_port(bridge, ON_BRIDGE, external_ids={LABEL: "true"})
    await edit.commit(wait_s=WITHIN_S)


async def remove_external_address(client: OvsdbClient) -> None:
    """Take it away again."""
    edit = Edit(client)
    edit.delete_port(ON_BRIDGE)
    await edit.commit(wait_s=WITHIN_S)
    await LinuxLinks().delete_links([ON_BRIDGE])
