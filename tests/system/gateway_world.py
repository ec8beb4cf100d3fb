"""A cloud whose network node has hypervisors, for routers that are virtual machines."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.api import cloud as one
from tests.api.compute.cloud import FakeImages, an_image
from tests.api.network.cloud import Cloud
from tests.patience import PATIENCE
from tests.system.cloud_world import CloudWorld, PassingTime, ServiceLine
from tests.system.ipv6_links import until_link_local

from pileus.app.lab.lab import Guest, Plug
from pileus.bus.client import ServerUnreachable
from pileus.core.clock import ManualClock, SystemClock
from pileus.core.streams import ByteStream
from pileus.drivers.guestimage.console import said
from pileus.drivers.libvirt.daemon import LibvirtDaemon, missing_programs
from pileus.drivers.libvirt.hypervisor import HypervisorFailed
from pileus.drivers.outliving import processes
from pileus.drivers.process import run
from pileus.drivers.qemu_img.driver import QemuImg
from pileus.host.agent import Agent, AgentSettings
from pileus.host.gateways.agent import GatewayAgent
from pileus.host.hypervisor.agent import HypervisorAgent
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.metering.agent import MeteringAgent
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.service import Compute, holders_of, projects_of_servers
from pileus.services.image.images.tables import images
from pileus.services.network.gateway_machines.reading import machines_known
from pileus.services.network.service import Network, NetworkConfig
from pileus.services.network.service_providers import PROVIDERS
from pileus.services.volume.service import VolumeConfig
from pileus.store import Store
from pileus.web.face import ServiceFace
from pileus.wire.questions import Answer, Question

HOST = "n1"
OWNER = "9" * 32
IMAGE = "10000000-0000-4000-8000-0000000000aa"
DRIVER = next(one.driver for one in PROVIDERS if one.gateway_vm)
DHCLIENT = shutil.which("dhclient") or "/usr/sbin/dhclient"
DHCP_CLIENT = Path(__file__).parent.parent / "dhcp_client.py"
WORKS_WITHIN_S = 90.0
OUTSIDE_6, BEYOND_6 = "2001:db8:f::1", "2001:db8:b::7"
BEHIND_6, FAR_6 = "2001:db8:99::/64", "2001:db8:99::7"
"""A network behind a guest, and who is there."""


async def _no_answer(scope: str, question: Question, timeout_s: float) -> Answer:
    return Answer(scope.partition(":")[2], question.question_id, error="nobody is asked here")


class GatewayCloud(Cloud):
    """Network and compute together."""

    @property
    def compute(self) -> Compute:
        return self.faces["compute"]  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def network_and_compute(url: str, config: NetworkConfig) -> AsyncIterator[GatewayCloud]:
    """Both services, with what runs beside requests."""

    def faces(store: Store, clock: ManualClock) -> Sequence[ServiceFace]:
        settings = replace(config, projects_of_servers=projects_of_servers, holders_of=holders_of)
        compute = Compute(
            ComputeConfig(),
            settings,
            clock,
            images=FakeImages(),
            volumes=VolumeConfig(),
            ask=_no_answer,
            open_stream=_no_answer,
            authority_file=Path("/nonexistent"),
            own_project=lambda tx: OWNER,
        )
        return [compute, Network(settings, clock)]

    async with one.served(GatewayCloud, url, faces) as api:
        await api.compute.start(api.store)
        try:
            yield api
        finally:
            await api.compute.close()


class LineWithImages(ServiceLine):
    """Images come by the same line."""

    image: Path

    async def download(self, path: str) -> AsyncIterator[bytes]:
        with self.image.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    async def stream(self, name: str) -> ByteStream:
        raise ServerUnreachable(reason="nobody looks at consoles here")


class GatewayWorld(CloudWorld):
    """One host with a hypervisor of its own and no L3 agent."""

    services = staticmethod(network_and_compute)  # type: ignore[assignment]
    image: Path
    """Set before a story is told."""

    def kinds(self, host: str) -> tuple[str, ...]:
        return ("switch", "hypervisor", "gateways", "metering")

    async def open(self) -> None:
        self.folder.chmod(0o711)
        self.daemon = LibvirtDaemon(self.folder / "lv", namespace=self.lab.hosts[HOST].namespace)
        await self.daemon.start()
        line = LineWithImages(self.api, HOST, PassingTime(self.api.clock))
        line.image = self.image
        self.lines[HOST] = line
        await super().open()
        content = self.image.read_bytes()
        now = self.api.clock.now()
        row = an_image(IMAGE, "gateway", now)
        row |= {"size": len(content), "virtual_size": len(content)}
        row["os_hash_value"] = hashlib.sha512(content).hexdigest()
        await self.api.store.write(lambda tx: tx.insert(images, [row]))
        await self.until(self.has_hypervisor)

    async def close(self) -> None:
        """What a failed story left goes, too."""
        with contextlib.suppress(HypervisorFailed, AttributeError):
            await self.hypervisor.undefine([one.uuid for one in await self.hypervisor.list_domains()])
        await super().close()
        await self.daemon.stop()

    async def nothing_left(self) -> bool:
        return not [path for path in (self.folder / "i").iterdir() if path.is_dir()]

    def _make(self, host: str, kind: str) -> Agent:
        settings, line, there = AgentSettings(host=host), self.lines[host], self.lab.hosts[host]
        if kind == "hypervisor":
            from pileus.drivers.libvirt.driver import LibvirtHypervisor
            from pileus.drivers.netlink.linux import LinuxLinks

            self.hypervisor = LibvirtHypervisor(self.daemon.uri)
            image_tools = QemuImg()
            return HypervisorAgent(
                settings,
                NodeSettings(instances=self.folder / "i", offloads=False, shutdown_timeout_s=5),
                line,  # type: ignore[arg-type]
                SystemClock(),
                self.hypervisor,
                image_tools,
                ImageCache(self.folder / "images", image_tools),
                LinuxLinks(there.namespace),
                there.client(),
            )
        if kind == "gateways":
            self.gateways = GatewayAgent(settings, line, SystemClock(), self.hypervisor, watch_interval_s=2.0)
            return self.gateways
        if kind == "metering":
            return MeteringAgent(settings, line, SystemClock(), self.gateways.counted, interval_s=2.0)
        return super()._make(host, kind)

    # -- steps

    async def until(self, condition: Callable[[], Any], within_s: float = 20.0) -> None:
        try:
            async with asyncio.timeout(within_s * PATIENCE):
                while not await condition():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            known = await self.api.store.read(machines_known)
            servers = [(one["status"], one.get("fault")) for one in await self.servers()]
            raise AssertionError(
                f"it did not come to that: {known}, {servers}, {self.agents[HOST, 'gateways'].report()}, "
                f"consoles: {self.consoles()}"
            ) from None

    def consoles(self) -> dict[str, list[str]]:
        found = sorted((self.folder / "i").glob("*/console.log"))
        return {
            path.parent.name: [line.text for line in said(path.read_text(errors="replace"))] for path in found
        }

    async def has_hypervisor(self) -> bool:
        admin = one.Client(self.api.app, "admin")
        answer = await admin.request("GET", "/compute/v2.1/os-hypervisors")
        return bool(answer.json["hypervisors"])

    async def servers(self) -> list[dict[str, Any]]:
        admin = one.Client(self.api.app, "admin")
        answer = await admin.request("GET", "/compute/v2.1/servers/detail?all_tenants=1")
        found: list[dict[str, Any]] = answer.json["servers"]
        return found

    async def status(self, router: str) -> str:
        answer = await self.api("GET", f"/v2.0/routers/{router}")
        return str(answer.json["router"]["status"])

    async def works(self, router: str) -> bool:
        (server,) = await self.servers() or [{"status": "none"}]
        return await self.status(router) == "ACTIVE" and server["status"] == "ACTIVE"

    async def flavored(self) -> str:
        body = {"service_profile": {"driver": DRIVER}}
        profile = (await self.admin("POST", "/v2.0/service_profiles", body)).json["service_profile"]
        flavor = await self.admin.make("flavor", name="gateway-vm", service_type="L3_ROUTER_NAT")
        path = f"/v2.0/flavors/{flavor['id']}/service_profiles"
        assert (await self.admin("POST", path, {"service_profile": {"id": profile["id"]}})).status == 201
        return str(flavor["id"])

    async def plugged(self, network: str, **values: Any) -> tuple[Guest, dict[str, Any]]:
        """A guest without an address, and its port."""
        port = await self.api.make("port", network_id=network, **values)
        await self.admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": HOST}})
        (guest,) = await self.lab.plug_all([Plug(HOST, port["id"], port["mac_address"])])

        async def active() -> bool:
            answer = await self.api("GET", f"/v2.0/ports/{port['id']}")
            return bool(answer.json["port"]["status"] == "ACTIVE")

        await self.until(active)
        return guest, port

    async def leased(self, guest: Guest, port: dict[str, Any]) -> dict[str, Any]:
        """Ask for an address until somebody gives one, and take it."""
        inside = ("ip", "netns", "exec", guest.namespace)
        told: dict[str, Any] | None = None
        async with asyncio.timeout(40 * PATIENCE):
            while told is None:
                words = (*inside, sys.executable, str(DHCP_CLIENT), "eth0", port["mac_address"])
                told = json.loads(await run(words))
        here = ("ip", "-n", guest.namespace)
        await run((*here, "addr", "replace", f"{told['address']}/24", "dev", "eth0"))
        await run((*here, "route", "replace", "default", "via", told["router"]))
        return told

    async def lease_told(self, port: dict[str, Any], address: str) -> None:
        """Until the port's timeline says that it has a lease of the address."""

        async def told() -> bool:
            answer = await self.admin("GET", f"/v2.0/ports/{port['id']}/timeline")
            return any(
                (one["step"], one.get("host")) == ("port lease started", HOST) and address in one["detail"]
                for one in answer.json["timeline"]
            )

        await self.until(told)

    async def has_address(self, guest: Guest, address: str) -> None:
        """Until the guest has given itself the address that its port has."""

        async def there() -> bool:
            link = (await self.links.links(guest.namespace))["eth0"]
            return address in {one.partition("/")[0] for one in link.addresses}

        await self.until(there)

    async def asked_6(self, guest: Guest, folder: Path, *arguments: str) -> dict[str, str]:
        """Ask by DHCPv6 with ISC's client until somebody answers; what it was told."""
        await until_link_local(guest.namespace)
        script, told = folder / "script", folder / f"told-{guest.namespace}"
        script.write_text(f'#!/bin/sh\nenv | grep "^new_" >>{told}\nexit 0\n')
        script.chmod(0o755)
        files = [folder / f"{name}-{guest.namespace}" for name in ("leases", "pid")]
        words = (
            DHCLIENT,
            "-6",
            *arguments,
            "-1",
            "-sf",
            str(script),
            "-lf",
            str(files[0]),
            "-pf",
            str(files[1]),
        )
        await run(("ip", "netns", "exec", guest.namespace, *words, "eth0"))
        await run(
            ("ip", "netns", "exec", guest.namespace, DHCLIENT, "-6", "-x", "-pf", str(files[1]), "eth0")
        )
        return dict(line.partition("=")[::2] for line in told.read_text().splitlines())

    async def kill_machine(self, server_id: str) -> None:
        """kill -9 of its QEMU."""
        name = f"guest=pileus-{server_id}"
        (number,) = [pid for pid, words in processes() if any(word.startswith(name) for word in words)]
        os.kill(number, signal.SIGKILL)


def why_not() -> str | None:
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)}"
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed (the extra pileus[libvirt])"
    return None
