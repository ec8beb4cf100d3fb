"""The parts of a real node: the switch, links, dnsmasq, nft and libvirt of this machine."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from pileus.app import bootstrap
from pileus.app.nodes import machines
from pileus.app.nodes.external_address import restore
from pileus.app.nodes.limits import raise_limits
from pileus.app.nodes.parts import NodeParts, RouterParts
from pileus.app.nodes.physical import real_switches
from pileus.app.nodes.storage import real_storage
from pileus.app.nodes.switch import RealSwitch
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core import log
from pileus.drivers.advertising.linux import LinuxAdvertisers
from pileus.drivers.bfd import driver as bird
from pileus.drivers.conntrackd import driver as conntrackd
from pileus.drivers.delegation.linux import LinuxPrefixClients
from pileus.drivers.dnsmasq import driver as dnsmasq
from pileus.drivers.keepalived import driver as keepalived
from pileus.drivers.keepalived.spec import VirtualRouters
from pileus.drivers.listening.linux import LinuxListeners
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft import driver as nft

logger = log.get("agent")


async def real_parts(folder: StateFolder, settings: Settings, host: str, switch: RealSwitch) -> NodeParts:
    """The parts of this machine as the node ``host``. A duty for which it lacks a program is left out, and
    said in the log; libvirt is started where none runs."""
    if switch.relay is not None:
        return _switch_alone(folder, switch, host)
    duties = _possible_duties(settings)
    if "dhcp" in duties and (raised := raise_limits(folder.limits)):
        logger.info("raised limits of the kernel for many networks", limits=list(raised))
    found = await machines.real_machines(
        folder,
        settings,
        offloads=switch.datapath_type != "netdev",
        address=settings.switch.tunneling_ip,
    )
    bridges = None
    if settings.switch.mechanism == "linuxbridge":
        if missing := nft.missing_programs():
            bootstrap.fail(f"Linux bridges need programs that are not installed: {', '.join(missing)}")
        switch_parts, bridges = await switch.linux_bridges(folder, host)
    else:
        switch_parts = switch.parts(folder, host)
    keepers: list[Callable[[], Coroutine[Any, Any, None]]] = [
        lambda: switch.keep_running(folder),
        lambda: restore(folder.external_address, switch.client(), switch.datapath_type),
    ]
    if found is not None:
        kvm = found.settings.kvm
        keepers.append(lambda: machines.keep_running(folder, kvm))
    return NodeParts(
        switch=switch_parts,
        links=LinuxLinks(),
        linux_bridges=bridges,
        listeners=LinuxListeners(),
        dhcp=dnsmasq.Dnsmasq(folder.dhcp) if "dhcp" in duties else None,
        router=_router(folder) if "l3" in duties else None,
        machines=found,
        storage=await real_storage(folder, settings, found),
        physical_switches=real_switches(settings, folder),
        keepers=tuple(keepers),
        close=switch.board_closed,
    )


def _switch_alone(folder: StateFolder, switch: RealSwitch, host: str) -> NodeParts:
    """A node whose switch is elsewhere: nothing of this machine can be plugged into it."""
    logger.info("the switch is reached by a root helper: this node has no DHCP, no routers and no machines")
    return NodeParts(
        switch=switch.parts(folder, host),
        links=LinuxLinks(),
        listeners=LinuxListeners(),
        close=switch.relay_closed,
    )


def _router(folder: StateFolder) -> RouterParts:
    missing = keepalived.missing_programs()
    if missing:
        logger.warning("this node holds no routers of high availability ready", programs=missing)
    if unwatched := bird.missing_programs():
        logger.info("next hops of routers are not watched by BFD", programs=unwatched)
    return RouterParts(
        packet_filter=nft.Nft(),
        advertisers=LinuxAdvertisers(),
        virtual_routers=None if missing else _virtual_routers(folder),
        bfd_routers=None if unwatched else bird.Bird(folder.bfd),
        prefix_clients=LinuxPrefixClients(),
    )


def _virtual_routers(folder: StateFolder) -> VirtualRouters:
    held: VirtualRouters = keepalived.Keepalived(folder.virtual_routers, LinuxLinks())
    if missing := conntrackd.missing_programs():
        logger.info("connections through routers of high availability end with their host", programs=missing)
        return held
    return conntrackd.Synchronised(folder.connections, held)


def _possible_duties(settings: Settings) -> set[str]:
    missing = {"dhcp": dnsmasq.missing_programs(), "l3": nft.missing_programs()}
    for duty in settings.agent.duties:
        if missing[duty]:
            logger.warning("this node lacks programs", duty=duty, programs=missing[duty])
    return {duty for duty in settings.agent.duties if not missing[duty]}
