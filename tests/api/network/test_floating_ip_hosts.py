"""Floating IPs that the host of their port translates: which, since when, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, Node, tell
from tests.api.network.test_l3_scheduling import KIND
from tests.api.network.test_metering import LABELS, counters, label, rule
from tests.api.network.test_routers import act, put, refused
from tests.waiting import until

from pileus.services.network.rules.segments import Ranges
from pileus.wire import scopes
from pileus.wire.l3 import L3Status, MeteringLabel, MeteringRule
from pileus.wire.metering import MeteringCount, MeteringReport

GATEWAY = "network:floatingip_agent_gateway"
WITH_PROVIDER = replace(
    CONFIG, down_before_distributed=False, ranges=Ranges(flat=("*",), vxlan=((1, 10000),))
)


async def an_outside(admin: Cloud) -> str:
    flat = {
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": "physnet1",
    }
    network = await admin.make("network", name="outside", **flat)
    pool = [{"start": "203.0.113.100", "end": "203.0.113.120"}]
    values = {"cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": False, "allocation_pools": pool}
    await admin.make("subnet", network_id=network["id"], **values)
    return str(network["id"])


async def a_host(api: Cloud, host: str, *, provider: bool = True, distributed: bool = True) -> None:
    said: dict[str, Any] = {"enable_distributed_routing": distributed}
    if not provider:
        said["bridge_mappings"] = {}
    await api.report(host, tunneling_ip=f"192.0.2.{host[1:]}", **said)


async def gateways(admin: Cloud) -> dict[str, dict[str, Any]]:
    ports = (await admin("GET", f"/v2.0/ports?device_owner={GATEWAY}")).json["ports"]
    return {port["binding:host_id"]: port for port in ports}


async def a_port(api: Cloud, network: str, host: str = "") -> str:
    port = await api.make("port", network_id=network)
    if host:
        await bound(api, port["id"], host)
    return str(port["id"])


async def bound(api: Cloud, port_id: str, host: str) -> None:
    path = f"/v2.0/ports/{port_id}"
    assert (await api.as_("admin")("PUT", path, {"port": {"binding:host_id": host}})).status == 200


async def central(api: Cloud) -> set[str]:
    (router,) = (await api.routing("h1")).routers
    return {one.floating_ip_id for one in router.floating_ips}


def test_no_host_translates_for_a_port_behind_another_router(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h2"):
            await a_host(api, host)
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        outside = await an_outside(admin)
        behind, subnet = await api.a_network("10.2.0.0/24")
        info = {"network_id": outside}
        router = await admin.make("router", distributed=True, external_gateway_info=info)
        port = await a_port(api, behind, "h2")
        values = {"floating_network_id": outside, "port_id": port, "router_id": router["id"]}
        floating = await admin.make("floatingip", **values)
        assert await gateways(admin) == {}
        assert await central(api) == {floating["id"]}, "h2 has no way from the router to the port"
        await act(admin, router, "add_router_interface", subnet_id=subnet)
        await admin("PUT", f"/v2.0/floatingips/{floating['id']}", {"floatingip": {"router_id": router["id"]}})
        assert {*await gateways(admin)} == {"h2"}, "now it has"

    tell(story, tmp_path, config=WITH_PROVIDER)


async def _metered(api: Cloud, router_id: str, port: str) -> None:
    """What the host counts of the floating IP is added to what the router's agent counts."""
    admin = api.as_("admin")
    assert (await api.switch("h2")).routers[0].metering_labels == ()
    own = await label(admin, shared=True)
    heard: set[str] = set()
    end = api.store.subscribe(lambda published: heard.update(published.scopes))
    assert (await rule(admin, own, remote_ip_prefix="10.1.0.0/24")).status == 201
    wanted = {scopes.router(router_id), scopes.port(port)}  # the host that translates looks again
    await until(lambda: wanted <= heard)
    end()
    (told,) = (await api.switch("h2")).routers
    assert told.metering_labels == (
        MeteringLabel(own["id"], (MeteringRule("egress", False, "10.1.0.0/24"),)),
    )
    assert (await api.switch("h3")).routers == ()

    async def report(host: str, *counts: MeteringCount) -> None:
        await api.wire["metering_report"](MeteringReport(host, counts), Node(host))

    central_count = MeteringCount(own["id"], router_id, 5, 500)
    on_host = MeteringCount(own["id"], router_id, 7, 700, distributed=True)
    await report("h1", central_count, on_host)
    assert await counters(admin, own) == [(router_id, 5, 500)], "h1 translates nothing itself"
    await report("h2", central_count, on_host)
    assert await counters(admin, own) == [(router_id, 12, 1200)], "h2 has no namespace of the router"
    await report("h2", MeteringCount(own["id"], router_id, 9, 900, distributed=True))
    await report("h1", central_count)
    await report("h2", MeteringCount(own["id"], router_id, 1, 100, distributed=True))  # the switch began anew
    assert await counters(admin, own) == [(router_id, 15, 1500)]
    assert (await admin("DELETE", f"{LABELS}/{own['id']}")).status == 204
    assert (await api.switch("h2")).routers[0].metering_labels == ()


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_host_of_a_port_translates_once_it_says_so(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h2", "h3"):
            await a_host(api, host)
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        outside = await an_outside(admin)
        network, subnet = await api.a_network("10.1.0.0/24")
        info = {"network_id": outside}
        router = await admin.make("router", distributed=True, external_gateway_info=info)
        await act(admin, router, "add_router_interface", subnet_id=subnet)
        port = await a_port(api, network)
        floating = await api.make("floatingip", floating_network_id=outside, port_id=port)
        assert await gateways(admin) == {} and await central(api) == {floating["id"]}, "it is on no host"
        path = f"/v2.0/floatingips/{floating['id']}"

        await bound(api, port, "h2")
        own = (await gateways(admin))["h2"]
        assert (own["project_id"], own["network_id"]) == ("", outside)
        refused(await admin("DELETE", f"/v2.0/ports/{own['id']}"), 409, "ServicePortInUse")
        told = await api.switch("h2")
        (one,) = told.floating_ips
        assert (one.floating_ip_id, one.port_id, one.in_force) == (floating["id"], port, False)
        (gateway,) = told.gateways
        assert (gateway.port_id, gateway.mac_address) == (own["id"], own["mac_address"])
        assert [(s.cidr, s.gateway_ip) for s in gateway.subnets] == [("203.0.113.0/24", "203.0.113.1")]
        assert outside in {n.network_id for n in told.networks}
        assert told.routers[0].interfaces[0].cidrs == ("10.1.0.0/24",)
        assert await central(api) == {floating["id"]}, "until the host has said that it does"

        await api.status("h3", floating_ips=(floating["id"],))
        assert await central(api) == {floating["id"]}, "that is no word of h3's"
        await api.status("h2", up=(own["id"],), floating_ips=(floating["id"],))
        assert await central(api) == set()
        assert (await api("GET", path)).json["floatingip"]["status"] == "ACTIVE"
        assert (await gateways(admin))["h2"]["status"] == "ACTIVE"
        assert (await api.switch("h2")).floating_ips[0].in_force

        await _metered(api, router["id"], port)

        # The port moves, and what it leads to changes: each time the agent has it until the host says more.
        await bound(api, port, "h3")
        assert set(await gateways(admin)) == {"h3"} and await central(api) == {floating["id"]}
        assert (await api.switch("h2")).floating_ips == ()
        await api.status("h3", floating_ips=(floating["id"],))
        assert await central(api) == set()
        other = await a_port(api, network, "h3")
        await api("PUT", path, {"floatingip": {"port_id": other}})
        assert await central(api) == {floating["id"]}
        await api.status("h3", floating_ips=(floating["id"],))

        # A policy is enforced by the agent, which takes over before the host lets go.
        policy = await admin.make("policy", name="limited", shared=True)
        await api("PUT", path, {"floatingip": {"qos_policy_id": policy["id"]}})
        assert await central(api) == {floating["id"]}
        (one,) = (await api.switch("h3")).floating_ips
        assert one.in_force and one.leaving
        await api.wire["l3_status"](L3Status("h1", floating_ips=(floating["id"],)), Node("h1"))
        assert (await api.switch("h3")).floating_ips == () and await gateways(admin) == {}
        await api("PUT", path, {"floatingip": {"qos_policy_id": None}})
        await api.status("h3", floating_ips=(floating["id"],))
        assert await central(api) == set()

        # So it is when the router ceases to be distributed; and when the floating IP goes, all goes.
        await put(admin, router, distributed=False)
        assert await central(api) == {floating["id"]}
        told = await api.switch("h3")
        assert told.floating_ips[0].leaving and len(told.routers) == 1 and len(told.gateways) == 1
        await api.wire["l3_status"](L3Status("h1", floating_ips=(floating["id"],)), Node("h1"))
        told = await api.switch("h3")
        assert told.floating_ips == told.routers == told.gateways == ()
        await put(admin, router, distributed=True)
        assert set(await gateways(admin)) == {"h3"}
        assert not (await api.switch("h3")).floating_ips[0].leaving
        await api("DELETE", f"/v2.0/ports/{other}")
        assert await gateways(admin) == {}
        assert (await admin("DELETE", path)).status == 204

    tell(story, tmp_path, kind, config=WITH_PROVIDER)


def test_hosts_that_can_not_leave_it_to_the_agent(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h4", "h5"):
            await a_host(api, host)
        await a_host(api, "h2", provider=False)
        await a_host(api, "h3", distributed=False)
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        await api.service_agent("h4", KIND, agent_mode="dvr_no_external")
        await api.service_agent("h5", KIND, agent_mode="dvr")
        outside = await an_outside(admin)
        network, subnet = await api.a_network("10.1.0.0/24")
        info = {"network_id": outside}
        router = await admin.make("router", distributed=True, external_gateway_info=info)
        await act(admin, router, "add_router_interface", subnet_id=subnet)
        floating = {}
        for host in ("h2", "h3", "h4", "h5"):
            port = await a_port(api, network, host)
            made = await api.make("floatingip", floating_network_id=outside, port_id=port)
            floating[host] = made["id"]
        assert set(await gateways(admin)) == {"h5"}
        for host, key in floating.items():
            await api.status(host, floating_ips=(key,))
        assert await central(api) == {floating["h2"], floating["h3"], floating["h4"]}
        # What a host gets later is seen when its agent begins anew.
        await a_host(api, "h2")
        assert set(await gateways(admin)) == {"h2", "h5"}
        # An external network without an address left for hosts.
        await a_host(api, "h6")
        for _ in range(20):
            if (
                await api("POST", "/v2.0/floatingips", {"floatingip": {"floating_network_id": outside}})
            ).status != 201:
                break
        port = await a_port(api, network)
        (spare, *_) = [
            one
            for one in (await api("GET", "/v2.0/floatingips")).json["floatingips"]
            if one["port_id"] is None
        ]
        await api("PUT", f"/v2.0/floatingips/{spare['id']}", {"floatingip": {"port_id": port}})
        await bound(api, port, "h6")
        assert set(await gateways(admin)) == {"h2", "h5"} and spare["id"] in await central(api)

    tell(story, tmp_path, config=WITH_PROVIDER)


BOUNDS = {
    # create, to another port of the same host, to none, back, delete
    "central": (19, 14, 11, 14, 18),
    # The host gets a gateway, has it, loses it, gets it again and loses it.
    "distributed": (32, 16, 22, 27, 28),
    # The host has one already, and keeps it.
    "beside another": (21, 16, 14, 16, 20),
    # From a host to another, each with its gateway.
    "moved": (36,),
}
"""Statements of requests about floating IPs, with three for their event."""


def test_statements(tmp_path: Path) -> None:
    """A host's gateway is paid for by requests that make or delete one, and by no others."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h2", "h3"):
            await a_host(api, host)
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        outside = await an_outside(admin)
        took: dict[str, list[int]] = {}
        path = ""

        async def count(kind: str, method: str, status: int, port: str | None = None) -> None:
            nonlocal path
            values = {"floating_network_id": outside} if method == "POST" else {}
            body = None if method == "DELETE" else {"floatingip": {**values, "port_id": port}}
            before = api.store.statements
            answer = await api(method, "/v2.0/floatingips" if method == "POST" else path, body)
            took.setdefault(kind, []).append(api.store.statements - before)
            assert answer.status == status, answer
            if method == "POST":
                path = f"/v2.0/floatingips/{answer.json['floatingip']['id']}"

        async def life(kind: str, first: str, second: str) -> None:
            await count(kind, "POST", 201, first)
            for port in (second, None, first):
                await count(kind, "PUT", 200, port)
            await count(kind, "DELETE", 204)

        for distributed in (False, True):
            network, subnet = await api.a_network(f"10.{distributed + 1}.0.0/24")
            info = {"network_id": outside}
            router = await admin.make("router", distributed=distributed, external_gateway_info=info)
            await act(admin, router, "add_router_interface", subnet_id=subnet)
            ports = [await a_port(api, network, "h2") for _ in range(3)]
            await life("distributed" if distributed else "central", *ports[:2])
        assert await gateways(admin) == {}
        beside = await api.make("floatingip", floating_network_id=outside, port_id=ports[2])
        await life("beside another", *ports[:2])
        path = f"/v2.0/floatingips/{beside['id']}"
        far = await a_port(api, network, "h3")
        assert {*await gateways(admin)} == {"h2"}
        await count("moved", "PUT", 200, far)
        assert {*await gateways(admin)} == {"h3"}
        over = {
            kind: (figures, BOUNDS[kind])
            for kind, figures in took.items()
            if any(figure > bound for figure, bound in zip(figures, BOUNDS[kind], strict=True))
        }
        assert not over

    tell(story, tmp_path, config=WITH_PROVIDER)
