"""The parts of one node: everything that its agents act through, in one value.

``real.real_parts`` builds it over the machine's own programs, ``simulated.simulated_parts`` over the twins,
and ``agents.node_agents`` makes the agents of either. A part that a node lacks is None, and so is its agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from pileus.drivers.advertising.advertisers import Advertisers
from pileus.drivers.backups.chunks import Backups
from pileus.drivers.bfd.spec import BfdRouters
from pileus.drivers.delegation.spec import PrefixClients
from pileus.drivers.dnsmasq.spec import DhcpServers
from pileus.drivers.interfaces.spec import HostNetwork
from pileus.drivers.keepalived.spec import VirtualRouters
from pileus.drivers.libvirt.hypervisor import Hypervisor
from pileus.drivers.linuxbridge.bridges import Bridges
from pileus.drivers.listening.listeners import Listeners
from pileus.drivers.netlink.links import Links
from pileus.drivers.nft.driver import PacketFilter
from pileus.drivers.openflow.table import FlowTable
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.physical.switch import PhysicalSwitch
from pileus.drivers.qemu_img.images import Images
from pileus.drivers.shaping.queues import Queues
from pileus.host.blockdev.agent import StorageSettings
from pileus.host.blockdev.exports import Exporter
from pileus.host.blockdev.pools import PoolParts
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.l2.settings import BridgeSettings
from pileus.host.linuxbridge.filtering import Tracker
from pileus.host.linuxbridge.settings import LinuxBridgeSettings
from pileus.host.uplinks.apply import Cards


class SwitchParts(msgspec.Struct, frozen=True, kw_only=True):
    """``client`` of the switch's database is not connected yet; all agents of the node share it, and the
    switch agent closes it. ``flows``: None where there is no Open vSwitch. ``silencer`` keeps what guests
    send from the machine's own stack. ``network`` is the declared network of the host itself. ``cards`` are
    those of the switch's machine where that is another one, and ``polices`` says whether its kernel can
    (None: ask ours). ``leases``: the file that remembers what the switch has given by DHCP."""

    bridges: BridgeSettings
    client: OvsdbClient
    flows: FlowTable | None = None
    silencer: PacketFilter | None = None
    network: HostNetwork = HostNetwork()
    cards: Cards | None = None
    polices: bool | None = None
    queues: Queues | None = None
    leases: Path | None = None


class BridgeParts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a node without Open vSwitch: its kernel's bridges. The switch's ``client`` is of the plugging
    board."""

    settings: LinuxBridgeSettings
    bridges: Bridges
    packet_filter: PacketFilter
    tracker: Tracker | None = None


class RouterParts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a node that routes. ``virtual_routers``: None where it can hold no router ready for others;
    ``bfd_routers``: None where it can't watch next hops."""

    packet_filter: PacketFilter
    advertisers: Advertisers
    virtual_routers: VirtualRouters | None = None
    bfd_routers: BfdRouters | None = None
    prefix_clients: PrefixClients | None = None


class MachineParts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a node that runs machines. ``memory_used`` gives MiB; None: ask the kernel."""

    settings: NodeSettings
    hypervisor: Hypervisor
    images: Images
    cache: ImageCache
    memory_used: Callable[[], int] | None = None


class StorageParts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a node with pools of volumes. ``backups``: None where it can make none."""

    settings: StorageSettings
    pools: tuple[PoolParts, ...]
    cache: ImageCache
    backups: Backups | None = None
    exporters: tuple[Exporter, ...] = ()


async def _nothing() -> None:
    pass


class NodeParts(msgspec.Struct, frozen=True, kw_only=True):
    """``watch_interval_s``: how often namespaces are looked into. ``keepers`` restart our daemons when they
    die, until they are cancelled; ``close`` is called when the agents have ended."""

    switch: SwitchParts
    links: Links
    linux_bridges: BridgeParts | None = None
    listeners: Listeners
    dhcp: DhcpServers | None = None
    router: RouterParts | None = None
    machines: MachineParts | None = None
    storage: StorageParts | None = None
    physical_switches: tuple[PhysicalSwitch, ...] = ()
    watch_interval_s: float = 5.0
    keepers: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
    close: Callable[[], Awaitable[None]] = _nothing
