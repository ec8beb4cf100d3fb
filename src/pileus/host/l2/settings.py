"""Settings of the switch agent, and the labels of what it makes."""

from __future__ import annotations

import ipaddress
from typing import Literal

import msgspec

OWNER_KEY = "pileus-owner"
"""The key of external_ids that labels each row of ours; the value says whose."""
OWNER = "l2"

NETWORK_KEY = "pileus-network"
"""On a Port of a wired device: its network, so that a restart finds the local VLAN (``tag``) again."""
NUMBER_KEY = "pileus-number"
"""On a Port of a wired device: its number on this switch (connection-tracking zone and meter)."""

SUBPORTS_KEY = "pileus-subports"
"""On a Port whose interface carries a trunk: its subports with their networks, VLANs and numbers."""

LAST_NUMBER_KEY = "pileus-last-number"
"""On br-int: the device number given out last. Numbers go round, so that a new device does not come
into a connection-tracking zone that still knows the connections of the one before."""

DEAD_VLAN = 4095
"""The tag of devices that nobody vouches for. 4095 is reserved by IEEE 802.1Q; no frame carries it."""


class BridgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Names of bridges and joints, and how this node reaches the others.

    ``bridge_mappings`` pairs physical networks with bridges. ``link`` joins br-int to those by
    ``patch`` ports, or by a ``veth`` pair (one hop through the kernel, which other tools can see).
    ``enforcement`` of rate limits: ``policing`` trusts the interface's policer, ``meter`` uses
    OpenFlow, ``auto`` finds out which works.
    """

    host: str
    integration_bridge: str = "br-int"
    tunnel_bridge: str = "br-tun"
    datapath_type: Literal["system", "netdev"] = "system"
    bridge_mappings: tuple[tuple[str, str], ...] = ()
    bandwidths: tuple[tuple[str, int], ...] = ()
    """Physical networks with the rate in kilobits a second by which frames leave for each; ``rp_tunnelled``
    stands for tunnels."""
    tunneling_ip: str = ""
    tunnel_types: tuple[str, ...] = ("vxlan",)
    vxlan_port: int = 4789
    tap_vxlan_port: int = 4788
    """The UDP port of the tunnels for copies of packets: nothing of them comes into a network's."""
    tunnel_prefix: str = ""
    int_prefix: str = "int-"
    phy_prefix: str = "phy-"
    patch_tun: str = "patch-tun"
    patch_int: str = "patch-int"
    link: Literal["patch", "veth"] = "patch"
    arp_responder: bool = True
    enforcement: Literal["auto", "policing", "meter"] = "auto"
    log_rate_limit: int = 100
    """Packets of logged devices that are written down in a second, and ``log_burst_limit`` at once."""
    log_burst_limit: int = 25
    log_file: str = ""
    """Where they are written; empty: the agent's own log."""
    watch_interval_s: float = 2.0
    """How often what tells nobody of its end (flows, packet rules) is counted."""

    @property
    def tunnelling(self) -> bool:
        """Whether this node takes part in the mesh."""
        return bool(self.tunneling_ip and self.tunnel_types)

    def int_port(self, bridge: str) -> str:
        """The end on br-int of the joint to a physical network's bridge."""
        return f"{self.int_prefix}{bridge}"

    def phy_port(self, bridge: str) -> str:
        """The other end of that joint."""
        return f"{self.phy_prefix}{bridge}"

    def tap_port(self, remote_ip: str) -> str:
        """``tap-0a000001``: the tunnel for copies to and from another node."""
        return self.tunnel_port("tap", remote_ip)

    def tunnel_port(self, tunnel_type: str, remote_ip: str) -> str:
        """``vxlan-0a000001``; an IPv6 endpoint is told by its last 32 bits, as names have 15 characters."""
        number = int(ipaddress.ip_address(remote_ip)) & 0xFFFFFFFF
        return f"{self.tunnel_prefix}{tunnel_type}-{number:08x}"
