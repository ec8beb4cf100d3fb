"""Settings of the Linux-bridge agent, and the names of what it makes, which are Neutron's."""

from __future__ import annotations

import msgspec


class LinuxBridgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``interfaces`` pairs physical networks with network cards, ``bridges`` with bridges that somebody else
    made. ``namespace``: where the devices are (None: where the agent is)."""

    host: str
    board: str = "br-int"
    """The bridge of the plugging board on which ports are announced."""
    interfaces: tuple[tuple[str, str], ...] = ()
    bridges: tuple[tuple[str, str], ...] = ()
    tunneling_ip: str = ""
    vxlan_port: int = 4789
    namespace: str | None = None
    watch_interval_s: float = 2.0
    """How often what tells nobody of its end (links, packet rules) is looked at."""


def bridge_name(network_id: str) -> str:
    """``brq1234abcd-12``: a network's bridge."""
    return f"brq{network_id[:11]}"


def vxlan_name(segment: int) -> str:
    """``vxlan-1042``."""
    return f"vxlan-{segment}"


def vlan_name(card: str, vlan_id: int) -> str:
    """``eth1.100``; the card's name is shortened to what is left of 15 characters."""
    ending = f".{vlan_id}"
    return card[: 15 - len(ending)] + ending
