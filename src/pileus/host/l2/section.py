"""The section of the settings file about the switch of a node."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class SwitchSection(Section, frozen=True):
    """``[switch]``: Open vSwitch, or Linux bridges, on a node."""

    mechanism: Annotated[
        Literal["openvswitch", "linuxbridge"],
        Description(description="what carries ports: Open vSwitch, or the kernel's bridges"),
    ] = "openvswitch"
    interface_mappings: Annotated[
        tuple[str, ...],
        Description(description="PHYSNET:CARD, network cards of the physical networks of Linux bridges"),
    ] = ()
    ovsdb: Annotated[
        str, Description(description="unix:/PATH or tcp:HOST:PORT of ovsdb-server; empty: the system's")
    ] = ""
    netns: Annotated[
        str,
        Description(description="network namespace of the devices of that switch; empty: the agent's own"),
    ] = ""
    root_helper: Annotated[
        str,
        Description(
            description="words before each command for the switch (ssh root@dom0): it is in another place"
        ),
    ] = ""
    relay: Annotated[
        str, Description(description="command that reaches {socket} there by its standard input and output")
    ] = "socat - UNIX-CONNECT:{socket}"
    integration_bridge: Annotated[str, Description(description="name of the integration bridge")] = "br-int"
    tunnel_bridge: Annotated[str, Description(description="name of the tunnel bridge")] = "br-tun"
    datapath_type: Annotated[
        Literal["auto", "system", "netdev"],
        Description(description="datapath of the bridges; auto: the kernel's where it has one"),
    ] = "auto"
    bridge_mappings: Annotated[
        tuple[str, ...], Description(description="PHYSNET:BRIDGE, bridges of the physical networks")
    ] = ()
    bandwidths: Annotated[
        tuple[str, ...],
        Description(
            description="PHYSNET:KBPS, rates of the cards of physical networks, and of tunnels "
            "(rp_tunnelled:KBPS), to guarantee shares of them"
        ),
    ] = ()
    tunneling_ip: Annotated[str, Description(description="underlay address; empty: no other nodes")] = ""
    tunnel_types: Annotated[
        tuple[Literal["vxlan", "gre"], ...], Description(description="tunnels that this node can make")
    ] = ("vxlan",)
    log_rate_limit: Annotated[
        int,
        msgspec.Meta(ge=100, description="packets of logged ports that are written down in a second"),
    ] = 100
    log_burst_limit: Annotated[
        int, msgspec.Meta(ge=25, description="packets that may be written down at once")
    ] = 25
    log_file: Annotated[
        str, Description(description="file for these lines, as JSON; empty: the agent's own log")
    ] = ""
    tap_vxlan_port: Annotated[
        int,
        msgspec.Meta(ge=1, le=65535, description="UDP port of the tunnels for copies of packets (taps)"),
    ] = 4788
    vxlan_port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="UDP port of VXLAN")] = 4789
