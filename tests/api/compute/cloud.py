"""The compute API in the test cloud, the network beside it, and scripted hosts.

A scripted host does through the wire what an agent would: it asks what it should have, says that it has it,
and says that its ports carry packets. It can be told to fail, to be slow, or to say nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select
from tests.api import cloud as one
from tests.api.cloud import P1, P2, PEOPLE, Node
from tests.api.compute import replies
from tests.asgi import Answer
from tests.sockets import MemoryStream

from pileus.core.clock import ManualClock
from pileus.core.context import system_context
from pileus.core.errors import Unavailable
from pileus.core.streams import ByteStream
from pileus.services.compute.conductor import Conductor
from pileus.services.compute.flavors.work import flavors_seed
from pileus.services.compute.servers.attached import holders_of, projects_of_servers
from pileus.services.compute.servers.attached_volumes import volumes_held
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.service import Compute, ComputeConfig, Placement
from pileus.services.image.images.tables import images
from pileus.services.image.service import FileStore, ImageConfig, Images
from pileus.services.network.service import FOLLOWERS, Network, NetworkConfig
from pileus.services.volume.service import VolumeConfig, Volumes
from pileus.store import Store
from pileus.store.schema import metadata
from pileus.web.face import ServiceFace
from pileus.wire.agents import AgentReport
from pileus.wire.hypervisor import (
    HypervisorReport,
    HypervisorStateRequest,
    Inventory,
    OperationReport,
    ServerReport,
    Step,
)
from pileus.wire.metadata import MetadataPost, MetadataRequest
from pileus.wire.questions import Answer as WireAnswer
from pileus.wire.questions import Question
from pileus.wire.switch import DeviceStatus, SwitchStateRequest

__all__ = ["IMAGE", "LATEST", "OTHER_IMAGE", "P1", "P2", "PEOPLE", "Cloud", "Host", "Node", "cloud", "tell"]

IMAGE = "10000000-0000-4000-8000-000000000001"
OTHER_IMAGE = "10000000-0000-4000-8000-000000000002"
POWER = {"running": 1, "stopped": 4, "paused": 3, "suspended": 7}
LATEST = "2.96"


def _to_be_filled(arguments: Mapping[str, Any]) -> list[str]:
    """The images that an operation brings the bytes of."""
    paths = [arguments, *arguments.get("disks", ())]
    return [one["upload"].split("/")[-1].partition("?")[0] for one in paths if "upload" in one]


def certificate_of(host: str) -> str:
    """What stands for the certificate of a scripted host's agent."""
    return f"-----BEGIN CERTIFICATE-----\n{host}\n-----END CERTIFICATE-----\n"


class Host:
    """A scripted host. ``have`` maps its servers to (generation, what is applied); ``refuses``: why no
    operation goes well, and no volume comes or goes. ``volumes``: those of its servers."""

    def __init__(self, cloud: Cloud, name: str, memory_mib: int = 16384, zone: str = "") -> None:
        self.cloud, self.name = cloud, name
        self.have: dict[str, tuple[int, str]] = {}
        self.memory_mib, self.zone = memory_mib, zone
        self.tunnel_types = ["vxlan"]
        self.certificate = certificate_of(name)
        self.fails: str | None = None
        self.refuses: str | None = None
        self.volumes: dict[str, set[str]] = {}
        self.done: list[str] = []
        self.bandwidths: dict[str, dict[str, int]] = {}

    async def heartbeat(self) -> None:
        """Switch agent and hypervisor agent say that they are there."""
        await self.switch_agent()
        await self.hypervisor_agent()

    async def switch_agent(self) -> None:
        address = f"192.0.2.{ord(self.name[-1])}"
        await self.cloud.wire["agent_report"](
            AgentReport(
                host=self.name,
                binary="pileus-switch-agent",
                agent_type="Open vSwitch agent",
                topic="N/A",
                started_at="2026-01-01 00:00:00",
                configurations={
                    "tunnel_types": self.tunnel_types,
                    "tunneling_ip": address,
                    "resource_provider_bandwidths": self.bandwidths,
                },
                start=True,
            ),
            Node(self.name),
        )

    async def hypervisor_agent(self) -> None:
        stock = Inventory(
            hypervisor_type="QEMU",
            hypervisor_version=7002000,
            hypervisor_hostname=f"{self.name}.example",
            vcpus=8,
            memory_mib=self.memory_mib,
            disk_gib=200,
            memory_used_mib=700,
            disk_free_gib=150,
            cpu_info={"arch": "x86_64"},
            availability_zone=self.zone,
            booted_at="2025-12-30T22:00:00+00:00",
            certificate=self.certificate,
        )
        await self.tell(inventory=stock)

    async def service_agent(self, kind: str) -> None:
        """The host's ``DHCP`` or ``L3`` agent says that it is there, and is given what nobody serves."""
        report = AgentReport(
            host=self.name,
            binary=f"pileus-{kind.lower()}-agent",
            agent_type=f"{kind} agent",
            topic="N/A",
            started_at="2026-01-01 00:00:00",
            start=True,
        )
        await self.cloud.wire["agent_report"](report, Node(self.name))

    async def tell(self, **said: Any) -> Any:
        return await self.cloud.wire["hypervisor_report"](
            HypervisorReport(host=self.name, **said), Node(self.name)
        )

    async def state(self) -> Any:
        return await self.cloud.wire["hypervisor_state"](HypervisorStateRequest(self.name), Node(self.name))

    async def pass_(self, *, ports: bool = True) -> None:
        """One look, as an agent's: make it so, and say so."""
        state = await self.state()
        reports, operations = [], []
        for server in state.servers:
            if self.fails is not None:
                reports.append(ServerReport(server.server_id, server.generation, 0, False, self.fails))
                continue
            steps = []
            if self.have.get(server.server_id) != (server.generation, server.wanted):
                now = self.cloud.clock.now().isoformat()
                steps.append(Step("domain.start", now, now, f"{server.vcpus} cpus"))
            self.have[server.server_id] = (server.generation, server.wanted)
            for operation in server.operations:
                if operation.operation_id not in self.done:
                    self.done.append(operation.operation_id)
                    for image_id in _to_be_filled(operation.arguments) if self.refuses is None else ():
                        await self.cloud.fill_image(image_id)
                operations.append(OperationReport(operation.operation_id, self.refuses))
            report = ServerReport(
                *(server.server_id, server.generation, POWER[server.wanted], True, None, tuple(steps)),
                **self._volumes(server),
            )
            reports.append(report)
        for coming in state.incoming:
            door = {"address": "192.0.2.9", "port": 49152, "folder": f"/of/{self.name}"}
            operations.append(OperationReport(coming.operation_id, self.fails, door))
        wanted = {server.server_id for server in state.servers}
        gone = tuple({*state.leaving, *(set(self.have) - wanted)})
        for key in gone:
            self.have.pop(key, None)
        await self.tell(servers=tuple(reports), operations=tuple(operations), gone=gone)
        if ports:
            await self.plug()

    def _volumes(self, server: Any) -> dict[str, Any]:
        """What is said of a server's volumes, after they were brought and taken."""
        wanted = {one.volume_id for one in server.volumes}
        has = self.volumes.setdefault(server.server_id, set())
        refused = dict.fromkeys(wanted ^ has, self.refuses) if self.refuses is not None else {}
        if self.refuses is None:
            has = self.volumes[server.server_id] = wanted
        return {"volumes": tuple(sorted(has)), "refused": refused}

    async def plug(self) -> None:
        """The switch agent's part: all ports of the host carry packets."""
        node = Node(self.name)
        state: Any = await self.cloud.wire["switch_state"](SwitchStateRequest(host=self.name), node)
        up = tuple(one.port_id for one in state.devices if one.admin_state_up)
        down = tuple(one.port_id for one in state.devices if not one.admin_state_up)
        await self.cloud.wire["device_status"](DeviceStatus(host=self.name, up=up, down=down), node)

    async def metadata(self, path: str, source_ip: str, network_id: str) -> Any:
        request = MetadataRequest(self.name, path, source_ip, network_id=network_id)
        return await self.cloud.wire["metadata"](request, Node(self.name))

    async def guest_posts(self, path: str, source_ip: str, network_id: str, body: bytes) -> Any:
        request = MetadataPost(self.name, path, source_ip, body, network_id=network_id)
        return await self.cloud.wire["metadata_post"](request, Node(self.name))


class Cloud(one.Cloud):
    """Speaks to the compute API at one of its versions."""

    version = LATEST
    streams: FakeStreams

    @property
    def compute(self) -> Compute:
        return self.faces["compute"]  # type: ignore[no-any-return]

    @property
    def network(self) -> NetworkConfig:
        return self.faces["network"].config  # type: ignore[no-any-return]

    async def begin(self) -> None:
        """Make the flavors and two images. The conductor works when a story says so."""
        now = self.clock.now()
        rows = [an_image(IMAGE, "small", now), an_image(OTHER_IMAGE, "other", now)]
        await self.store.write(flavors_seed, system_context(now))
        await self.store.write(lambda tx: tx.insert(images, rows))

    def as_(self, token: str, version: str | None = None) -> Self:
        other = super().as_(token)
        other.version = version or self.version
        return other

    def at(self, version: str) -> Self:
        return self.as_(self.token or "", version)

    def usual_headers(self, method: str) -> dict[str, str]:
        return {**super().usual_headers(method), "openstack-api-version": f"compute {self.version}"}

    async def __call__(  # type: ignore[override] # a test speaks to one service, and has its words
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        root: bool = False,
    ) -> Answer:
        """``path`` is below ``/compute/v2.1``, or below ``/compute`` where said so, or the network's."""
        below = (
            ""
            if path.startswith(("/networking", "/image/", "/volume/"))
            else "/compute"
            if root
            else "/compute/v2.1"
        )
        return await self.request(method, below + path, body, headers)

    async def a_network(self, cidr: str = "10.0.0.0/24", name: str = "net", **values: Any) -> str:
        """A network with a subnet, of the person who speaks."""
        answer = await self("POST", "/networking/v2.0/networks", {"network": {"name": name}})
        assert answer.status == 201, answer
        network_id: str = answer.json["network"]["id"]
        subnet = {"network_id": network_id, "cidr": cidr, "ip_version": 4, "dns_nameservers": ["192.0.2.53"]}
        subnet |= values
        answer = await self("POST", "/networking/v2.0/subnets", {"subnet": subnet})
        assert answer.status == 201, answer
        return network_id

    async def host(self, name: str = "h1", **facts: Any) -> Host:
        host = Host(self, name, **facts)
        await host.heartbeat()
        return host

    async def ask_for(self, name: str = "vm", **values: Any) -> Answer:
        """POST a server; networks are ``auto`` unless said."""
        server = {"name": name, "flavorRef": "1", "imageRef": IMAGE, "networks": "auto", **values}
        body: dict[str, Any] = {"server": server}
        if "hints" in server:
            body["os:scheduler_hints"] = server.pop("hints")
        return await self("POST", "/servers", body)

    def conductor(self, *, owner: str = "test", **values: Any) -> Conductor:
        return Conductor(self.store, self.parts, self.clock, owner=owner, host="c1", **values)

    @property
    def files(self) -> Any:
        """The bytes of images, a ``FakeImages``."""
        return self.parts.images

    @property
    def parts(self) -> Parts:
        """The settings and siblings that steps of chains are given."""
        return self.compute.parts

    async def server(self, server_id: str) -> dict[str, Any]:
        answer = await self("GET", f"/servers/{server_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json["server"]
        return found

    async def boot(self, host: Host, name: str = "vm", **values: Any) -> dict[str, Any]:
        """A server that is ACTIVE."""
        answer = await self.ask_for(name, **values)
        assert answer.status == 202, answer
        server_id = answer.json["server"]["id"]
        conductor = self.conductor()
        await conductor.work()
        await host.pass_()
        await conductor.work()
        server = await self.server(server_id)
        assert server["status"] == "ACTIVE", server
        return server

    async def act(self, server_id: str, verb: str, argument: Any = None) -> Answer:
        return await self("POST", f"/servers/{server_id}/action", {verb: argument})

    async def ports_of(self, server_id: str) -> list[dict[str, Any]]:
        answer = await self.as_("admin")("GET", f"/networking/v2.0/ports?device_id={server_id}")
        found: list[dict[str, Any]] = answer.json["ports"]
        return found

    async def fill_image(self, image_id: str) -> None:
        """What a node's upload makes of an image."""
        await self.store.write(
            lambda tx: tx.execute(
                images.update()
                .where(images.c.id == image_id, images.c.status == "queued")
                .values(status="active", object=f"{image_id}.data")
            )
        )

    async def image(self, image_id: str) -> Any:
        """The row of an image, None where there is none."""
        return await self.store.read(lambda tx: tx.first(images.select().where(images.c.id == image_id)))

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(
            await self.store.read(
                lambda tx: tx.scalar(select(func.count()).select_from(metadata.tables[table]))
            )
        )


def an_image(key: str, name: str, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": key,
        "owner": P2,
        "name": name,
        "status": "active",
        "visibility": "public",
        "protected": False,
        "os_hidden": False,
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "size": 1 << 20,
        "virtual_size": 1 << 21,
        "checksum": "0" * 32,
        "os_hash_algo": "sha512",
        "os_hash_value": "0" * 128,
        "created_at": now,
        "updated_at": now,
    }


class FakeImages:
    """The bytes of images, none of which is anywhere; ``deleted``: objects that were to go."""

    config = ImageConfig()

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def download_path(self, image_id: str) -> str:
        return f"/image/{image_id}?ticket=t"

    def upload_path(self, image_id: str) -> str:
        return f"/image/{image_id}?ticket=u"

    async def delete_data(self, name: str) -> None:
        self.deleted.append(name)


class FakeStreams:
    """Hosts whose consoles are in memory. ``refuses``: why they open none; ``instead``: what opens them."""

    def __init__(self) -> None:
        self.opened: list[tuple[tuple[str, str, str, dict[str, Any]], MemoryStream]] = []
        self.refuses = ""
        self.instead: Any = None

    async def open(self, host: str, scope: str, kind: str, **arguments: Any) -> ByteStream:
        if self.instead is not None:
            found: ByteStream = await self.instead(host, scope, kind, **arguments)
            return found
        if self.refuses:
            raise Unavailable(self.refuses)
        self.opened.append(((host, scope, kind, arguments), MemoryStream()))
        return self.opened[-1][1]


@contextlib.asynccontextmanager
async def cloud(
    url: str,
    config: ComputeConfig | None = None,
    overrides: Mapping[str, str] | None = None,
    *,
    images_in: Path | None = None,
    with_volumes: bool = False,
) -> AsyncIterator[Cloud]:
    """Compute and network over the database at ``url``, spoken to by alice, a member of P1; ``overrides``
    are an operator's rules of compute. ``with_volumes``: the volume service too. ``images_in``: the
    image service too, with its store in that folder."""
    wrong: list[str] = []
    streams = FakeStreams()

    def faces(store: Store, clock: ManualClock) -> Sequence[ServiceFace]:
        settings = NetworkConfig(
            followers=FOLLOWERS, projects_of_servers=projects_of_servers, holders_of=holders_of
        )
        network = Network(settings, clock)
        volume_config = VolumeConfig(holders=volumes_held)
        compute = Compute(
            config or ComputeConfig(),
            settings,
            clock,
            images=FakeImages(),
            volumes=volume_config,
            ask=_answer,
            open_stream=streams.open,
            authority_file=Path(url.partition("///")[2]).parent / "certificates.pem"
            if url.startswith("sqlite")
            else Path("/nonexistent"),
        )
        compute.service = replies.held(compute.service, wrong)
        others: list[ServiceFace] = [Placement(compute.config)]
        if with_volumes:
            others.append(Volumes(volume_config, clock, images=FakeImages()))
        if images_in is not None:
            others.append(Images(FileStore(images_in), b"k" * 32, ImageConfig(), clock))
        return [compute, network, *others]

    async with one.served(Cloud, url, faces, rules={"compute": overrides or {}}) as made:
        made.streams = streams
        yield made
        assert not wrong, "\n".join(wrong)


async def _answer(scope: str, question: Question, timeout_s: float) -> WireAnswer:
    """A host's answer to a question."""
    host = scope.partition(":")[2]
    if question.kind == "console_log":
        return WireAnswer(host, question.question_id, {"output": f"log {question.arguments['length']}"})
    return WireAnswer(host, question.question_id, error="it does not know")


Story = Callable[[Cloud], Awaitable[None]]


def tell(
    story: Story,
    folder: Path,
    kind: str = "sqlite",
    config: ComputeConfig | None = None,
    overrides: Mapping[str, str] | None = None,
) -> None:
    """Run a story on a fresh database of one kind."""
    one.tell_on(kind, folder, lambda url: cloud(url, config, overrides), story)
