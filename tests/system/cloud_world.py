"""Hosts with real switches, routers and guests, told what to do by the real network service: API to packet.

The service is in this process over a fresh SQLite file; agents ask it as they ask over the bus, without the
bus. Networks are VXLAN, ``outside`` is a namespace on the lab's physical wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec.structs import replace
from tests.api.network.cloud import CONFIG, Cloud, Node, cloud
from tests.patience import PATIENCE
from tests.system.first import FIRST, prefer_switch

from pileus.app.lab.lab import Guest, Lab, Plug
from pileus.core.clock import ManualClock, SystemClock
from pileus.core.errors import Unavailable
from pileus.drivers.advertising.linux import LinuxAdvertisers
from pileus.drivers.conntrackd import driver as conntrackd
from pileus.drivers.delegation.linux import LinuxPrefixClients
from pileus.drivers.keepalived.driver import Keepalived
from pileus.drivers.keepalived.spec import VirtualRouters
from pileus.drivers.listening.linux import LinuxListeners
from pileus.drivers.netlink.links import Address, Route, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft import driver as nft
from pileus.drivers.outliving import processes
from pileus.drivers.process import ProgramFailed, run
from pileus.host.agent import Agent, AgentSettings
from pileus.host.l2.agent import SwitchAgent
from pileus.host.l2.silence import Silence
from pileus.host.l3.agent import L3Agent
from pileus.host.metadata.agent import MetadataAgent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.services.network.rules.segments import Ranges
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire.agents import Wakeup
from pileus.wire.calls import Call

HERE = Path(__file__).parent
TRAFFIC = HERE / "traffic.py"
OUTSIDE, BEYOND = "203.0.113.1", "198.51.100.7"
_ids = itertools.count(os.getpid() % 1000 * 10)
CLOUD_CONFIG = replace(CONFIG, ranges=Ranges(flat=("*",), vxlan=((1, 10000),)))


def _newest(tx: Tx, scopes: set[str]) -> int:
    return newest_position(tx, scopes)


class PassingTime:
    """Turns the clock of the services as time passes."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._turned_at = time.monotonic()

    def turn(self) -> None:
        """Of two reports one is later."""
        now = time.monotonic()
        self._clock.advance(max(0.001, now - self._turned_at))
        self._turned_at = now


class ServiceLine:
    """The bus of one host's agents, without a bus."""

    def __init__(self, api: Cloud, host: str, passing: PassingTime) -> None:
        self._api = api
        self._host = host
        self._passing = passing
        self.away = False

    async def call(self, call: Call[Any, Any], request: Any) -> Any:
        if self.away:
            raise Unavailable("the server is away")
        self._passing.turn()
        return await self._api.wire[call.name](request, Node(self._host))

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        wanted = frozenset(scopes)
        queue: asyncio.Queue[Wakeup] = asyncio.Queue()

        def hear(published: Any) -> None:
            if heard := wanted & published.scopes:
                queue.put_nowait(Wakeup(published.position, tuple(sorted(heard))))

        end = self._api.store.subscribe(hear)
        try:
            yield Wakeup(await self._api.store.read(_newest, set(scopes)))
            while True:
                yield await queue.get()
        finally:
            end()


class CloudWorld:
    """``routing``: the hosts that have an L3 agent."""

    services = staticmethod(cloud)
    """``(url, config) ->`` the services that tell the hosts what to do."""

    def __init__(self, lab: Lab, folder: Path, name: str, api: Cloud, routing: Sequence[str]) -> None:
        self.lab, self.folder, self.name, self.api = lab, folder, name, api
        self.admin = api.as_("admin")
        self.routing = routing
        self.links = LinuxLinks()
        self.agents: dict[tuple[str, str], Agent] = {}
        passing = PassingTime(api.clock)
        self.lines = {host: ServiceLine(api, host, passing) for host in lab.hosts}
        self.public = ""
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._groups: list[str] = []

    @property
    def outside(self) -> str:
        return f"{self.name}-out"

    async def open(self) -> None:
        wire = f"{self.name}-wire"
        await self.links.ensure_namespaces([self.outside])
        await LinuxLinks(wire).ensure_veths([Veth("out", "eth0", self.outside)])
        await run(("ip", "-n", wire, "link", "set", "out", "master", "physical"))
        await self.links.ensure_addresses(
            [Address(self.outside, "eth0", f"{OUTSIDE}/24"), Address(self.outside, "lo", f"{BEYOND}/32")]
        )
        for host in self.lab.hosts:
            for kind in self.kinds(host):
                await self.start(host, kind)
        await until(lambda: all(agent.metrics.full_passes for agent in self.agents.values()), 30)
        self.public = await self._outside()
        group = (await self.api("GET", "/v2.0/security-groups")).json["security_groups"][0]
        for family in ("IPv4", "IPv6"):
            await self.api.make(
                "security_group_rule", security_group_id=group["id"], direction="ingress", ethertype=family
            )

    async def _outside(self) -> str:
        network = await self.admin.make(
            "network",
            name="public",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": "physnet1",
            },
        )
        pool = {"start": "203.0.113.100", "end": "203.0.113.200"}
        values = {"network_id": network["id"], "cidr": "203.0.113.0/24", "ip_version": 4}
        await self.admin.make("subnet", **values, enable_dhcp=False, allocation_pools=[pool])
        return str(network["id"])

    def kinds(self, host: str) -> tuple[str, ...]:
        return ("switch", "metadata", "l3") if host in self.routing else ("switch",)

    async def close(self) -> None:
        for key in list(self._tasks):
            await self.drop(*key)
        for host in self.routing:
            keepalived = self.virtual_routers(host, LinuxLinks())
            await keepalived.remove(await keepalived.known())

    # -- agents

    async def start(self, host: str, kind: str) -> None:
        agent = self.agents[host, kind] = self._make(host, kind)
        self._tasks[host, kind] = asyncio.create_task(agent.run())

    async def drop(self, host: str, kind: str) -> None:
        """Dropped wherever it is; nothing is told goodbye."""
        task = self._tasks.pop((host, kind))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _make(self, host: str, kind: str) -> Agent:
        settings, line, there = AgentSettings(host=host), self.lines[host], self.lab.hosts[host]
        if kind == "switch":
            return SwitchAgent(
                settings,
                there.bridge_settings(),
                line,
                SystemClock(),
                there.client(),
                there.flows(),
                silence=Silence(nft.Nft(), there.namespace),
            )
        if kind == "metadata":
            return MetadataAgent(settings, line, SystemClock(), LinuxListeners())
        links = LinuxLinks(there.namespace)
        return L3Agent(
            settings,
            line,
            SystemClock(),
            there.client(),
            links,
            nft.Nft(),
            LinuxAdvertisers(),
            virtual_routers=self.virtual_routers(host, links),
            prefix_clients=LinuxPrefixClients(),
            metadata=self.agents[host, "metadata"],  # type: ignore[arg-type]
            namespaces=NamespaceSettings(namespace_prefix=self.prefix(host), watch_interval_s=0.5),
        )

    def virtual_routers(self, host: str, links: LinuxLinks) -> VirtualRouters:
        held = Keepalived(self.folder / f"vrrp-{host}", links)
        missing = conntrackd.missing_programs()
        return held if missing else conntrackd.Synchronised(self.folder / f"ct-{host}", held)

    def prefix(self, host: str) -> str:
        return f"{self.name}-{host}-r"

    async def settled(self) -> None:
        for agent in self.agents.values():
            await agent.reconciler.settled()

    def keepaliveds(self, host: str) -> list[int]:
        folder = f"--use-file={self.folder}/vrrp-{host}/"
        return [n for n, words in processes() if len(words) > 2 and words[2].startswith(folder)]

    def conntrackds(self, host: str) -> list[int]:
        folder = f"{self.folder}/ct-{host}/"
        return [n for n, words in processes() if len(words) > 2 and words[2].startswith(folder)]

    async def kill_everything(self, host: str) -> None:
        """kill -9: switch, keepalived and agents of a host."""
        there = self.lab.hosts[host]
        numbers = self.keepaliveds(host)
        numbers += [int(file.read_text()) for file in sorted(there.run_dir.glob("*.pid"))]
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for kind in self.kinds(host):
            await self.drop(host, kind)

    async def bring_back(self, host: str) -> None:
        """What a supervisor does after that."""
        await self.lab.hosts[host].daemons.start()
        for kind in self.kinds(host):
            await self.start(host, kind)

    # -- the cloud

    async def network(self, number: int = 1) -> tuple[str, str]:
        """A network with the subnet 10.NUMBER.0.0/24; their ids."""
        return await self.api.a_network(f"10.{number}.0.0/24", enable_dhcp=False)

    async def router(self, *subnets: str, gateway: bool = True, **values: Any) -> str:
        """A router of P1 with interfaces on subnets; its id."""
        info = {"external_gateway_info": {"network_id": self.public}} if gateway else {}
        project = (await self.api.make("port", network_id=(await self.api.a_network("10.250.0.0/24"))[0]))[
            "project_id"
        ]
        made = await self.admin.make("router", project_id=project, **info, **values)
        for subnet in subnets:
            path = f"/v2.0/routers/{made['id']}/add_router_interface"
            answer = await self.api("PUT", path, {"subnet_id": subnet})
            assert answer.status == 200, answer
        return str(made["id"])

    async def guest(self, host: str, network: str, number: int = 1, **values: Any) -> tuple[Guest, str, str]:
        """A guest with its address and the default route; the port's id and the address."""
        port = await self.api.make("port", network_id=network, **values)
        await self.admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": host}})
        address = next(ip["ip_address"] for ip in port["fixed_ips"] if ":" not in ip["ip_address"])
        plug = Plug(host, port["id"], port["mac_address"], (f"{address}/24",), f"10.{number}.0.1")
        (guest,) = await self.lab.plug_all([plug])
        async with asyncio.timeout(20 * PATIENCE):
            while (await self.api("GET", f"/v2.0/ports/{port['id']}")).json["port"]["status"] != "ACTIVE":
                await asyncio.sleep(0.05)
        await self.links.ensure_routes(
            [Route(guest.namespace, "0.0.0.0/0", via=f"10.{number}.0.1", device="eth0")]
        )
        return guest, port["id"], address

    async def floating(self, port_id: str) -> str:
        made = await self.api.make("floatingip", floating_network_id=self.public, port_id=port_id)
        return str(made["floating_ip_address"])

    async def states(self, router: str) -> dict[str, str]:
        answer = await self.admin("GET", f"/v2.0/routers/{router}/l3-agents")
        return {agent["host"]: agent["ha_state"] for agent in answer.json["agents"]}

    async def active(self, router: str) -> str:
        """The host that is, once one says that it is."""
        async with asyncio.timeout(20 * PATIENCE):
            while "active" not in (states := await self.states(router)).values():
                await asyncio.sleep(0.05)
        return next(host for host, state in states.items() if state == "active")

    async def compares(self) -> None:
        """A switch agent that compares everything finds nothing to change."""
        for host in self.lab.hosts:
            agent = self.agents[host, "switch"]
            await agent.reconciler.settled()
            before = agent.metrics.full_passes
            agent.reconciler.wake(reread=True, inspect=True)
            await until(lambda agent=agent, before=before: agent.metrics.full_passes > before)
            assert agent.metrics.changes_of_last_full_pass == 0, host

    async def replace_agents(self, *agents: tuple[str, str]) -> None:
        """Agents (host, kind) die and others come in their place, one after the other."""
        for host, kind in agents:
            await self.drop(host, kind)
            await self.start(host, kind)
            await until(lambda at=(host, kind): self.agents[at].metrics.full_passes > 0)

    # -- packets

    async def pings(self, namespace: str, address: str, count: int = 2) -> bool:
        inside = ("ip", "netns", "exec", namespace)
        try:
            await run((*inside, "ping", "-c", str(count), "-i", "0.2", "-W", "1", address))
        except ProgramFailed:
            return False
        return True

    async def pings_soon(self, namespace: str, address: str, within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s * PATIENCE):
            while not await self.pings(namespace, address, 1):
                pass

    @contextlib.asynccontextmanager
    async def program(self, namespace: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """traffic.py in a namespace, after it said that it is ready."""
        child = await asyncio.create_subprocess_exec(
            *(*FIRST, "ip", "netns", "exec", namespace),
            *(sys.executable, "-u", str(TRAFFIC), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        try:
            if arguments[0] in ("receive", "serve", "senders"):
                assert await asyncio.wait_for(child.stdout.readline(), 10 * PATIENCE) == b"ready\n"
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def run_program(self, namespace: str, *arguments: str) -> str:
        """traffic.py in a namespace, to its end; what it said."""
        async with self.program(namespace, *arguments) as child:
            said, _ = await child.communicate()
        return said.decode()

    async def stream(
        self, sender: str, receiver: str, address: str, meanwhile: Callable[[], Any], *, rate: int = 500
    ) -> tuple[int, int]:
        """Send packets while something happens: how many were sent, and how many came."""
        async with self.program(receiver, "receive", "5001") as listening:
            async with self.program(sender, "send", address, "5001", str(rate), "60") as sending:
                await asyncio.sleep(0.5)
                await meanwhile()
                await asyncio.sleep(1.0)
                sending.terminate()
                sent, _ = await sending.communicate()
            await asyncio.sleep(0.3)
            listening.terminate()
            came, _ = await listening.communicate()
        # Who is told to stop may have sent one more than it has counted.
        packets = int(json.loads(came)["packets"])
        return max(int(sent), packets), packets

    def prefer_the_switches(self) -> None:
        for host in self.lab.hosts.values():
            prefer_switch(host.run_dir)


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s * PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def a_cloud(
    hosts: int = 3,
    routing: Sequence[str] = ("n1", "n2"),
    config: Any = CLOUD_CONFIG,
    kind: type[CloudWorld] = CloudWorld,
    lab: type[Lab] = Lab,
) -> AsyncIterator[CloudWorld]:
    """A cloud in a lab of its own; afterwards nothing of it is left."""
    name = f"pc{next(_ids) % 1000}"
    folder = Path(tempfile.mkdtemp(prefix=name))
    folder.chmod(0o755)
    try:
        api_of = kind.services(f"sqlite:///{folder}/cloud.sqlite", config)
        async with api_of as api, lab(hosts, folder / "lab", name) as opened:
            world = kind(opened, folder, name, api, routing)
            try:
                await world.open()
                yield world
            finally:
                await world.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def story_in_a_cloud(story: Callable[[CloudWorld], Any], hosts: int = 3, **options: Any) -> None:
    """Run a story in ``a_cloud``."""

    async def tell() -> None:
        async with a_cloud(hosts, **options) as world:
            await story(world)

    asyncio.run(tell())


S = TypeVar("S")


class SharedCloud(Generic[S]):
    """A cloud for several stories, which find what ``prepare`` has made and leave it so."""

    def __init__(self, prepare: Callable[[CloudWorld], Coroutine[Any, Any, S]], **options: Any) -> None:
        self._prepare = prepare
        self._options = options
        self._runner = asyncio.Runner()

    def __enter__(self) -> SharedCloud[S]:
        try:
            self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._close())

    def tell(self, story: Callable[[CloudWorld, S], Coroutine[Any, Any, None]]) -> None:
        """Run one story."""
        self._runner.run(story(self._world, self._site))

    async def _open(self) -> None:
        self._over, ready = asyncio.Event(), asyncio.Event()
        # What is opened in a task is closed in the same one.
        self._life = asyncio.create_task(self._live(ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((self._life, waiting), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            waiting.cancel()
            self._life.result()

    async def _live(self, ready: asyncio.Event) -> None:
        async with a_cloud(**self._options) as world:
            self._world, self._site = world, await self._prepare(world)
            ready.set()
            await self._over.wait()

    async def _close(self) -> None:
        self._over.set()
        await self._life
