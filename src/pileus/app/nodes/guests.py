"""Guests without a hypervisor: a namespace with a veth pair whose other end is on br-int.

What a hypervisor leaves on the switch for a machine's interface, made for a network namespace
instead: to see a port carry packets where no machine runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pileus.drivers.netlink.links import Address, Link, Links, Route, Veth
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit

LABEL = "pileus-guest "
"""The label of an interface that we made for a guest, before the name of its namespace."""
INSIDE = "eth0"
SWITCH_WITHIN_S = 15.0
GUEST_MTU = 1450
"""1500 bytes without VXLAN's headers (RFC 7348)."""


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """A guest to be plugged: ``namespace`` gets ``eth0`` with ``mac`` and ``ips`` (with prefix length)."""

    port_id: str
    namespace: str
    mac: str
    ips: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    device_id: str = ""
    mtu: int = GUEST_MTU

    @property
    def interface(self) -> str:
        """The end on the switch, named as Nova names a tap."""
        return tap_name(self.port_id)

    @property
    def label(self) -> str:
        return LABEL + self.namespace


def tap_name(port_id: str) -> str:
    """``tap`` and the first 11 characters of the port's id (Linux allows 15)."""
    return f"tap{port_id[:11]}"


def external_ids(plug: Plug) -> dict[str, str]:
    """The ids of an interface, as seed 004 shows them."""
    return {
        "attached-mac": plug.mac,
        "iface-id": plug.port_id,
        "iface-status": "active",
        "vm-uuid": plug.device_id or plug.port_id,
    }


async def plug_interfaces(
    client: OvsdbClient, bridge: str, datapath_type: str, plugs: Sequence[Plug]
) -> None:
    """Put the guests' interfaces on the integration bridge, in one transaction."""
    edit = Edit(client)
    edit.ensure_bridge(bridge, datapath_type=datapath_type, fail_mode="secure")
    for plug in plugs:
        edit.ensure_port(bridge, plug.interface, interface={"external_ids": external_ids(plug)})
    await edit.commit(wait_s=SWITCH_WITHIN_S)


async def unplug_interfaces(client: OvsdbClient, port_ids: Sequence[str]) -> None:
    """Take the guests' interfaces off the switch, in one transaction."""
    edit = Edit(client)
    for port_id in port_ids:
        edit.delete_port(tap_name(port_id))
    await edit.commit(wait_s=SWITCH_WITHIN_S)


async def make_guests(home: Links, links: Links, plugs: Sequence[Plug]) -> None:
    """Namespaces with their interface, addresses and default routes.

    ``home`` works where namespaces are made, ``links`` where the switch lives.
    """
    await home.ensure_namespaces([plug.namespace for plug in plugs])
    await links.ensure_veths(
        Veth(plug.interface, INSIDE, plug.namespace, mac=plug.mac, mtu=plug.mtu, label=plug.label)
        for plug in plugs
    )
    await home.ensure_addresses(Address(plug.namespace, INSIDE, ip) for plug in plugs for ip in plug.ips)
    await home.ensure_routes(
        Route(plug.namespace, "::/0" if ":" in gateway else "0.0.0.0/0", via=gateway)
        for plug in plugs
        for gateway in plug.gateways
    )


def labelled(links: Mapping[str, Link]) -> dict[str, str]:
    """The guests' interfaces among links, and the namespace of each."""
    return {
        name: link.label.removeprefix(LABEL) for name, link in links.items() if link.label.startswith(LABEL)
    }


async def remove_guests(
    home: Links, links: Links, namespaces: Sequence[str], interfaces: Sequence[str]
) -> None:
    """No such guests."""
    await links.delete_links(interfaces)
    await home.delete_namespaces(namespaces)
