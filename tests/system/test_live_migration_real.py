"""A server that is migrated live for real: two hosts with a libvirt each, and packets to the guest."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.api import cloud as one
from tests.api.compute.cloud import an_image
from tests.patience import PATIENCE
from tests.system.cloud_world import CloudWorld, PassingTime, story_in_a_cloud
from tests.system.gateway_world import LineWithImages, network_and_compute, why_not
from tests.system.node_world import REAL

from pileus.app.commands.image import default_cache
from pileus.core.clock import SystemClock
from pileus.drivers.guestimage import CannotBuildImage, build_image
from pileus.drivers.libvirt.daemon import LibvirtDaemon
from pileus.drivers.libvirt.hypervisor import HypervisorFailed, Power
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.host.agent import Agent, AgentSettings
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings
from pileus.services.image.images.tables import images

pytestmark = [*REAL, pytest.mark.alone, pytest.mark.nightly]

HOSTS = ("n1", "n2")
IMAGE = "10000000-0000-4000-8000-0000000000ab"
BOOTS_WITHIN_S = 90.0
MOVES_WITHIN_S = 60.0
LOST = 300
"""Packets of a stream of a thousand in a second that may be lost."""
GAP_S, STANDS_STILL_S = 0.3, 15.0
"""The longest time in which no packet of it comes back; where the guest stands still while its memory is
carried (emulated by an old QEMU) they wait for it."""
COUNTER = """#!/bin/sh
(n=0; while :; do n=$((n+1)); echo "pileus-guest: count $n" >/dev/ttyS0; sleep 0.2; done) &
"""


class Stream(NamedTuple):
    """Echoes of a stream of packets: how many were sent, how many came back, the longest time without one."""

    sent: int
    received: int
    gap_s: float


class LiveWorld(CloudWorld):
    """Two hosts with hypervisors of their own, and no L3 agent."""

    services = staticmethod(network_and_compute)  # type: ignore[assignment]
    image: Path
    """Set before a story is told."""

    def kinds(self, host: str) -> tuple[str, ...]:
        return ("switch", "hypervisor")

    async def open(self) -> None:
        self.folder.chmod(0o711)
        self.daemons: dict[str, LibvirtDaemon] = {}
        self.hypervisors: dict[str, Any] = {}
        for host in HOSTS:
            daemon = LibvirtDaemon(self.folder / f"l-{host}", namespace=self.lab.hosts[host].namespace)
            await daemon.start()
            self.daemons[host] = daemon
            line = LineWithImages(self.api, host, PassingTime(self.api.clock))
            line.image = self.image
            self.lines[host] = line
        content = self.image.read_bytes()
        row = an_image(IMAGE, "guest", self.api.clock.now())
        row |= {"size": len(content), "virtual_size": len(content)}
        row["os_hash_value"] = hashlib.sha512(content).hexdigest()
        await self.api.store.write(lambda tx: tx.insert(images, [row]))
        await super().open()
        await self.until(self.has_hypervisors)

    async def close(self) -> None:
        """What a failed story left goes, too."""
        for hypervisor in self.hypervisors.values():
            with contextlib.suppress(HypervisorFailed):
                await hypervisor.undefine([one.uuid for one in await hypervisor.list_domains()])
        await super().close()
        for daemon in self.daemons.values():
            await daemon.stop()

    def _make(self, host: str, kind: str) -> Agent:
        if kind != "hypervisor":
            return super()._make(host, kind)
        from pileus.drivers.libvirt.driver import LibvirtHypervisor

        there = self.lab.hosts[host]
        self.hypervisors[host] = LibvirtHypervisor(self.daemons[host].uri)
        tools = QemuImg()
        return HypervisorAgent(
            AgentSettings(host=host),
            NodeSettings(
                instances=self.folder / f"i-{host}",
                offloads=False,
                shutdown_timeout_s=5,
                migration_address="127.0.0.1",
            ),
            self.lines[host],  # type: ignore[arg-type]
            SystemClock(),
            self.hypervisors[host],
            tools,
            ImageCache(self.folder / f"images-{host}", tools),
            LinuxLinks(there.namespace),
            there.client(),
        )

    # -- steps

    async def until(self, condition: Callable[[], Any], within_s: float = 20.0) -> None:
        try:
            async with asyncio.timeout(within_s * PATIENCE):
                while not await condition():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"it did not come to that: {await self.shown()}") from None

    async def shown(self) -> Any:
        admin = one.Client(self.api.app, "admin")
        servers = (await admin.request("GET", "/compute/v2.1/servers/detail?all_tenants=1")).json["servers"]
        moved = (await admin.request("GET", "/compute/v2.1/os-migrations")).json["migrations"]
        logs = self.folder.glob("i-*/*/console.log")
        consoles = {str(path): path.read_text(errors="replace")[-3000:] for path in logs}
        return servers, moved, consoles

    async def ask(self, method: str, path: str, body: Any = None, *, admin: bool = False) -> Any:
        who = one.Client(self.api.app, "admin" if admin else "alice")
        headers = {"openstack-api-version": "compute 2.88"}
        answer = await who.request(method, f"/compute/v2.1{path}", body, headers)
        assert answer.status < 300, answer
        return answer.json if answer.body else None

    async def has_hypervisors(self) -> bool:
        found = (await self.ask("GET", "/os-hypervisors", admin=True))["hypervisors"]
        return len(found) == len(HOSTS)

    async def server(self, network: str) -> str:
        """A server whose guest has counted for a while; its id."""
        body = {
            "name": "counter",
            "flavorRef": "1",
            "imageRef": IMAGE,
            "networks": [{"uuid": network}],
            "config_drive": True,
            "user_data": base64.b64encode(COUNTER.encode()).decode(),
        }
        made = (await self.ask("POST", "/servers", {"server": body}))["server"]["id"]
        await self.until(lambda: self.rests(made, "ACTIVE"), BOOTS_WITHIN_S)

        async def counts() -> bool:
            return len(self.counted(made, await self.host_of(made))) > 5

        await self.until(counts, BOOTS_WITHIN_S)
        return str(made)

    async def rests(self, server_id: str, status: str) -> bool:
        found = (await self.ask("GET", f"/servers/{server_id}", admin=True))["server"]
        return (found["status"], found["OS-EXT-STS:task_state"]) == (status, None)

    async def host_of(self, server_id: str) -> str:
        found = (await self.ask("GET", f"/servers/{server_id}", admin=True))["server"]
        return str(found["OS-EXT-SRV-ATTR:host"])

    def counted(self, server_id: str, host: str) -> list[int]:
        """The numbers that its guest has said."""
        log = self.folder / f"i-{host}" / server_id / "console.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return [int(number) for number in re.findall(r"count (\d+)\r?\n", text)]

    async def migrate(self, server_id: str) -> str:
        """To the other host; that one."""
        before = await self.host_of(server_id)
        wish = {"os-migrateLive": {"block_migration": "auto", "host": None}}
        await self.ask("POST", f"/servers/{server_id}/action", wish, admin=True)
        await self.until(lambda: self.rests(server_id, "ACTIVE"), MOVES_WITHIN_S)
        after = await self.host_of(server_id)
        assert after != before, await self.shown()
        return after

    async def powers(self, host: str) -> dict[str, Power]:
        return {one.uuid: one.power for one in await self.hypervisors[host].list_domains()}

    def rest(self, host: str) -> list[str]:
        return [path.name for path in (self.folder / f"i-{host}").iterdir() if path.is_dir()]


@contextlib.asynccontextmanager
async def stream(namespace: str, address: str, rate: int = 1000) -> AsyncIterator[list[Stream]]:
    """Echo requests, so many in a second, as long as the block takes; then what came of them."""
    words = ("ip", "netns", "exec", namespace, "ping", "-D", "-n", "-W", "1", "-i", str(1 / rate), address)
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    found: list[Stream] = []
    assert child.stdout is not None
    reading = asyncio.create_task(child.stdout.read())
    try:
        await asyncio.sleep(1)
        yield found
        await asyncio.sleep(1)
    finally:
        child.send_signal(2)
        text = (await reading).decode()
        await child.wait()
    moments = [float(moment) for moment in re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.MULTILINE)]
    gaps = [later - before for before, later in itertools.pairwise(moments)]
    sent, received = re.findall(r"(\d+) packets transmitted, (\d+) received", text)[0]
    found.append(Stream(int(sent), int(received), max(gaps)))


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


def test_there_and_back_under_packets(image: Path) -> None:
    """The counter never begins anew, and few of a thousand packets a second are lost."""

    async def story(world: LiveWorld) -> None:
        network, _ = await world.network()
        neighbour, _, _ = await world.guest("n1", network)
        server_id = await world.server(network)
        ports = await world.admin("GET", f"/v2.0/ports?device_id={server_id}")
        (port,) = ports.json["ports"]
        address = port["fixed_ips"][0]["ip_address"]
        await world.pings_soon(neighbour.namespace, address)
        seen = []
        for _ in range(2):
            before = await world.host_of(server_id)
            async with stream(neighbour.namespace, address) as found:
                host = await world.migrate(server_id)
            seen.append(found[0])
            numbers = world.counted(server_id, host)
            assert numbers[0] == 1, "its console's log came along"
            assert numbers == sorted(set(numbers)), "it never begins anew"
            length = len(numbers)

            async def goes_on(host: str = host, length: int = length) -> bool:
                return len(world.counted(server_id, host)) > length

            await world.until(goes_on)
            assert await world.powers(host) == {server_id: Power.RUNNING}
            await world.until(lambda before=before: _nothing(world, before))  # type: ignore[misc]
        print(f"streams: {seen}")
        stands_still = await world.hypervisors[host].stops_for_memory(server_id)
        for each in seen:  # the queue of a tap is full when the guest has stood still for a second
            queued = 1000 * each.gap_s if stands_still else 0
            assert each.sent - each.received < LOST + queued, seen
            assert each.gap_s < (STANDS_STILL_S if stands_still else GAP_S) * PATIENCE, seen
        # a machine that has come can be switched off and on again where it is
        await world.ask("POST", f"/servers/{server_id}/action", {"reboot": {"type": "HARD"}})
        await world.until(lambda: world.rests(server_id, "ACTIVE"), BOOTS_WITHIN_S)

    told(image, story)


async def _nothing(world: LiveWorld, host: str) -> bool:
    return not world.rest(host) and not await world.powers(host)


@pytest.mark.parametrize("killed", HOSTS)
def test_an_agent_is_dropped_in_the_middle(image: Path, killed: str) -> None:
    """The server goes on where it was, or where it goes, and what had come is gone."""

    async def story(world: LiveWorld) -> None:
        network, _ = await world.network()
        server_id = await world.server(network)
        wish = {"os-migrateLive": {"block_migration": "auto", "host": None}}
        await world.ask("POST", f"/servers/{server_id}/action", wish, admin=True)

        async def moves() -> bool:
            found = (await world.ask("GET", f"/servers/{server_id}/migrations", admin=True))["migrations"]
            return any(one["status"] == "running" for one in found)

        await world.until(moves)
        await world.drop(killed, "hypervisor")
        await world.start(killed, "hypervisor")
        await world.until(lambda: world.rests(server_id, "ACTIVE"), MOVES_WITHIN_S)
        host = await world.host_of(server_id)
        other = HOSTS[1 - HOSTS.index(host)]
        await world.until(lambda: _nothing(world, other))
        assert await world.powers(host) == {server_id: Power.RUNNING}
        length = len(world.counted(server_id, host))

        async def goes_on() -> bool:
            numbers = world.counted(server_id, host)
            assert numbers == sorted(set(numbers)), numbers
            return len(numbers) > length

        await world.until(goes_on)
        assert await world.migrate(server_id) == other

    told(image, story)


def told(image: Path, story: Callable[[Any], Any]) -> None:
    class World(LiveWorld):
        pass

    World.image = image
    story_in_a_cloud(story, hosts=2, routing=(), kind=World)
