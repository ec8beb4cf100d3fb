"""Several hosts on one machine: a namespace each, with an Open vSwitch of its own, and guests.

::

    wire ──────────── underlay (a bridge of the kernel) ───┬──────────────┐
         ──────────── physical network ────────────────┬───│──────────┐   │
                                                    ┌──┴───┴──┐    ┌──┴───┴──┐
    each host:      br-ex and br-under              │   n1    │    │   n2    │
                    the agents make the rest        └──┬───┬──┘    └──┬──────┘
    guests:         a namespace each, by a veth      guest guest    guest

Everything is named after the lab, so that ``close`` finds it all without remembering anything,
and opening a lab that is there already takes it as it is. Userspace tunnels need their
address on a bridge of the switch: it is on ``br-under``. Needs root.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from pileus.app.nodes import guests
from pileus.app.nodes.switch import DatapathType, datapath_of_this_kernel
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.openflow.table import OpenFlow
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.daemons import SwitchDaemons
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import run
from pileus.host.l2.settings import BridgeSettings

UNDERLAY_BRIDGE = "br-under"
PHYSICAL_BRIDGE = "br-ex"
PHYSICAL_NETWORK = "physnet1"
_LABEL = "pileus-lab"
_UNDERLAY_MTU = 1600
_SWITCH_WITHIN_S = 15.0


class LabHost(msgspec.Struct, frozen=True):
    """One host: where its switch is reached, and its address on the underlay."""

    name: str
    namespace: str
    run_dir: Path
    underlay_ip: str
    datapath_type: DatapathType = "netdev"

    @property
    def daemons(self) -> SwitchDaemons:
        """The host's ovsdb-server and ovs-vswitchd."""
        userspace = self.datapath_type == "netdev"
        return SwitchDaemons(self.run_dir, namespace=self.namespace, userspace=userspace)

    def client(self) -> OvsdbClient:
        """A client of the host's database, not yet connected."""
        return OvsdbClient(self.daemons.address)

    def flows(self) -> OpenFlow:
        """The host's flow tables."""
        return OpenFlow(self.run_dir)

    def bridge_settings(self) -> BridgeSettings:
        """The settings of the host's switch agent."""
        return BridgeSettings(
            host=self.name,
            datapath_type=self.datapath_type,
            bridge_mappings=((PHYSICAL_NETWORK, PHYSICAL_BRIDGE),),
            tunneling_ip=self.underlay_ip,
        )


class Plug(msgspec.Struct, frozen=True):
    """A guest to be plugged. ``ips`` with their prefix length; ``device_id`` becomes vm-uuid."""

    host: str
    port_id: str
    mac: str
    ips: tuple[str, ...] = ()
    gateway: str | None = None
    device_id: str = ""
    mtu: int = guests.GUEST_MTU


class Guest(msgspec.Struct, frozen=True):
    """A plugged guest: run programs in ``namespace``; its interface there is ``eth0``."""

    host: str
    port_id: str
    namespace: str
    interface: str


class Lab:
    """Several hosts on this machine. ``name`` has at most 5 letters; ``state`` holds databases and sockets,
    and its path must be short. ``datapath_type``: the kernel's (``system``) where it has one, unless said."""

    def __init__(
        self, hosts: int, state: Path, name: str = "plab", datapath_type: DatapathType | None = None
    ) -> None:
        datapath_type = datapath_type or datapath_of_this_kernel()
        self._name = name
        self._state = state
        self._links = LinuxLinks()
        self._wire = f"{name}-wire"
        self.hosts = {
            f"n{number}": LabHost(
                name=f"n{number}",
                namespace=f"{name}-n{number}",
                run_dir=state / f"n{number}",
                underlay_ip=f"192.0.2.{number}",
                datapath_type=datapath_type,
            )
            for number in range(1, hosts + 1)
        }

    async def __aenter__(self) -> Lab:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Make namespaces, wires and switches, as far as they are not there."""
        hosts = list(self.hosts.values())
        await self._links.ensure_namespaces([self._wire, *(host.namespace for host in hosts)])
        await self._lay_wires(hosts)
        await asyncio.gather(*(host.daemons.start() for host in hosts))
        await asyncio.gather(*(self._equip(host) for host in hosts))
        await self._links.ensure_addresses(
            Address(host.namespace, UNDERLAY_BRIDGE, f"{host.underlay_ip}/24") for host in hosts
        )
        for host in hosts:
            await self._links.set_up([UNDERLAY_BRIDGE], host.namespace)

    async def close(self) -> None:
        """Stop the switches and remove all that bears the lab's name."""
        # Hosts of a larger lab of the same name are found by their folders.
        folders = [path for path in self._state.glob("n*") if path.is_dir()]
        await asyncio.gather(*(SwitchDaemons(path).stop() for path in folders))
        await self._links.delete_namespaces(await self._links.namespaces(f"{self._name}-"))
        await asyncio.to_thread(shutil.rmtree, self._state, ignore_errors=True)

    async def plug(
        self, host: str, port_id: str, mac: str, ips: Sequence[str] = (), gateway: str | None = None
    ) -> Guest:
        """One guest; see ``plug_all``."""
        return (await self.plug_all([Plug(host, port_id, mac, tuple(ips), gateway)]))[0]

    async def plug_all(self, plugs: Sequence[Plug]) -> list[Guest]:
        """Guests with their interfaces on br-int, as a hypervisor leaves them (seed 004's external_ids):
        one transaction for each host."""
        for name in {plug.host for plug in plugs}:
            host = self.hosts[name]
            wanted = [self._wanted(plug) for plug in plugs if plug.host == name]
            await guests.make_guests(self._links, LinuxLinks(host.namespace), wanted)
            async with _connected(host) as client:
                await guests.plug_interfaces(client, "br-int", host.datapath_type, wanted)
        return [self._guest(plug.port_id, plug.host) for plug in plugs]

    def _wanted(self, plug: Plug) -> guests.Plug:
        return guests.Plug(
            port_id=plug.port_id,
            namespace=self._guest(plug.port_id).namespace,
            mac=plug.mac,
            ips=plug.ips,
            gateways=(plug.gateway,) if plug.gateway else (),
            device_id=plug.device_id,
            mtu=plug.mtu,
        )

    async def unplug(self, host: str, *port_ids: str) -> None:
        """No such guests: ports, interfaces and namespaces go."""
        async with _connected(self.hosts[host]) as client:
            await guests.unplug_interfaces(client, port_ids)
        await guests.remove_guests(
            self._links,
            LinuxLinks(self.hosts[host].namespace),
            [self._guest(port_id).namespace for port_id in port_ids],
            [guests.tap_name(port_id) for port_id in port_ids],
        )

    async def run(self, guest: Guest, arguments: Sequence[str], timeout_s: float = 30.0) -> bytes:
        """Run a program in a guest; what it wrote. Raises ProgramFailed."""
        return await run(self.inside(guest, arguments), timeout_s=timeout_s)

    def inside(self, guest: Guest, arguments: Sequence[str]) -> tuple[str, ...]:
        """The arguments that run a program in a guest."""
        return ("ip", "netns", "exec", guest.namespace, *arguments)

    def _guest(self, port_id: str, host: str = "") -> Guest:
        short = port_id.replace("-", "")[:11]
        return Guest(host, port_id, f"{self._name}-g-{short}", guests.tap_name(port_id))

    async def _lay_wires(self, hosts: Iterable[LabHost]) -> None:
        present = await self._links.links(self._wire)
        for bridge in ("underlay", "physical"):
            if bridge not in present:
                await run(("ip", "-n", self._wire, "link", "add", bridge, "type", "bridge"))
        await self._links.set_up(["underlay", "physical"], self._wire)
        wire = LinuxLinks(self._wire)
        ends = []
        for host in hosts:
            for bridge, peer in (("underlay", "under0"), ("physical", "phys0")):
                ends.append((f"{peer[0]}-{host.name}", bridge))
                await wire.ensure_veths(
                    [Veth(ends[-1][0], peer, host.namespace, mtu=_UNDERLAY_MTU, label=_LABEL)]
                )
        for end, bridge in ends:
            await run(("ip", "-n", self._wire, "link", "set", end, "master", bridge))

    async def _equip(self, host: LabHost) -> None:
        """The bridges that are the node's own affair: its underlay and its way to the physical network."""
        async with _connected(host) as client:
            edit = Edit(client)
            for bridge, port in ((UNDERLAY_BRIDGE, "under0"), (PHYSICAL_BRIDGE, "phys0")):
                edit.ensure_bridge(
                    bridge, datapath_type=host.datapath_type, external_ids={_LABEL: self._name}
                )
                edit.ensure_port(bridge, port)
            await edit.commit(wait_s=_SWITCH_WITHIN_S)


class _connected:
    """A client of a host's database for a moment."""

    def __init__(self, host: LabHost) -> None:
        self._client = host.client()

    async def __aenter__(self) -> OvsdbClient:
        await self._client.connect(_SWITCH_WITHIN_S)
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
