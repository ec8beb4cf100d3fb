"""A node's token against everything of another node: no call, scope or report reaches it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from tests import databases
from tests.api.compute.cloud import Cloud, Host, Node
from tests.api.compute.gateways import bring_up, flavored
from tests.api.compute.volume_cases import Volumes, tell

from pileus.core.errors import Forbidden
from pileus.services.compute.agents.serving import look
from pileus.services.network.agents.report import BadReport
from pileus.services.volume.tables.volumes import volume_attachments
from pileus.store.operations import operations
from pileus.store.schema import metadata
from pileus.wire import scopes
from pileus.wire.agents import AgentReport
from pileus.wire.calls import CALLS
from pileus.wire.dhcp import DhcpStateRequest, DhcpStatus, LeaseChange, LeaseReport
from pileus.wire.gateway import GatewayStateRequest
from pileus.wire.hypervisor import HypervisorReport, HypervisorStateRequest, OperationReport, ServerReport
from pileus.wire.l3 import L3StateRequest, L3Status
from pileus.wire.metadata import MetadataPost, MetadataRequest
from pileus.wire.metering import MeteringCount, MeteringReport
from pileus.wire.physical import LearnedAddress, PhysicalStateRequest, PhysicalStatus, PhysicalSwitch
from pileus.wire.switch import DeviceFailure, DeviceStatus, SwitchStateRequest
from pileus.wire.volume import (
    ExportReport,
    StoredVolume,
    VolumeConnection,
    VolumeProgress,
    VolumeReport,
    VolumeStateRequest,
)


class Victim(msgspec.Struct):
    """What is on the host h1, and served by its agents."""

    host: Host
    server: str
    port: str
    address: str
    network: str
    group: str
    address_group: str
    router: str
    floating_ip: str
    operation: str
    tap_service: str
    tap_flow: str
    machine: str
    """A router that is one."""
    volume: str
    """In a pool of h1; its export is asked for, and a snapshot of another."""
    attachment: str
    snapshotting: str


async def victim(api: Cloud) -> Victim:
    """A server with everything around it on h1; h2 is there, and has nothing."""
    host = await api.host("h1")
    for kind in ("DHCP", "L3", "Gateway VM"):
        await host.service_agent(kind)
    network = await api.a_network()
    server = (await api.boot(host))["id"]
    admin = api.as_("admin")
    net = "/networking/v2.0"
    (port,) = await api.ports_of(server)
    public = (
        await admin("POST", f"{net}/networks", {"network": {"name": "public", "router:external": True}})
    ).json["network"]["id"]
    body = {"network_id": public, "cidr": "203.0.113.0/24", "ip_version": 4}
    await admin("POST", f"{net}/subnets", {"subnet": body})
    router = (
        await api("POST", f"{net}/routers", {"router": {"external_gateway_info": {"network_id": public}}})
    ).json["router"]["id"]
    subnet = port["fixed_ips"][0]["subnet_id"]
    await api("PUT", f"{net}/routers/{router}/add_router_interface", {"subnet_id": subnet})
    floating = await api(
        "POST", f"{net}/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port["id"]}}
    )
    assert floating.status == 201, floating
    addresses = await api("POST", f"{net}/address-groups", {"address_group": {"addresses": ["10.0.0.0/8"]}})
    address_group = addresses.json["address_group"]["id"]
    rule = {
        "security_group_id": port["security_groups"][0],
        "direction": "ingress",
        "remote_address_group_id": address_group,
    }
    assert (await api("POST", f"{net}/security-group-rules", {"security_group_rule": rule})).status == 201
    service = await api("POST", f"{net}/taas/tap_services", {"tap_service": {"port_id": port["id"]}})
    tap_service = service.json["tap_service"]["id"]
    source = await api("POST", f"{net}/ports", {"port": {"network_id": network}})
    flow = {"tap_service_id": tap_service, "source_port": source.json["port"]["id"], "direction": "IN"}
    tapped = await api("POST", f"{net}/taas/tap_flows", {"tap_flow": flow})
    values = {"flavor_id": await flavored(api), "external_gateway_info": {"network_id": public}}
    machine = (await api("POST", f"{net}/routers", {"router": values})).json["router"]["id"]
    await bring_up(api, host)
    await host.service_agent("L2 Gateway")
    tor = PhysicalSwitch(name="tor", kind="vtep", ports=("p1",), tunnel_ip="192.0.2.9")
    await api.wire["physical_state"](PhysicalStateRequest("h1", (tor,)), Node("h1"))
    devices = [{"device_name": "tor", "interfaces": [{"name": "p1"}]}]
    made = await admin("POST", f"{net}/l2-gateways", {"l2_gateway": {"devices": devices}})
    connection = {"l2_gateway_id": made.json["l2_gateway"]["id"], "network_id": network, "segmentation_id": 7}
    bound = await admin("POST", f"{net}/l2-gateway-connections", {"l2_gateway_connection": connection})
    assert bound.status == 201, bound
    attached = await _volumes(api, server)
    assert (await api.act(server, "reboot", {"type": "HARD"})).status == 202
    rows = await api.store.read(lambda tx: tx.rows(select(operations.c.id, operations.c.kind)))
    ((attachment,),) = await api.store.read(lambda tx: tx.rows(select(volume_attachments.c.id)))
    other = await api.host("h2")
    for kind in ("DHCP", "L3", "Gateway VM"):
        await other.service_agent(kind)
    return Victim(
        host=host,
        server=server,
        port=port["id"],
        address=port["fixed_ips"][0]["ip_address"],
        network=network,
        group=port["security_groups"][0],
        address_group=address_group,
        router=router,
        floating_ip=floating.json["floatingip"]["id"],
        machine=machine,
        operation=next(row.id for row in rows if row.kind == "server.reboot"),
        tap_service=tap_service,
        tap_flow=tapped.json["tap_flow"]["id"],
        volume=attached,
        attachment=attachment,
        snapshotting=next(row.id for row in rows if row.kind == "volume.snapshot"),
    )


async def _volumes(api: Cloud, server: str) -> str:
    """Two volumes on h1: one that is being attached (its id), and one of which a snapshot is being made."""
    volumes = Volumes(api)
    await volumes.set_up()
    attached, other = await volumes.make(), await volumes.make()
    body = {"volumeAttachment": {"volumeId": attached}}
    assert (await api("POST", f"/servers/{server}/os-volume_attachments", body)).status == 200
    asked = await api("POST", "/volume/v3/snapshots", {"snapshot": {"volume_id": other}})
    assert asked.status == 202, asked
    return attached


async def everything(api: Cloud) -> Any:
    """All rows of the database but those about the agents themselves, which report as they live, and what
    the publication of events writes a moment later."""
    own = {"agents", "compute_nodes", "compute_services", "scope_positions"}
    tables = [
        table
        for table in metadata.sorted_tables
        if table.name not in own and not table.name.startswith("test_")  # other tests declare such
    ]

    def read(tx: Any) -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(str, tx.rows(select(*(c for c in table.c if c.name != "position")))))
            for table in tables
        }

    return await api.store.read(read)


Attack = Callable[[Cloud, Victim], Awaitable[None]]
ME = Node("h2")


async def _switch_state(api: Cloud, it: Victim) -> None:
    state: Any = await api.wire["switch_state"](
        SwitchStateRequest("h2", (it.port,), (it.network,), (it.group,), (it.address_group,)), ME
    )
    assert (state.devices, state.networks, state.security_groups, state.address_groups) == ((), (), (), ())


async def _device_status(api: Cloud, it: Victim) -> None:
    for said in (
        DeviceStatus("h2", down=(it.port,)),
        DeviceStatus("h2", up=(it.port,), enforcement={it.port: "meter"}),
        DeviceStatus("h2", failed=(DeviceFailure(it.port, "broken"),)),
        DeviceStatus("h2", taps=dict.fromkeys((it.port, it.tap_service, it.tap_flow), "ACTIVE")),
    ):
        await api.wire["device_status"](said, ME)


async def _dhcp_state(api: Cloud, it: Victim) -> None:
    for asked in ((it.network,), None):
        state: Any = await api.wire["dhcp_state"](DhcpStateRequest("h2", asked), ME)
        assert state.networks == ()


async def _dhcp_status(api: Cloud, it: Victim) -> None:
    await api.wire["dhcp_status"](DhcpStatus("h2", (it.network,)), ME)
    await api.wire["dhcp_status"](DhcpStatus("h2", failed={it.network: "broken"}), ME)


async def _dhcp_leases(api: Cloud, it: Victim) -> None:
    change = LeaseChange(network_id=it.network, kind="started", ip_address=it.address)
    await api.wire["dhcp_leases"](LeaseReport("h2", (change,)), ME)


async def _l3_state(api: Cloud, it: Victim) -> None:
    for asked in ((it.router,), None):
        state: Any = await api.wire["l3_state"](L3StateRequest("h2", asked), ME)
        assert state.routers == ()


async def _l3_status(api: Cloud, it: Victim) -> None:
    await api.wire["l3_status"](L3Status("h2", (it.router,), (it.floating_ip,)), ME)
    failed = {it.router: "broken", it.floating_ip: "broken"}
    await api.wire["l3_status"](L3Status("h2", failed=failed), ME)


async def _gateway_state(api: Cloud, it: Victim) -> None:
    for asked in ((it.machine, it.router), None):
        state: Any = await api.wire["gateway_state"](GatewayStateRequest("h2", asked), ME)
        assert state.machines == ()
    own: Any = await api.wire["gateway_state"](GatewayStateRequest("h1"), Node("h1"))
    assert [one.router.router_id for one in own.machines] == [it.machine]


async def _gateway_status(api: Cloud, it: Victim) -> None:
    await api.wire["gateway_status"](L3Status("h2", (it.machine, it.router), (it.floating_ip,)), ME)
    await api.wire["gateway_status"](L3Status("h2", failed={it.machine: "broken"}), ME)
    # Nor are routers that an agent of another kind has on the same host.
    await api.wire["gateway_status"](L3Status("h1", failed={it.router: "broken"}), Node("h1"))
    await api.wire["l3_status"](L3Status("h1", failed={it.machine: "broken"}), Node("h1"))


async def _metadata(api: Cloud, it: Victim) -> None:
    for place in ({"network_id": it.network}, {"router_id": it.router}, {}):
        asked = MetadataRequest("h2", "/openstack/latest/meta_data.json", it.address, **place)
        with pytest.raises(Forbidden):
            await api.wire["metadata"](asked, ME)
    own = MetadataRequest("h1", "/openstack/latest/meta_data.json", it.address, network_id=it.network)
    assert (await api.wire["metadata"](own, Node("h1"))).status == 200  # type: ignore[attr-defined]


async def _metadata_post(api: Cloud, it: Victim) -> None:
    path = "/openstack/latest/password"
    for place in ({"network_id": it.network}, {"router_id": it.router}, {}):
        with pytest.raises(Forbidden):
            await api.wire["metadata_post"](MetadataPost("h2", path, it.address, b"mine", **place), ME)
    # Nor does it get at a guest through a network that it serves itself.
    nowhere = MetadataPost("h1", path, "10.9.9.9", b"mine", network_id=it.network)
    assert (await api.wire["metadata_post"](nowhere, Node("h1"))).status == 404  # type: ignore[attr-defined]


async def _hypervisor_state(api: Cloud, it: Victim) -> None:
    for asked in ((it.server,), None):
        state: Any = await api.wire["hypervisor_state"](HypervisorStateRequest("h2", asked), ME)
        assert (state.servers, state.leaving) == ((), ())


async def _hypervisor_report(api: Cloud, it: Victim) -> None:
    for said in (
        HypervisorReport("h2", servers=(ServerReport(it.server, 99, 4, True),)),
        HypervisorReport("h2", servers=(ServerReport(it.server, 1, 0, False, "broken"),)),
        HypervisorReport("h2", operations=(OperationReport(it.operation),)),
        HypervisorReport("h2", operations=(OperationReport(it.operation, "broken"),)),
        HypervisorReport("h2", gone=(it.server,), present=(), position=1 << 40),
    ):
        await api.wire["hypervisor_report"](said, ME)


async def _agent_report(api: Cloud, it: Victim) -> None:
    """The position in the answer is that of what the node serves; nothing of another's shows in it."""
    told = (
        scopes.port(it.port),
        scopes.network(it.network),
        scopes.security_group(it.group),
        scopes.router(it.router),
        scopes.dhcp_network(it.network),
        scopes.host("h1"),
        scopes.dhcp("h1"),
    )
    for name in ("h1", "h2"):
        theirs = {"tunneling_ip": f"192.0.2.{ord(name[-1])}", "tunnel_types": ["vxlan"]}
        switch = AgentReport("h2", "x", "Open vSwitch agent", "N/A", "2026-01-01 00:00:00", theirs)
        if name == "h1":
            with pytest.raises(BadReport, match=r"is that of h1"):
                await api.wire["agent_report"](switch, ME)
        else:
            await api.wire["agent_report"](switch, ME)
    for address in ("0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"):
        nowhere = msgspec.structs.replace(switch, configurations={"tunneling_ip": address})
        with pytest.raises(BadReport, match="no host's address"):
            await api.wire["agent_report"](nowhere, ME)
    report = AgentReport("h2", "DHCP-agent", "DHCP agent", "DHCP", "2026-01-01 00:00:00")
    without: Any = await api.wire["agent_report"](report, ME)
    with_them: Any = await api.wire["agent_report"](msgspec.structs.replace(report, scopes=told), ME)
    assert with_them.position == without.position


async def _metering_report(api: Cloud, it: Victim) -> None:
    counted = MeteringCount(it.floating_ip, it.router, 1, 1)
    await api.wire["metering_report"](MeteringReport("h2", (counted,)), ME)


async def _of_the_bus(api: Cloud, it: Victim) -> None:
    """Answered by the bus itself: tests/contract/test_bus.py."""


async def _physical_state(api: Cloud, it: Victim) -> None:
    # Its own switch's name is taken, and a node's name is no switch's.
    for name in ("tor", "h1"):
        mine = PhysicalSwitch(name=name, kind="vtep", ports=("p1",), tunnel_ip="192.0.2.66")
        state: Any = await api.wire["physical_state"](PhysicalStateRequest("h2", (mine,)), ME)
        assert (state.attachments, state.networks, state.refused) == ((), (), (name,))


async def _physical_status(api: Cloud, it: Victim) -> None:
    seen = LearnedAddress(it.network, "52:54:00:00:00:01")
    await api.wire["physical_status"](PhysicalStatus("h2", {"tor": (seen,)}, {"tor": "broken"}), ME)


async def _volume_state(api: Cloud, it: Victim) -> None:
    for asked in (None, (it.volume,)):
        state: Any = await api.wire["volume_state"](VolumeStateRequest("h2", asked), ME)
        assert (state.volumes, state.operations) == ((), ())


async def _volume_report(api: Cloud, it: Victim) -> None:
    file = VolumeConnection("file", path="/etc/shadow")
    for said in (
        VolumeReport("h2", pools=()),
        VolumeReport("h2", operations=(OperationReport(it.snapshotting),)),
        VolumeReport("h2", operations=(OperationReport(it.snapshotting, "broken"),)),
        VolumeReport("h2", operations=(OperationReport(it.operation),)),
        VolumeReport("h2", exports=(ExportReport(it.attachment, file),)),
        VolumeReport("h2", exports=(ExportReport(it.attachment, error="broken"),)),
        VolumeReport("h2", progress=(VolumeProgress(it.snapshotting, 50),)),
        VolumeReport("h2", present=(StoredVolume(it.volume, "fast"),), position=1 << 40),
    ):
        await api.wire["volume_report"](said, ME)


ATTACKS: dict[str, Attack] = {
    "agent_report": _agent_report,
    "switch_state": _switch_state,
    "device_status": _device_status,
    "dhcp_state": _dhcp_state,
    "dhcp_status": _dhcp_status,
    "dhcp_leases": _dhcp_leases,
    "l3_state": _l3_state,
    "l3_status": _l3_status,
    "gateway_state": _gateway_state,
    "gateway_status": _gateway_status,
    "metering_report": _metering_report,
    "metadata": _metadata,
    "metadata_post": _metadata_post,
    "physical_state": _physical_state,
    "physical_status": _physical_status,
    "hypervisor_state": _hypervisor_state,
    "hypervisor_report": _hypervisor_report,
    "volume_state": _volume_state,
    "volume_report": _volume_report,
    "answer": _of_the_bus,
    "node_token": _of_the_bus,
}


def test_every_call_has_an_attack_and_names_its_host() -> None:
    assert ATTACKS.keys() == CALLS.keys()
    for call in CALLS.values():
        assert "host" in call.request.__struct_fields__, call.name


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_node_reaches_nothing_of_another(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        it = await victim(api)
        before = await everything(api)
        for name, attack in ATTACKS.items():
            await attack(api, it)
            assert await everything(api) == before, name

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_node_hears_of_what_its_agents_serve(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        it = await victim(api)
        theirs = {
            "host": scopes.host("h1"),
            "network": scopes.network(it.network),
            "security_group": scopes.security_group(it.group),
            "address_group": scopes.address_group(it.address_group),
            "port": scopes.port(it.port),
            "router": scopes.router(it.router),
            "server": scopes.server(it.server),
            "dhcp": scopes.dhcp("h1"),
            "dhcp_network": scopes.dhcp_network(it.network),
            "l3": scopes.l3("h1"),
            "gateways": scopes.gateways("h1"),
            "hypervisor": scopes.hypervisor("h1"),
            "physical": scopes.physical("h1"),
            "volumes": scopes.volumes("h1"),
            "volume": scopes.volume(it.volume),
            "tunnels": scopes.tunnels(),
        }
        makers = [
            name
            for name, _ in inspect.getmembers(scopes, inspect.isfunction)
            if name not in ("split", "is_key")
        ]
        assert sorted(makers) == sorted(theirs), "a new kind of scope needs a row"
        assert {scopes.split(scope)[0] for scope in theirs.values()} == (
            scopes.OF_ONE_HOST | scopes.OF_THE_CLOUD | scopes.OF_WHAT_IS_SERVED
        )
        everyone = tuple(theirs.values())
        served, position = await api.store.read(look, "h1", everyone)
        assert served == frozenset(everyone)
        assert position > 0
        assert (await api.store.read(look, "h2", everyone))[0] == {scopes.tunnels()}
        other = tuple(scope for scope in everyone if scope != scopes.tunnels())
        assert await api.store.read(look, "h2", other) == (frozenset(), 0)

    tell(story, tmp_path, kind)
