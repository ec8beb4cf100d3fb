"""A lab whose hosts have no Open vSwitch: kernel bridges, and a plugging board in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.unit.l2.switch_server import SwitchServer

from pileus.app.lab.lab import PHYSICAL_NETWORK, Lab, LabHost
from pileus.core.clock import SystemClock
from pileus.drivers.linuxbridge.board import PluggingBoard
from pileus.drivers.linuxbridge.linux import LinuxBridges
from pileus.drivers.netlink.links import Address
from pileus.drivers.nft.driver import Nft
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.host.agent import AgentSettings
from pileus.host.linuxbridge.agent import LinuxBridgeAgent
from pileus.host.linuxbridge.settings import LinuxBridgeSettings


class BridgeHost(LabHost, frozen=True, kw_only=True):
    """A host with a board in the place of a switch."""

    board: PluggingBoard

    def client(self) -> OvsdbClient:
        return self.board.client()

    def agent(self, server: SwitchServer) -> LinuxBridgeAgent:
        """The host's agent."""
        settings = LinuxBridgeSettings(
            host=self.name,
            interfaces=((PHYSICAL_NETWORK, "phys0"),),
            tunneling_ip=self.underlay_ip,
            namespace=self.namespace,
            watch_interval_s=0.5,
        )
        return LinuxBridgeAgent(
            *(AgentSettings(host=self.name), settings, server, SystemClock()),
            *(self.client(), LinuxBridges(self.namespace), Nft()),
        )


class BridgeLab(Lab):
    """Hosts n1, n2, …; to be opened within the loop that is used."""

    async def open(self) -> None:
        """Make namespaces, wires and boards."""
        self.hosts = {
            name: BridgeHost(
                name=name,
                namespace=host.namespace,
                run_dir=host.run_dir,
                underlay_ip=host.underlay_ip,
                board=PluggingBoard(),
            )
            for name, host in self.hosts.items()
        }
        hosts: Iterable[LabHost] = list(self.hosts.values())
        await self._links.ensure_namespaces([self._wire, *(host.namespace for host in hosts)])
        await self._lay_wires(hosts)
        await self._links.ensure_addresses(
            Address(host.namespace, "under0", f"{host.underlay_ip}/24") for host in hosts
        )

    async def close(self) -> None:
        """Remove all that bears the lab's name."""
        boards = [host.board for host in self.hosts.values() if isinstance(host, BridgeHost)]
        await asyncio.gather(*(board.close() for board in boards))
        await super().close()
