"""The parts of a simulated node: the twins of all drivers, whose state is kept in files of its folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pileus.app.nodes.machines import simulated_machines
from pileus.app.nodes.parts import BridgeParts, NodeParts, RouterParts, SwitchParts
from pileus.app.nodes.physical import simulated_switches
from pileus.app.nodes.storage import simulated_storage
from pileus.app.nodes.switch import bridge_settings, host_network, linux_bridge_settings
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.drivers.advertising.simulated import SimulatedAdvertisers
from pileus.drivers.bfd.simulated import SimulatedBfd
from pileus.drivers.delegation.simulated import SimulatedPrefixClients
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.keepalived.simulated import SimulatedKeepalived, SimulatedVrrp
from pileus.drivers.linuxbridge.simulated import SimulatedBridges
from pileus.drivers.listening.simulated import SimulatedListeners
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.drivers.shaping.queues import SimulatedQueues
from pileus.host.hypervisor.images import ImageCache

WATCH_S = 60.0
"""A simulated part ends only when somebody ends it: it need not be looked at often."""
MAPPINGS = (("physnet1", "br-ex"),)
"""A simulated host is on the physical network that the settings name by default."""


def host_name(number: int) -> str:
    """The name of a simulated host; they are counted from 1."""
    return f"host-{number}"


async def simulated_parts(
    folder: StateFolder, settings: Settings, number: int, cache: ImageCache, vrrp: SimulatedVrrp
) -> NodeParts:
    """The parts of one of ``simulation.hosts``, whose switch's database other programs can reach. All have
    one ``cache``, so that an image that many need is fetched once, and one ``vrrp``, to hear each other."""
    host = host_name(number)
    home = folder.hosts / host
    home.mkdir(exist_ok=True)
    switch = SimulatedSwitch(home / "switch.json")
    await switch.listen(home / "db.sock")
    bridges = bridge_settings(settings, host, "netdev", tunneling_ip=_underlay_address(number))
    links = SimulatedLinks(state_file=home / "links.json")
    address = _underlay_address(number)
    linux = None
    if settings.switch.mechanism == "linuxbridge":
        linux = BridgeParts(
            settings=msgspec.structs.replace(
                linux_bridge_settings(settings, host, address), watch_interval_s=WATCH_S
            ),
            bridges=SimulatedBridges(links.links),
            packet_filter=SimulatedFilter(home / "bridge-nft.json"),
            tracker="bridge",
        )
    machines = simulated_machines(home, settings, cache)
    networking = number <= settings.simulation.network_hosts
    return NodeParts(
        switch=SwitchParts(
            bridges=msgspec.structs.replace(
                bridges, bridge_mappings=bridges.bridge_mappings or MAPPINGS, watch_interval_s=WATCH_S
            ),
            client=switch.client(),
            flows=SimulatedFlows(switch),
            network=host_network(settings),
            queues=SimulatedQueues(),
            leases=home / "leases.jsonl",
        ),
        links=links,
        linux_bridges=linux,
        listeners=SimulatedListeners(),
        dhcp=SimulatedDhcp(home / "dhcp.json") if networking else None,
        router=_router(home / "nft.json", host, links, vrrp) if networking else None,
        machines=machines,
        storage=simulated_storage(home, settings, machines) if networking else None,
        physical_switches=simulated_switches(settings) if number == 1 else (),
        watch_interval_s=WATCH_S,
        close=switch.close,
    )


def _router(state_file: Path, host: str, links: SimulatedLinks, vrrp: SimulatedVrrp) -> RouterParts:
    packet_filter = SimulatedFilter(state_file)
    links.on_gone = packet_filter.forget_namespace
    return RouterParts(
        packet_filter=packet_filter,
        advertisers=SimulatedAdvertisers(),
        virtual_routers=SimulatedKeepalived(host, vrrp, links),
        bfd_routers=SimulatedBfd(),
        prefix_clients=SimulatedPrefixClients(),
    )


def _underlay_address(number: int) -> str:
    """An underlay address of TEST-NET size for each simulated host (RFC 2544's 198.18.0.0/15)."""
    return f"198.{18 + (number >> 16)}.{number >> 8 & 0xFF}.{number & 0xFF}"
