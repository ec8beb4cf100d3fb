"""This node's Open vSwitch: the system's where it runs, one of our own where it does not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

from pileus.app import bootstrap
from pileus.app.nodes import system_switch
from pileus.app.nodes.parts import BridgeParts, SwitchParts
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core import log
from pileus.drivers import outliving
from pileus.drivers.interfaces.checks import problems
from pileus.drivers.interfaces.spec import HostNetwork
from pileus.drivers.linuxbridge.board import PluggingBoard
from pileus.drivers.linuxbridge.linux import LinuxBridges
from pileus.drivers.nft import driver as nft
from pileus.drivers.openflow.table import OpenFlow
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.daemons import SwitchDaemons, missing_programs
from pileus.drivers.process import ProgramFailed
from pileus.drivers.relay import machine
from pileus.drivers.relay.prefix import parse_prefix
from pileus.drivers.relay.sockets import DATABASE, RelaySockets
from pileus.drivers.shaping.queues import KernelQueues
from pileus.host.l2.settings import BridgeSettings
from pileus.host.linuxbridge.settings import LinuxBridgeSettings

SYSTEM_RUN = Path("/var/run/openvswitch")
ALONE = "127.0.0.1"
"""The underlay address of a machine that is its cloud's only node: VXLAN networks stay on it."""
LOOK_EVERY_S = 0.5
CONNECTS_WITHIN_S = 15.0

DatapathType = Literal["system", "netdev"]

logger = log.get("agent")


def bridge_settings(
    settings: Settings, host: str, datapath_type: str, tunneling_ip: str = ""
) -> BridgeSettings:
    """The agent's view of ``[switch]``; ``tunneling_ip`` stands in where none is set."""
    switch = settings.switch
    return BridgeSettings(
        host=host,
        integration_bridge=switch.integration_bridge,
        tunnel_bridge=switch.tunnel_bridge,
        datapath_type="netdev" if datapath_type == "netdev" else "system",
        bridge_mappings=_pairs("switch.bridge_mappings", switch.bridge_mappings, "BRIDGE"),
        bandwidths=_rates(switch.bandwidths),
        tunneling_ip=switch.tunneling_ip or tunneling_ip,
        tunnel_types=switch.tunnel_types,
        vxlan_port=switch.vxlan_port,
        tap_vxlan_port=switch.tap_vxlan_port,
        log_rate_limit=switch.log_rate_limit,
        log_burst_limit=switch.log_burst_limit,
        log_file=switch.log_file,
    )


def linux_bridge_settings(settings: Settings, host: str, tunneling_ip: str = "") -> LinuxBridgeSettings:
    """The Linux-bridge agent's view of ``[switch]``; ``tunneling_ip`` stands in where none is set."""
    switch = settings.switch
    return LinuxBridgeSettings(
        host=host,
        board=switch.integration_bridge,
        interfaces=_pairs("switch.interface_mappings", switch.interface_mappings, "CARD"),
        bridges=_pairs("switch.bridge_mappings", switch.bridge_mappings, "BRIDGE"),
        tunneling_ip=switch.tunneling_ip or tunneling_ip,
        vxlan_port=switch.vxlan_port,
    )


def _pairs(key: str, entries: tuple[str, ...], what: str) -> tuple[tuple[str, str], ...]:
    found = []
    for entry in entries:
        physical_network, colon, name = entry.partition(":")
        if not (physical_network and colon and name):
            bootstrap.fail(f"{key}: {entry!r} is not PHYSNET:{what}")
        found.append((physical_network, name))
    return tuple(found)


def _rates(entries: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    found = []
    for name, rate in _pairs("switch.bandwidths", entries, "KBPS"):
        if not (rate.isdecimal() and rate.isascii() and 0 < int(rate) < 1 << 32):
            bootstrap.fail(f"switch.bandwidths: {rate!r} is no rate in kilobits a second")
        found.append((name, int(rate)))
    return tuple(found)


def host_network(settings: Settings) -> HostNetwork:
    """Return the declared network of the node itself; ends the command where it can't be put together."""
    network = settings.host_network.network()
    if found := problems(network):
        bootstrap.fail("host_network: " + "; ".join(found))
    return network


def kernel_has_openvswitch() -> bool:
    """Whether the kernel has Open vSwitch's datapath, loaded or as a module that can be."""
    if Path("/sys/module/openvswitch").exists():
        return True
    modules = Path("/lib/modules") / os.uname().release
    return any(modules.glob("**/openvswitch.ko*"))


def datapath_of_this_kernel() -> DatapathType:
    """The kernel's datapath where it has one, else that of user space."""
    return "system" if kernel_has_openvswitch() else "netdev"


def left_by_another_cloud(run_dir: Path) -> str | None:
    """Say which switch of a cloud in another state folder carries this network namespace's devices; None
    where none does. Two of them would take each other's bridges."""
    pid_file = f"{run_dir.relative_to(run_dir.parents[1])}/ovs-vswitchd.pid"
    for number, arguments in outliving.processes():
        if Path(arguments[0]).name != "ovs-vswitchd" or not outliving.is_in(number, None):
            continue
        for argument in arguments:
            path = Path(argument.removeprefix("--pidfile="))
            if not argument.startswith("--pidfile=") or run_dir in path.parents:
                continue
            if str(path).endswith(f"/{pid_file}"):
                state = str(path).removesuffix(f"/{pid_file}")
                return (
                    f"the switch of another cloud, {state}, runs in this network (process {number}). "
                    f"`pileus down --purge --state {state}` takes it away, with what it carries; where that "
                    "folder is gone, end the process."
                )
    return None


class RealSwitch:
    """Where this node's switch is reached, and by which datapath."""

    relay: RelaySockets | None = None
    board: PluggingBoard | None = None
    _polices: bool | None = None
    _prefix: tuple[str, ...] = ()

    def __init__(self, settings: Settings, address: str, run_dir: Path, datapath_type: str) -> None:
        self._settings = settings
        self._address = address
        self.run_dir = run_dir
        self.datapath_type = datapath_type

    @classmethod
    async def open(cls, folder: StateFolder, settings: Settings) -> RealSwitch:
        """Find the switch; where none runs start the system's, or one of our own below the state folder. One
        that a root helper leads to is as it is."""
        if settings.switch.mechanism == "linuxbridge":
            run_dir = folder.agent / "board"
            return cls(settings, f"unix:{run_dir / DATABASE}", run_dir, "system")
        if settings.switch.root_helper:
            return await cls._open_far(folder, settings)
        datapath = settings.switch.datapath_type
        if datapath == "auto":
            datapath = datapath_of_this_kernel()
        if settings.switch.ovsdb:
            kind, _, path = settings.switch.ovsdb.partition(":")
            run_dir = Path(path).parent if kind == "unix" else SYSTEM_RUN
            switch = cls(settings, settings.switch.ovsdb, run_dir, datapath)
            if settings.switch.netns:
                switch._prefix = ("ip", "netns", "exec", settings.switch.netns)
            return switch
        socket = SYSTEM_RUN / "db.sock"
        own = _own_daemons(folder, datapath)
        runs_already = own.pid("ovs-vswitchd") is not None
        if await _answers(socket) or (not runs_already and await system_switch.start(_marker(folder))):
            return cls(settings, f"unix:{socket}", SYSTEM_RUN, datapath)
        missing = missing_programs()
        if missing:
            bootstrap.fail(
                f"Open vSwitch is not installed ({', '.join(missing)}): apt-get install openvswitch-switch"
            )
        daemons = own
        if not runs_already:
            if (other := left_by_another_cloud(daemons.run_dir)) is not None:
                bootstrap.fail(other)
            logger.info("Open vSwitch does not run here: starting one", run_dir=str(daemons.run_dir))
        await daemons.start()
        return cls(settings, daemons.address, daemons.run_dir, datapath)

    @classmethod
    async def _open_far(cls, folder: StateFolder, settings: Settings) -> RealSwitch:
        section = settings.switch
        far = Path(section.ovsdb.removeprefix("unix:")) if section.ovsdb else SYSTEM_RUN / DATABASE
        if (section.ovsdb and not section.ovsdb.startswith("unix:/")) or far.name != DATABASE:
            bootstrap.fail(f"switch.ovsdb with a root helper is unix:/FOLDER/{DATABASE}, as it is there")
        try:
            prefix, command = parse_prefix(section.root_helper), parse_prefix(section.relay)
            relay = RelaySockets(prefix, command, far.parent, folder.agent / "far")
        except ValueError as error:
            bootstrap.fail(f"switch.root_helper, switch.relay: {error}")
        datapath: str = section.datapath_type
        if datapath == "auto":
            datapath = "system" if await machine.kernel_has_openvswitch(prefix) else "netdev"
        switch = cls(settings, f"unix:{relay.folder / DATABASE}", relay.folder, datapath)
        switch.relay = relay
        switch._prefix = prefix
        switch._polices = datapath == "system" and await machine.kernel_polices(prefix)
        bridges = bridge_settings(settings, "", datapath, tunneling_ip=ALONE)
        names = [bridges.integration_bridge, bridges.tunnel_bridge]
        await relay.start([*names, *(bridge for _, bridge in bridges.bridge_mappings)])
        return switch

    async def relay_closed(self) -> None:
        """End the connections to a switch elsewhere."""
        if self.relay is not None:
            await self.relay.close()

    def client(self) -> OvsdbClient:
        """A client of the switch's database, not yet connected."""
        return OvsdbClient(self._address)

    def parts(self, folder: StateFolder, host: str) -> SwitchParts:
        """The switch as a part of the node ``host``, with a client of its own."""
        return SwitchParts(
            bridges=bridge_settings(self._settings, host, self.datapath_type, tunneling_ip=ALONE),
            client=self.client(),
            flows=OpenFlow(self.run_dir),
            silencer=_silencer(self.datapath_type, self._prefix),
            network=host_network(self._settings),
            cards=machine.FarCards(self._prefix) if self.relay is not None else None,
            polices=self._polices,
            queues=KernelQueues(self._prefix),
            leases=folder.leases(host),
        )

    async def linux_bridges(self, folder: StateFolder, host: str) -> tuple[SwitchParts, BridgeParts]:
        """The kernel's bridges as the parts of the node ``host``, with its plugging board, which is served
        from now on."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        board = self.board = PluggingBoard(folder.agent / "board.json")
        await board.listen(self.run_dir / DATABASE)
        settings = linux_bridge_settings(self._settings, host, ALONE)
        switch = SwitchParts(
            bridges=BridgeSettings(host=host, integration_bridge=settings.board),
            client=board.client(),
        )
        return switch, BridgeParts(settings=settings, bridges=LinuxBridges(), packet_filter=nft.Nft())

    async def board_closed(self) -> None:
        """Write down what is plugged."""
        if self.board is not None:
            await self.board.close()

    async def keep_running(self, folder: StateFolder) -> None:
        """Start our own switch again when it dies (the system's is its service manager's affair)."""
        daemons = _own_daemons(folder, self.datapath_type)
        while self.run_dir == daemons.run_dir:
            await asyncio.sleep(LOOK_EVERY_S)
            if all(daemons.pid(program) for program in ("ovsdb-server", "ovs-vswitchd")):
                continue
            logger.warning("Open vSwitch has died: starting it again", run_dir=str(daemons.run_dir))
            try:
                await daemons.start()
            except ProgramFailed as error:
                logger.error("Open vSwitch can't be started", error=str(error))

    async def close(self, folder: StateFolder) -> None:
        """End the switch if it is our own, or was started for us and has nothing of anybody's."""
        if self.relay is not None:
            await self.relay.close()
            return
        if self.board is not None:
            await self.board.close()
            (folder.agent / "board.json").unlink(missing_ok=True)
            return
        daemons = _own_daemons(folder, self.datapath_type)
        if self.run_dir == daemons.run_dir:
            await daemons.stop()
        elif _marker(folder).exists():
            client = self.client()
            await client.connect(CONNECTS_WITHIN_S)
            bridges = list(client.by_name("Bridge"))
            await client.close()
            await system_switch.stop(_marker(folder), bridges)


def _silencer(datapath_type: str, prefix: tuple[str, ...]) -> nft.Nft | None:
    if datapath_type != "netdev":
        return None
    if prefix:
        return nft.Nft(prefix)
    if missing := nft.missing_programs():
        logger.warning("what guests send can't be kept from this machine's own stack", missing=missing)
        return None
    return nft.Nft()


def _marker(folder: StateFolder) -> Path:
    return folder.agent / "system-switch"


def _own_daemons(folder: StateFolder, datapath_type: str) -> SwitchDaemons:
    return SwitchDaemons(folder.agent / "ovs", userspace=datapath_type == "netdev")


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True
