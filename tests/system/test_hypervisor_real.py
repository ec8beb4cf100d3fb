"""Machines for real: libvirt and QEMU, a switch of Open vSwitch, the agent in a process that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import re
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.switches import why_not_real
from tests.system.hypervisor_node import NodePlan
from tests.unit.hypervisor.compute_server import HOST, ComputeServer
from tests.unit.l2.switch_server import SwitchServer

from pileus.app.commands.image import default_cache
from pileus.app.lab.lab import Guest, Lab, Plug
from pileus.app.sections import LimitSection
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_unix
from pileus.bus.endpoint import Endpoint
from pileus.bus.hub import Hub
from pileus.bus.node import Node, NodeTokens, node_token
from pileus.core.clock import SystemClock
from pileus.drivers.guestimage.build import build_image
from pileus.drivers.guestimage.console import said
from pileus.drivers.guestimage.errors import CannotBuildImage
from pileus.drivers.libvirt.daemon import LibvirtDaemon, missing_programs
from pileus.drivers.libvirt.hypervisor import Power
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.process import ProgramFailed
from pileus.host.agent import AgentSettings
from pileus.host.l2.agent import SwitchAgent
from pileus.web.client import Proxies
from pileus.wire import scopes
from pileus.wire.hypervisor import HypervisorReport, HypervisorState, HypervisorStateRequest, ServerDetails
from pileus.wire.hypervisor import ServerPort as Port
from pileus.wire.questions import Question
from pileus.wire.switch import (
    Acknowledged,
    DeviceDetails,
    FixedIP,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
    TunnelEndpoint,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]

SECRET = b"s" * 32
O1, O2 = (f"00000000-0000-4000-8000-{number:012d}" for number in (1, 2))
BOOTS_WITHIN_S = 50.0
OPEN = SecurityGroupDetails(
    "open",
    (SecurityRule(O1, "ingress", "IPv4"), SecurityRule(O2, "egress", "IPv4")),
)


def why_not() -> str | None:
    if (reason := why_not_real()) is not None:
        return reason
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)}"
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed (the extra pileus[libvirt])"
    return None


class HubCompute(ComputeServer):
    """The compute service behind the real bus, image downloads with it."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.files: dict[str, Path] = {}
        self.pace_s = 0.0
        self.endpoint = Endpoint(
            {"hypervisor_state": self._state, "hypervisor_report": self._reported},
            self.hub,
            self._look,
            NodeTokens(SECRET),
        )

    def tell(self, told: tuple[str, ...]) -> None:
        self.hub.publish(self.position, told)

    async def _look(self, host: str, names: tuple[str, ...]) -> tuple[frozenset[str], int]:
        return frozenset(names), max((self.newest.get(name, 0) for name in names), default=0)

    async def _state(self, request: HypervisorStateRequest, node: Node) -> HypervisorState:
        self.calls.append("hypervisor_state")
        return self._hypervisor_state(request)

    async def _reported(self, report: HypervisorReport, node: Node) -> Acknowledged:
        self.calls.append("hypervisor_report")
        return self._hypervisor_report(report)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/wire/"):
            await self.endpoint(scope, receive, send)
            return
        name = scope["path"].rpartition("/")[2]
        self.downloads.append(name)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with self.files[name].open("rb") as file:
            while piece := file.read(1 << 20):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(self.pace_s)
        await send({"type": "http.response.body", "body": b""})


class Site:
    """One host of a lab, with a libvirtd of its own, and a neighbour to ping from."""

    def __init__(self, root: Path, lab: Lab, daemon: LibvirtDaemon, image: Path) -> None:
        self.root = root
        self.lab = lab
        self.host = lab.hosts[HOST]
        self.daemon = daemon
        self.compute = HubCompute()
        self.network = SwitchServer()
        self.image = self.compute.image("guest", image.read_bytes())
        self.compute.files["guest"] = image
        self.links = LinuxLinks(self.host.namespace)
        self.numbers = itertools.count(10)
        self.child: asyncio.subprocess.Process | None = None
        self.neighbour: Guest | None = None

    # -- the node

    async def start(self) -> None:
        instances = self.root / "i"
        plan = NodePlan(
            host=HOST,
            server=f"unix:{self.root / 'bus.sock'}",
            token=node_token(SECRET, HOST),
            libvirt=self.daemon.uri,
            switch=self.host.daemons.address,
            namespace=self.host.namespace,
            instances=str(instances),
            images=str(self.root / "images"),
        )
        (self.root / "node.json").write_bytes(msgspec.json.encode(plan))
        script = Path(__file__).with_name("hypervisor_node.py")
        self.child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            str(self.root / "node.json"),
            stderr=(self.root / "node.log").open("ab"),
        )

    async def kill(self) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(signal.SIGKILL)
            await self.child.wait()
            self.child = None

    # -- the cloud

    def server(self, **changes: Any) -> ServerDetails:
        """A server with a fixed address that its config drive tells it, and its port in the network."""
        number = next(self.numbers)
        server_id, port_id = str(uuid.uuid4()), str(uuid.uuid4())
        mac, address = f"fa:16:3e:00:01:{number:02x}", f"10.0.0.{number}"
        self.network.put_device(self.device(port_id, mac, address, server_id), HOST)
        links = [{"id": "l0", "type": "ovs", "ethernet_mac_address": mac, "mtu": 1450}]
        networks = [
            {
                "id": "n0",
                "type": "ipv4",
                "link": "l0",
                "ip_address": address,
                "netmask": "255.255.255.0",
                "routes": [],
            }
        ]
        server = ServerDetails(
            server_id=server_id,
            name=f"server-{number}",
            generation=1,
            wanted="running",
            vcpus=1,
            memory_mib=192,
            root_gib=1,
            image=self.image,
            ports=(Port(port_id, mac, 1450),),
            config_drive={
                "openstack/latest/meta_data.json": msgspec.json.encode(
                    {"uuid": server_id, "hostname": f"server-{number}", "name": f"server-{number}"}
                ),
                "openstack/latest/network_data.json": msgspec.json.encode(
                    {"links": links, "networks": networks, "services": []}
                ),
            },
        )
        return msgspec.structs.replace(server, **changes)

    @staticmethod
    def device(port_id: str, mac: str, address: str, device_id: str) -> DeviceDetails:
        return DeviceDetails(
            port_id=port_id,
            network_id="net",
            mac_address=mac,
            fixed_ips=(FixedIP(address, "s4", "10.0.0.0/24"),),
            security_group_ids=("open",),
            device_id=device_id,
            device_owner="compute:nova",
        )

    async def until(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to that; {self.compute.states}"
            assert self.child is None or self.child.returncode is None, (self.root / "node.log").read_text()
            await asyncio.sleep(0.02)

    async def in_place(self, server: ServerDetails, power_state: int = 1) -> None:
        def reached() -> bool:
            state = self.compute.states.get(server.server_id)
            assert state is None or state.error is None, state
            return state is not None and state.in_place and state.power_state == power_state

        await self.until(reached)

    def console(self, server: ServerDetails) -> str:
        log = self.root / "i" / server.server_id / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    async def up(self, server: ServerDetails, boots: int = 1) -> None:
        def ready() -> bool:
            lines = [one.text for one in said(self.console(server))]
            return sum(line.startswith("static ") for line in lines) >= boots

        try:
            await self.until(ready, BOOTS_WITHIN_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; its console: {self.console(server)}") from None

    def steps(self, server: ServerDetails) -> list[str]:
        return [step.name for step in self.compute.steps[server.server_id]]

    async def pings(self, server: ServerDetails, address: str) -> bool:
        assert self.neighbour is not None
        with contextlib.suppress(ProgramFailed):
            await self.lab.run(self.neighbour, ["ping", "-c", "2", "-i", "0.3", "-W", "2", address])
            return True
        return False

    async def rest(self) -> dict[str, Any]:
        """What is here of machines."""
        from pileus.drivers.libvirt.driver import LibvirtHypervisor

        hypervisor = LibvirtHypervisor(self.daemon.uri)
        await hypervisor.connect()
        try:
            domains = await hypervisor.list_domains()
        finally:
            await hypervisor.close()
        client = self.host.client()
        await client.connect(10)
        try:
            neighbour = self.neighbour.interface if self.neighbour else ""
            ports = {
                row["name"]
                for row in client.by_name("Interface").values()
                if "iface-id" in row["external_ids"] and row["name"] != neighbour
            }
        finally:
            await client.close()
        taps = {name for name, link in (await self.links.links()).items() if "pileus-server" in link.label}
        folders = [path.name for path in (self.root / "i").iterdir() if path.is_dir()]
        return {"domains": domains, "ports": ports, "taps": taps, "folders": folders}

    async def power(self, server: ServerDetails) -> Power | None:
        states = {state.uuid: state.power for state in (await self.rest())["domains"]}
        return states.get(server.server_id)


NOTHING: dict[str, Any] = {"domains": [], "ports": set(), "taps": set(), "folders": []}


@contextlib.asynccontextmanager
async def site(image: Path) -> AsyncIterator[Site]:
    root = Path(tempfile.mkdtemp(prefix="plh-"))
    root.chmod(0o711)
    try:
        async with Lab(1, root / "lab", "plhv") as lab:
            daemon = LibvirtDaemon(root / "lv", namespace=lab.hosts[HOST].namespace)
            await daemon.start()
            it = Site(root, lab, daemon, image)
            it.network.tunnels = [TunnelEndpoint(h.name, h.underlay_ip) for h in lab.hosts.values()]
            it.network.networks = {"net": NetworkDetails("net", Segment("vxlan", None, 100))}
            it.network.put_group(OPEN)
            switch = SwitchAgent(
                AgentSettings(host=HOST),
                it.host.bridge_settings(),
                it.network,
                SystemClock(),
                it.host.client(),
                it.host.flows(),
            )
            wiring = asyncio.create_task(switch.run())
            web = HttpServer(
                it.compute, Gate(LimitSection(), Proxies()), [], [listen_unix(root / "bus.sock")]
            )
            await web.start()
            await switch.in_sync.wait()
            it.network.put_device(it.device("neighbour", "fa:16:3e:00:00:01", "10.0.0.1", "x"), HOST)
            (it.neighbour,) = await lab.plug_all(
                [Plug(HOST, "neighbour", "fa:16:3e:00:00:01", ("10.0.0.1/24",))]
            )
            await it.start()
            try:
                yield it
            finally:
                await it.kill()
                it.compute.servers.clear()
                await it.start()  # what a failed test left is removed by who made it
                with contextlib.suppress(AssertionError):
                    await it.until(lambda: not [p for p in (root / "i").iterdir() if p.is_dir()], 20)
                await it.kill()
                wiring.cancel()
                await asyncio.gather(wiring, return_exceptions=True)
                it.compute.endpoint.close()
                await web.stop()
                await daemon.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("image") / "guest.qcow2"
    try:
        build_image(path, default_cache(), lambda text: None)
    except CannotBuildImage as error:
        pytest.skip(str(error))
    return path


@pytest.fixture
def play(image: Path) -> Callable[[Callable[[Site], Awaitable[None]]], None]:
    def run(story: Callable[[Site], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(400), site(image) as it:
                await story(it)

        asyncio.run(whole())

    return run


def test_the_life_of_a_machine(play: Callable[..., None]) -> None:
    async def story(site: Site) -> None:
        compute = site.compute
        server = site.server()
        address = f"10.0.0.{server.name.rpartition('-')[2]}"
        compute.put(server)
        await site.in_place(server)
        await site.until(lambda: site.network.devices[server.ports[0].port_id].status == "ACTIVE")
        await site.up(server)
        assert any(one.text.startswith("config-drive device=") for one in said(site.console(server)))
        assert any(f"static {address}/24" in one.text for one in said(site.console(server)))
        assert await site.pings(server, address)

        answer = await compute.hub.ask(
            scopes.hypervisor(HOST),
            Question(O1, "console_log", {"server_id": server.server_id, "length": 50}),
            5,
        )
        assert "pileus-guest: static" in answer.result["output"]

        compute.change(server.server_id, wanted="stopped")
        await site.in_place(server, 4)
        assert "pileus-guest: stopping" in site.console(server), "the guest went by itself"
        compute.change(server.server_id, wanted="running")
        await site.in_place(server)
        await site.up(server, 2)

        compute.operate(server.server_id, O1, type="SOFT")
        await site.until(lambda: O1 in compute.operations, 60)
        assert compute.operations[O1].error is None
        await site.up(server, 3)
        assert await site.pings(server, address)

        # A second card comes and goes while it runs.
        more = site.server()
        cards = (*server.ports, *more.ports)
        compute.change(server.server_id, ports=cards)
        await site.until(lambda: "interface.attach" in site.steps(server))
        await site.until(lambda: "interface eth1" in site.console(server))
        compute.change(server.server_id, ports=server.ports)
        await site.until(lambda: "gone interface eth1" in site.console(server))
        await site.until(lambda: "interface.detach" in site.steps(server))

        # Somebody deletes its tap: another one comes, with the card of the running machine on it.
        tap = f"tap{server.ports[0].port_id[:11]}"
        await site.links.delete_links([tap])
        await site.until(lambda: "interface.renew" in site.steps(server))
        async with asyncio.timeout(20):
            while not await site.pings(server, address):
                pass

        # A restart of the agent is nothing to the machine.
        await site.kill()
        compute.states.clear()
        steps = site.steps(server)
        await site.start()
        await site.in_place(server)
        assert site.steps(server) == steps
        assert await site.pings(server, address)

        compute.operate(server.server_id, O2, type="HARD")
        await site.until(lambda: O2 in compute.operations)
        await site.up(server, 4)

        compute.delete(server.server_id)
        await site.until(lambda: server.server_id in compute.gone)
        assert await site.rest() == NOTHING

    play(story)


@pytest.mark.parametrize("after", ["image.fetch", "disk.create", "domain.define", "domain.start"])
def test_killed_in_the_middle_of_a_build(play: Callable[..., None], after: str) -> None:
    async def story(site: Site) -> None:
        compute = site.compute
        compute.pace_s = 0.05 if after == "image.fetch" else 0.0
        one, two = site.server(), site.server()
        compute.put(one)
        compute.put(two)
        if after == "image.fetch":
            await site.until(lambda: compute.downloads)
        else:
            await site.until(lambda: any(s.name == after for s in compute.steps[one.server_id]))
        await site.kill()
        compute.delete(two.server_id)
        await site.start()
        await site.in_place(one)
        await site.until(lambda: two.server_id in compute.gone)
        rest = await site.rest()
        assert [state.uuid for state in rest["domains"]] == [one.server_id]
        assert rest["folders"] == [one.server_id]
        assert len(rest["ports"]) == len(rest["taps"]) == 1
        assert not list((site.root / "images").glob("*.part"))
        compute.delete(one.server_id)
        await site.until(lambda: one.server_id in compute.gone)
        assert await site.rest() == NOTHING

    play(story)


def test_how_long_it_takes_from_the_word_to_the_start(play: Callable[..., None]) -> None:
    async def story(site: Site) -> None:
        compute = site.compute
        first = site.server()
        compute.put(first)
        await site.in_place(first)
        await site.until(lambda: "hypervisor_report" in compute.calls)
        times = []
        for _ in range(5):
            server = site.server()
            asked = SystemClock().now()
            compute.put(server)
            await site.in_place(server)
            steps = {step.name: step for step in compute.steps[server.server_id]}
            began = steps["domain.start"].started_at
            assert re.match(r"\d{4}-\d\d-\d\dT", began)
            times.append((type(asked).fromisoformat(began) - asked).total_seconds())
            compute.delete(server.server_id)
            while server.server_id not in compute.gone:
                await asyncio.sleep(0.02)
        print("from the word to the start call:", [round(t * 1000) for t in times], "ms")
        assert sorted(times)[2] < 1.0, times

    play(story)
