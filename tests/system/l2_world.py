"""Hosts with real switches and switch agents, guests in namespaces, and traffic between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.patience import PATIENCE
from tests.system.bridge_lab import BridgeHost
from tests.system.first import FIRST, prefer_switch
from tests.unit.l2.switch_server import SwitchServer

from pileus.app.lab.lab import Guest, Lab, LabHost, Plug
from pileus.core.clock import SystemClock
from pileus.drivers.nft import driver as nft
from pileus.drivers.process import ProgramFailed
from pileus.host.agent import AgentSettings
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.silence import Silence
from pileus.wire.switch import (
    DeviceDetails,
    FixedIP,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
    TunnelEndpoint,
)

replace = msgspec.structs.replace

TRAFFIC = str(Path(__file__).with_name("traffic.py"))
SNIFFER = str(Path(__file__).with_name("sniffer.py"))
FORGER = str(Path(__file__).with_name("forger.py"))
PING = SecurityRule("ping", "ingress", "IPv4", "icmp")
PING6 = SecurityRule("ping6", "ingress", "IPv6", "icmp")
SSH = SecurityRule("ssh", "ingress", "IPv4", "tcp", 22, 22)
UDP = SecurityRule("udp", "ingress", "IPv4", "udp", 5000, 5999)
OUT = (SecurityRule("o4", "egress", "IPv4"), SecurityRule("o6", "egress", "IPv6"))
ANYONE = (*OUT, PING, PING6, UDP)
TO_ALL = {"broadcast", "multicast", "multicast6"}
"""What guests of a network say to all of it."""


class World:
    """The lab, the server and an agent for each host."""

    def __init__(self, lab: Lab, tunnel_types: tuple[str, ...] = ("vxlan",)) -> None:
        self.lab = lab
        self.tunnel_types = tunnel_types
        self.server = SwitchServer()
        self.agents: dict[str, SwitchAgent] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.numbers = itertools.count(1)
        self.server.tunnels = [
            TunnelEndpoint(h.name, h.underlay_ip, tunnel_types) for h in lab.hosts.values()
        ]
        self.server.networks = {
            "net": NetworkDetails("net", Segment("vxlan", None, 100)),
            "vlan": NetworkDetails("vlan", Segment("vlan", "physnet1", 1234)),
            "flat": NetworkDetails("flat", Segment("flat", "physnet1")),
        }
        self.group("open", *ANYONE)
        self.group("closed")

    def group(self, group_id: str, *rules: SecurityRule) -> None:
        self.server.put_group(SecurityGroupDetails(group_id, rules))

    async def start(self, host: LabHost) -> None:
        agent = host.agent(self.server) if isinstance(host, BridgeHost) else self._switch_agent(host)
        self.agents[host.name] = agent
        self.tasks[host.name] = asyncio.create_task(agent.run())

    def _switch_agent(self, host: LabHost) -> SwitchAgent:
        return SwitchAgent(
            AgentSettings(host=host.name),
            replace(host.bridge_settings(), tunnel_types=self.tunnel_types),
            self.server,
            SystemClock(),
            host.client(),
            host.flows(),
            silence=Silence(nft.Nft(), host.namespace),
        )

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def guests(self, *wanted: tuple[str, dict[str, Any]]) -> list[tuple[Guest, DeviceDetails]]:
        """Plugged and ACTIVE: (host, changes of the device's details) each."""
        plugs, devices = [], []
        for host, changes in wanted:
            number = next(self.numbers)
            mac = f"fa:16:3e:00:00:{number:02x}"
            details = DeviceDetails(
                port_id=f"port-{number:03}",
                network_id="net",
                mac_address=mac,
                fixed_ips=(
                    FixedIP(f"10.0.0.{number}", "s4", "10.0.0.0/24"),
                    FixedIP(f"fd00::{number:x}", "s6", "fd00::/64"),
                ),
                security_group_ids=("open",),
                device_owner="compute:nova",
            )
            details = replace(details, **changes)
            self.server.put_device(details, host)
            devices.append(details)
            ips = (f"10.0.0.{number}/24", f"fd00::{number:x}/64")
            plugs.append(Plug(host, details.port_id, mac, ips))
        guests = await self.lab.plug_all(plugs)
        ids = [details.port_id for details in devices]
        await until(lambda: all(self.server.devices[one].status == "ACTIVE" for one in ids), 15)
        # The others have heard of them, too.
        await asyncio.gather(*(agent.reconciler.settled() for agent in self.agents.values()))
        return list(zip(guests, devices, strict=True))

    async def change(self, details: DeviceDetails, **changes: Any) -> None:
        """Change a port and wait until its agent has acted."""
        host = self.server.hosts[details.port_id]
        agent = self.agents[host]
        self.server.put_device(replace(self.server.devices[details.port_id], **changes), host)
        revision = self.server.devices[details.port_id].revision
        await until(lambda: agent.model.devices[details.port_id].revision >= revision)
        await agent.reconciler.settled()

    async def change_group(self, group_id: str, *rules: SecurityRule) -> None:
        self.group(group_id, *rules)
        for agent in self.agents.values():
            if group_id in agent.model.groups:
                await until(lambda agent=agent: agent.model.groups[group_id].rules == rules)
            await agent.reconciler.settled()

    async def clear(self) -> None:
        for host in self.lab.hosts:
            mine = [port_id for port_id, where in self.server.hosts.items() if where == host]
            for port_id in mine:
                self.server.remove_device(port_id)
            if mine:
                await self.lab.unplug(host, *mine)
        for agent in self.agents.values():
            await until(lambda agent=agent: not agent.model.devices)
            await agent.reconciler.settled()

    async def pings(self, guest: Guest, address: str, count: int = 2) -> bool:
        arguments = ["ping", "-c", str(count), "-i", "0.2", "-W", "1", address]
        try:
            await self.lab.run(guest, arguments)
        except ProgramFailed:
            return False
        return True

    async def tagged_ping(self, guest: Guest, vlan: int, own: str, address: str, mac: str = "") -> str:
        """The tag of the reply to an echo request with a tag, or "silence"."""
        arguments = ["tagged-ping", "eth0", str(vlan), own, address, *([mac] if mac else [])]
        said = await self.lab.run(guest, [sys.executable, "-u", TRAFFIC, *arguments])
        return said.decode().strip()

    @contextlib.asynccontextmanager
    async def program(self, guest: Guest, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """traffic.py in a guest, or sniffer.py or forger.py, after it said that it is ready."""
        words = arguments if arguments[0] in (SNIFFER, FORGER) else (TRAFFIC, *arguments)
        child = await asyncio.create_subprocess_exec(
            *(*FIRST, *self.lab.inside(guest, [sys.executable, "-u", *words])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        try:
            if arguments[0] in ("receive", "serve", "tagged-answer", SNIFFER, FORGER):
                assert await asyncio.wait_for(child.stdout.readline(), 5 * PATIENCE) == b"ready\n"
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def heard(self, sender: Guest, *others: Guest) -> list[set[str]]:
        """What each of the others gets of what ``sender`` says to everybody: by broadcast, by multicast of
        IPv4, and by that of IPv6."""
        await self.lab.run(sender, ["ip", "route", "replace", "224.0.0.0/4", "dev", "eth0"])
        async with contextlib.AsyncExitStack() as stack:
            listening = [
                await stack.enter_async_context(self.program(one, SNIFFER, "eth0")) for one in others
            ]
            for address in ("10.0.0.255", "224.0.0.99"):
                words = ("send", address, "5100", "50", "0.4")
                await self.lab.run(sender, [sys.executable, "-u", TRAFFIC, *words])
            with contextlib.suppress(ProgramFailed):  # whoever answers
                await self.lab.run(sender, ["ping", "-c", "3", "-i", "0.2", "-W", "1", "ff02::1%eth0"])
            await asyncio.sleep(0.2)
            for one in listening:
                one.terminate()
            said = [json.loads((await one.communicate())[0]) for one in listening]
        wanted = {
            "10.0.0.255:5100": "broadcast",
            "224.0.0.99:5100": "multicast",
            "echo6 ff02::1": "multicast6",
        }
        return [
            {name for words, name in wanted.items() if any(what.endswith(words) for what in one)}
            for one in said
        ]

    def prefer_the_switches(self) -> None:
        for host in self.lab.hosts.values():
            prefer_switch(host.run_dir)

    async def count(
        self, sender: Guest, receiver: Guest, address: str, rate: int, seconds: float, size: int = 64
    ) -> tuple[int, dict[str, Any]]:
        """How many were sent, and what came."""
        port = "5001"
        async with self.program(receiver, "receive", port) as listening:
            async with self.program(
                sender, "send", address, port, str(rate), str(seconds), str(size)
            ) as sending:
                sent, _ = await sending.communicate()
            await asyncio.sleep(0.3)
            listening.terminate()
            came, _ = await listening.communicate()
        return int(sent), json.loads(came)


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s * PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
