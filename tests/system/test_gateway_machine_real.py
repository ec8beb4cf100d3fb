"""A router that is a virtual machine, for real: its guests ask it for addresses and reach the outside."""

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

import pytest
from msgspec.structs import replace
from tests.api import cloud as one
from tests.api.compute.cloud import FakeImages, an_image
from tests.api.network.cloud import Cloud
from tests.patience import PATIENCE
from tests.system.cloud_world import BEYOND, CloudWorld, PassingTime, ServiceLine, story_in_a_cloud
from tests.system.ipv6_links import made_of, until_link_local
from tests.system.node_world import REAL

from pileus.app.commands.image import default_cache
from pileus.app.lab.lab import Guest, Plug
from pileus.bus.client import ServerUnreachable
from pileus.core.clock import ManualClock, SystemClock
from pileus.core.streams import ByteStream
from pileus.drivers.guestimage import CannotBuildImage, build_image
from pileus.drivers.guestimage.console import said
from pileus.drivers.libvirt.daemon import LibvirtDaemon, missing_programs
from pileus.drivers.libvirt.hypervisor import HypervisorFailed
from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.outliving import processes
from pileus.drivers.process import ProgramFailed, run
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

pytestmark = [*REAL, pytest.mark.alone, pytest.mark.nightly]

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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("image") / "gateway.qcow2"
    try:
        build_image(path, default_cache(), lambda text: None, kind="gateway")
    except CannotBuildImage as error:
        pytest.skip(str(error))
    return path


def test_a_gateway_machine_routes_and_gives_addresses(image: Path) -> None:
    GatewayWorld.image = image

    async def story(world: Any) -> None:
        api = world.api
        flavor = await world.flavored()
        network = await api.make("network", name="inside")
        pool = {"start": "10.7.0.100", "end": "10.7.0.110"}
        subnet = await api.make(
            "subnet", network_id=network["id"], cidr="10.7.0.0/24", ip_version=4, allocation_pools=[pool]
        )
        info = {"network_id": world.public}
        router = (await api.make("router", flavor_id=flavor, external_gateway_info=info))["id"]
        assert await world.status(router) in ("BUILD", "ACTIVE")
        path = f"/v2.0/routers/{router}/add_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet["id"]})).status == 200
        guest, port = await world.plugged(network["id"])
        await world.until(lambda: world.works(router), WORKS_WITHIN_S)

        # From the machine the guest has its address, of the allocation range, and by it the outside.
        told = await world.leased(guest, port)
        address = port["fixed_ips"][0]["ip_address"]
        assert told["address"] == address and 100 <= int(address.rpartition(".")[2]) <= 110
        assert told["server"] == told["router"] == "10.7.0.1"
        await world.pings_soon(guest.namespace, BEYOND)

        # The server hears of the lease, and of what passes.
        await world.lease_told(port, address)
        labels, rules = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
        body = {"metering_label": {"name": "out", "shared": True}}
        label = (await world.admin("POST", labels, body)).json["metering_label"]["id"]
        rule = {"metering_label_id": label, "direction": "egress", "remote_ip_prefix": "0.0.0.0/0"}
        assert (await world.admin("POST", rules, {"metering_label_rule": rule})).status == 201

        async def counted() -> bool:
            await world.pings(guest.namespace, BEYOND, 3)
            answer = await world.admin("GET", f"{labels}/{label}/counters")
            found = [one for one in answer.json["counters"] if one["router_id"] == router]
            return bool(found) and found[0]["packets"] >= 3

        await world.until(counted)

        # A floating IP and a change of routes arrive without a restart of the machine.
        floating = await world.floating(port["id"])
        await world.pings_soon(world.outside, floating)
        (first,) = await world.servers()
        consoles = world.consoles()[first["id"]]
        assert sum(line.startswith("boot ") for line in consoles) == 1

        # It is killed: another takes its place.
        await world.kill_machine(first["id"])

        async def replaced() -> bool:
            servers = await world.servers()
            return bool(servers and servers[0]["id"] != first["id"]) and await world.works(router)

        await world.until(replaced, WORKS_WITHIN_S)
        assert (await world.leased(guest, port))["address"] == address
        await world.pings_soon(guest.namespace, BEYOND)
        await world.pings_soon(world.outside, floating)

        # Nothing of it is left.
        for one_of_them in (await api("GET", "/v2.0/floatingips")).json["floatingips"]:
            assert (await api("DELETE", f"/v2.0/floatingips/{one_of_them['id']}")).status == 204
        path = f"/v2.0/routers/{router}/remove_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet["id"]})).status == 200
        assert (await api("DELETE", f"/v2.0/routers/{router}")).status == 204

        async def gone() -> bool:
            return not await world.servers() and not await world.hypervisor.list_domains()

        await world.until(gone, 30)
        await world.until(world.nothing_left, 30)

    story_in_a_cloud(story, hosts=1, routing=(), kind=GatewayWorld)


@pytest.mark.skipif(not Path(DHCLIENT).exists(), reason="not installed: isc-dhcp-client")
def test_a_gateway_machine_carries_ipv6(image: Path, tmp_path: Path) -> None:
    GatewayWorld.image = image

    async def story(world: Any) -> None:
        api = world.api
        six = {"network_id": world.public, "cidr": "2001:db8:f::/64", "ip_version": 6}
        await world.admin.make("subnet", **six, gateway_ip=OUTSIDE_6, enable_dhcp=False)
        await world.links.ensure_addresses(
            [
                Address(world.outside, "eth0", f"{OUTSIDE_6}/64"),
                Address(world.outside, "lo", f"{BEYOND_6}/128"),
            ]
        )
        info = {"network_id": world.public}
        flavor = await world.flavored()
        router = await api.make("router", flavor_id=flavor, external_gateway_info=info)
        path = f"/v2.0/routers/{router['id']}"

        async def network(number: int, mode: str | None) -> str:
            made = (await api.make("network", name=f"inside-{number}"))["id"]
            modes = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}
            values = {
                "cidr": f"2001:db8:{number}::/64",
                "ip_version": 6,
                "dns_nameservers": ["2001:db8:f::53"],
            }
            subnet = await api.make("subnet", network_id=made, **values, **modes)
            answer = await api("PUT", f"{path}/add_router_interface", {"subnet_id": subnet["id"]})
            assert answer.status == 200, answer
            return str(made)

        own, options, given = (
            await network(1, "slaac"),
            await network(2, "dhcpv6-stateless"),
            await network(3, "dhcpv6-stateful"),
        )
        four = await api.make("subnet", network_id=own, cidr="10.7.0.0/24", ip_version=4)
        assert (await api("PUT", f"{path}/add_router_interface", {"subnet_id": four["id"]})).status == 200
        outer = (await api("GET", path)).json["router"]["external_gateway_info"]["external_fixed_ips"]
        gateway = next(one["ip_address"] for one in outer if ":" in one["ip_address"])
        await world.links.ensure_routes(
            [
                Route(world.outside, cidr, via=gateway, device="eth0")
                for cidr in (*(f"2001:db8:{number}::/64" for number in (1, 2, 3)), BEHIND_6)
            ]
        )
        first, first_port = await world.plugged(own)
        second, second_port = await world.plugged(options)
        third, third_port = await world.plugged(given, allowed_address_pairs=[{"ip_address": BEHIND_6}])
        await world.until(lambda: world.works(router["id"]), WORKS_WITHIN_S)

        # Guests make their addresses, or are given them, and reach the outside, which reaches them.
        by_itself = made_of(first_port["mac_address"], "2001:db8:1::/64")
        await world.has_address(first, by_itself)
        await world.pings_soon(first.namespace, BEYOND_6)
        await world.pings_soon(world.outside, by_itself)
        told = await world.leased(first, first_port)
        assert told["address"].startswith("10.7.0.")
        await world.pings_soon(first.namespace, BEYOND)

        by_option = made_of(second_port["mac_address"], "2001:db8:2::/64")
        await world.has_address(second, by_option)
        answered = await world.asked_6(second, tmp_path, "-S")
        assert answered["new_dhcp6_name_servers"] == "2001:db8:f::53" and "new_ip6_address" not in answered
        await world.pings_soon(second.namespace, by_itself)

        leased = third_port["fixed_ips"][0]["ip_address"]
        answered = await world.asked_6(third, tmp_path)
        assert answered["new_ip6_address"] == leased
        assert answered["new_dhcp6_name_servers"] == "2001:db8:f::53"
        await world.links.ensure_addresses([Address(third.namespace, "eth0", f"{leased}/64")])
        link = (await world.links.links(third.namespace))["eth0"]
        assert not [
            one
            for one in link.addresses
            if one.startswith(made_of(third_port["mac_address"], "2001:db8:3::/64"))
        ]
        await world.pings_soon(third.namespace, BEYOND_6)
        await world.lease_told(third_port, leased)

        # What is too long for the network is told of, and then comes in pieces.
        await world.pings(world.outside, by_itself)
        long = ("ip", "netns", "exec", world.outside, "ping", "-c", "3", "-i", "0.2", "-s", "1460", by_itself)
        await run(("sh", "-c", '"$@" || true', "sh", *long))
        way = await run(("ip", "-n", world.outside, "-6", "route", "get", by_itself))
        assert b"mtu 1450" in way, way
        await run(long)

        # A forged source goes nowhere, an extra route leads behind a guest.
        forged = "2001:db8:1::bad"
        await world.links.ensure_addresses([Address(first.namespace, "lo", f"{forged}/128")])
        asked = ("ip", "netns", "exec", first.namespace, "ping", "-c", "2", "-W", "1", "-I", forged, BEYOND_6)
        with pytest.raises(ProgramFailed):
            await run(asked)
        await world.links.ensure_addresses([Address(third.namespace, "lo", f"{FAR_6}/128")])
        assert not await world.pings(world.outside, FAR_6, 1)
        body = {"router": {"routes": [{"destination": BEHIND_6, "nexthop": leased}]}}
        assert (await api("PUT", path, body)).status == 200
        await world.pings_soon(world.outside, FAR_6)
        (server,) = await world.servers()
        assert sum(line.startswith("boot ") for line in world.consoles()[server["id"]]) == 1

    story_in_a_cloud(story, hosts=1, routing=(), kind=GatewayWorld)
