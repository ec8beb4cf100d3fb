"""Gateway machines: routers that are servers of the cloud's own, made, kept and replaced for their flavor."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, Host, Node, tell
from tests.api.compute.gateways import (
    NET,
    OWNER,
    bring_up,
    configured,
    flavored,
    keeper,
    outside,
    rename_image,
    told,
)

from pileus.services.network.gateway_machines.reading import machines_known
from pileus.wire.dhcp import DhcpStateRequest, LeaseChange, LeaseReport
from pileus.wire.l3 import L3StateRequest, L3Status
from pileus.wire.metering import MeteringCount, MeteringReport


async def machines(api: Cloud) -> list[dict[str, Any]]:
    """The servers of the cloud's own, as an administrator sees them."""
    answer = await api.as_("admin")("GET", "/servers/detail?all_tenants=1")
    return [one for one in answer.json["servers"] if one["tenant_id"] == OWNER]


async def status(api: Cloud, router_id: str) -> str:
    return str((await api("GET", f"{NET}/routers/{router_id}")).json["router"]["status"])


async def ports(api: Cloud, router_id: str) -> dict[str, Any]:
    """A router's ports by their owner's kind."""
    found = (await api.as_("admin")("GET", f"{NET}/ports?device_id={router_id}")).json["ports"]
    return {port["device_owner"].removeprefix("network:router_"): port for port in found}


async def a_host(api: Cloud, name: str = "h1") -> Host:
    host = await api.host(name)
    await host.service_agent("Gateway VM")
    return host


async def a_router(api: Cloud, public: str | None = None, **values: Any) -> str:
    """A router of the flavor; its id."""
    info = {"external_gateway_info": {"network_id": public}} if public else {}
    body = {"router": {"flavor_id": await flavored(api), **info, **values}}
    answer = await api("POST", f"{NET}/routers", body)
    assert answer.status == 201, answer
    return str(answer.json["router"]["id"])


async def add(api: Cloud, router_id: str, network_id: str) -> str:
    """Put a router on the subnet of a network, whose id it gives back."""
    subnet = (await api("GET", f"{NET}/subnets?network_id={network_id}")).json["subnets"][0]["id"]
    path = f"{NET}/routers/{router_id}/add_router_interface"
    answer = await api("PUT", path, {"subnet_id": subnet})
    assert answer.status == 200, answer
    return str(subnet)


async def _leases_and_counts(api: Cloud, router_id: str, port: dict[str, Any]) -> None:
    """What its agent reads in the machine: leases are in the guests' timelines, counts are summed."""
    address = port["fixed_ips"][0]["ip_address"]
    change = LeaseChange(port["network_id"], "started", address, port["mac_address"], 1800000000)
    for host in ("h1", "h2"):  # nothing of the other one's is there
        await api.wire["dhcp_leases"](LeaseReport(host, (change,)), Node(host))
    shown = (await api("GET", f"{NET}/ports/{port['id']}/timeline")).json["timeline"]
    assert [one["detail"] for one in shown if "lease" in one["step"]] == [
        f"{address} until 2027-01-15T08:00:00Z"
    ]
    admin = api.as_("admin")
    labels, rules = (f"{NET}/metering/metering-label{which}" for which in ("s", "-rules"))
    made = await admin("POST", labels, {"metering_label": {"name": "all", "shared": True}})
    label_id = made.json["metering_label"]["id"]
    values = {"metering_label_id": label_id, "direction": "egress", "remote_ip_prefix": "10.7.0.0/24"}
    assert (await admin("POST", rules, {"metering_label_rule": values})).status == 201
    (label,) = (await told(api, "h1"))[router_id].router.metering_labels
    assert label.label_id == label_id
    for host in ("h1", "h2"):
        report = MeteringReport(host, (MeteringCount(label_id, router_id, 5, 500),))
        await api.wire["metering_report"](report, Node(host))
    (one,) = (await admin("GET", f"{labels}/{label_id}/counters")).json["counters"]
    assert (one["router_id"], one["packets"], one["bytes"]) == (router_id, 5, 500)
    assert (await admin("DELETE", f"{labels}/{label_id}")).status == 204


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_gateway_machine(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        await host.service_agent("L3")
        public = await outside(api)
        used = (await api("GET", "/limits")).json["limits"]["absolute"]
        router_id = await a_router(api, public)
        assert await status(api, router_id) == "BUILD"
        network_id = await api.a_network("10.7.0.0/24")
        subnet_id = await add(api, router_id, network_id)
        await bring_up(api, host)

        # The administrator sees its server; the router's project neither sees nor pays for it.
        (server,) = await machines(api)
        assert server["name"] == f"gateway-{router_id}" and server["status"] == "ACTIVE"
        assert server["metadata"] == {"router_id": router_id}
        assert (await api("GET", "/servers")).json["servers"] == []
        assert (await api("GET", f"/servers/{server['id']}")).status == 404
        assert (await api("GET", "/limits")).json["limits"]["absolute"] == used
        mine = await ports(api, router_id)
        assert {port["binding:host_id"] for port in mine.values()} == {"h1"}
        (details,) = (await host.state()).servers
        assert {port.port_id for port in details.ports} == {port["id"] for port in mine.values()}
        assert details.hardware.guest_agent and details.config_drive is None

        # Its agent is told what it routes, and to whom it gives addresses.
        port = (await api("POST", f"{NET}/ports", {"port": {"network_id": network_id}})).json["port"]
        machine = (await told(api, "h1"))[router_id]
        assert machine.server_id == server["id"]
        assert machine.router.gateway.port.port_id == mine["gateway"]["id"]
        (served,) = machine.served
        assert [subnet.subnet_id for subnet in served.subnets] == [subnet_id]
        assert port["mac_address"] in [one.mac_address for one in served.hosts]
        assert (await told(api, "h1", "0" * 8 + router_id[8:])) == {}
        assert await status(api, router_id) == "BUILD"
        await configured(api, "h1")
        assert await status(api, router_id) == "ACTIVE"
        agents = (await api.as_("admin")("GET", f"{NET}/routers/{router_id}/l3-agents")).json["agents"]
        assert [agent["agent_type"] for agent in agents] == ["Gateway VM agent"]

        await _leases_and_counts(api, router_id, port)

        # Interfaces come and go while it runs, and floating IPs are its to translate.
        other = await api.a_network("10.8.0.0/24", "other")
        more = await add(api, router_id, other)
        await bring_up(api, host)
        (details,) = (await host.state()).servers
        assert len(details.ports) == 3 and details.server_id == server["id"]
        body = {"floatingip": {"floating_network_id": public, "port_id": port["id"]}}
        floating = (await api("POST", f"{NET}/floatingips", body)).json["floatingip"]
        await configured(api, "h1")
        shown = (await api("GET", f"{NET}/floatingips/{floating['id']}")).json["floatingip"]
        assert (shown["status"], shown["router_id"]) == ("ACTIVE", router_id)
        path = f"{NET}/routers/{router_id}/remove_router_interface"
        assert (await api("PUT", path, {"subnet_id": more})).status == 200
        await bring_up(api, host)
        (details,) = (await host.state()).servers
        assert len(details.ports) == 2 and len((await told(api, "h1"))[router_id].served) == 1

        # With the router goes all of it.
        assert (await api("DELETE", f"{NET}/floatingips/{floating['id']}")).status == 204
        assert (await api("PUT", path, {"subnet_id": subnet_id})).status == 200
        assert (await api("DELETE", f"{NET}/routers/{router_id}")).status == 204
        await bring_up(api, host)
        assert await machines(api) == [] and host.have == {}
        assert await api.store.read(machines_known) == [] and await told(api, "h1") == {}
        assert await api.count("server_interfaces") == 0 and await api.count("allocations") == 0

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_several_keepers_make_one_machine_and_one_goes_on_where_another_was_killed(
    tmp_path: Path, kind: str
) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        router_id = await a_router(api, await outside(api), name="r" * 255)
        await asyncio.gather(*(keeper(api).work() for _ in range(4)))
        (server,) = await machines(api)
        # Killed after each of its units, another finds what is next.
        for _ in range(4):
            await asyncio.gather(*(keeper(api).work() for _ in range(2)))
            await api.conductor(owner="another").work()
            await host.pass_()
        await bring_up(api, host)
        assert [one["id"] for one in await machines(api)] == [server["id"]]
        await configured(api, "h1")
        assert await status(api, router_id) == "ACTIVE"
        assert (await api("DELETE", f"{NET}/routers/{router_id}")).status == 204
        await asyncio.gather(*(keeper(api).work() for _ in range(4)))
        await bring_up(api, host)
        assert await machines(api) == [] and await api.store.read(machines_known) == []

    tell(story, tmp_path, kind)


def test_one_that_dies_is_replaced(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        hosts = [await a_host(api, "h1"), await a_host(api, "h2")]
        router_id = await a_router(api, await outside(api))
        await bring_up(api, *hosts)
        admin = api.as_("admin")

        async def works() -> dict[str, Any]:
            for host in hosts:
                await configured(api, host.name)
            (server,) = await machines(api)
            assert (server["status"], await status(api, router_id)) == ("ACTIVE", "ACTIVE"), server
            await keeper(api).work()
            return server

        seen = [await works()]
        where = seen[0]["OS-EXT-SRV-ATTR:host"]
        # It stops by itself; it is deleted; its host is lost.
        for trouble in ("stop", "delete", "host"):
            last = seen[-1]
            if trouble == "stop":
                assert (await admin.act(last["id"], "os-stop")).status == 202
                await next(host for host in hosts if host.name == where).pass_()
            elif trouble == "delete":
                assert (await admin("DELETE", f"/servers/{last['id']}")).status == 204
            else:
                where = last["OS-EXT-SRV-ATTR:host"]
                hosts = [host for host in hosts if host.name != where]
                api.clock.advance(70)
                for host in hosts:
                    await host.heartbeat()
                    await host.service_agent("Gateway VM")
            await keeper(api).work()
            if trouble != "delete":
                assert await status(api, router_id) == "BUILD"
            await bring_up(api, *hosts)
            seen.append(await works())
            assert seen[-1]["id"] != last["id"]
        assert seen[-1]["OS-EXT-SRV-ATTR:host"] == hosts[0].name
        assert (await ports(api, router_id))["gateway"]["binding:host_id"] == hosts[0].name

    tell(story, tmp_path)


def test_what_can_not_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        public = await outside(api)
        router_id = await a_router(api, public)
        # Anybody may name his own image so: only a public one counts.
        await rename_image(api, "gateway", visibility="shared")
        await keeper(api).work()
        (known,) = await api.store.read(machines_known)
        assert "no active public image named 'gateway'" in (known.reason or "")
        assert await status(api, router_id) == "ERROR" and await machines(api) == []
        await rename_image(api, "gateway", visibility="public")
        await keeper(api).work()
        assert await machines(api) == []  # not yet
        api.clock.advance(11)
        await host.heartbeat()
        host.fails = "no room on the disk"
        await bring_up(api, host)
        (known,) = await api.store.read(machines_known)
        assert "no room on the disk" in (known.reason or "") and known.failures >= 2
        assert await status(api, router_id) == "ERROR"
        host.fails = None
        api.clock.advance(61)
        await host.heartbeat()
        await bring_up(api, host)
        await configured(api, "h1")
        await keeper(api).work()
        (known,) = await api.store.read(machines_known)
        assert (known.failures, known.reason) == (0, None) and await status(api, router_id) == "ACTIVE"

        # One that runs and does not work is given up after a while.
        failed = {router_id: "Guest agent is not responding"}
        await api.wire["gateway_status"](L3Status("h1", failed=failed), Node("h1"))
        (before,) = await machines(api)
        await keeper(api).work()
        assert await status(api, router_id) == "ERROR"
        assert [one["id"] for one in await machines(api)] == [before["id"]]
        api.clock.advance(181)
        await host.heartbeat()
        await bring_up(api, host)
        (after,) = await machines(api)
        assert after["id"] != before["id"]

    tell(story, tmp_path)


def test_what_gateway_machines_do_not_do(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        for kind in ("L3", "DHCP"):
            await host.service_agent(kind)
        admin = api.as_("admin")
        public = await outside(api)
        router_id = await a_router(api, public)
        flavor_id = (await api("GET", f"{NET}/routers/{router_id}")).json["router"]["flavor_id"]
        for odd in ({"ha": True}, {"distributed": True}, {"enable_ndp_proxy": True}):
            body = {"router": {"flavor_id": flavor_id, **odd}}
            assert (await admin("POST", f"{NET}/routers", body)).status == 400, odd
        proxied = await api("PUT", f"{NET}/routers/{router_id}", {"router": {"enable_ndp_proxy": True}})
        assert proxied.status == 400 and "no NDP proxy" in proxied.message
        second = {"router": {"external_gateways": [{"network_id": public}]}}
        refused = await admin("PUT", f"{NET}/routers/{router_id}/add_external_gateways", second)
        assert refused.status == 400 and "has one external gateway" in refused.message
        network_id = await api.a_network("10.7.0.0/24")
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        six = {"network_id": network_id, "subnetpool_id": "prefix_delegation", "ip_version": 6, **modes}
        made = await api("POST", f"{NET}/subnets", {"subnet": six})
        subnet = made.json["subnet"]["id"]
        path = f"{NET}/routers/{router_id}/add_router_interface"
        refused = await api("PUT", path, {"subnet_id": subnet})
        assert refused.status == 400 and "asks for no prefixes" in refused.message
        helper = {"conntrack_helper": {"helper": "ftp", "protocol": "tcp", "port": 21}}
        refused = await api("POST", f"{NET}/routers/{router_id}/conntrack_helpers", helper)
        assert refused.status == 400 and "no conntrack helpers" in refused.message

        # No L3 agent is given it, by request or by itself; another kind of agent takes no others.
        agents = {
            one["agent_type"]: one["id"] for one in (await admin("GET", f"{NET}/agents")).json["agents"]
        }
        refused = await admin(
            "POST", f"{NET}/agents/{agents['L3 agent']}/l3-routers", {"router_id": router_id}
        )
        assert refused.status == 409 and "virtual machine" in refused.message
        ordinary = (await api("POST", f"{NET}/routers", {"router": {}})).json["router"]["id"]
        of_gateways = f"{NET}/agents/{agents['Gateway VM agent']}/l3-routers"
        assert (await admin("POST", of_gateways, {"router_id": ordinary})).status == 404
        await bring_up(api, host)
        assert (await admin("DELETE", f"{of_gateways}/{router_id}")).status == 404
        state: Any = await api.wire["l3_state"](L3StateRequest("h1"), Node("h1"))
        assert state.routers == ()

    tell(story, tmp_path)


def test_dhcp_agents_leave_addresses_to_the_machine(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        await host.service_agent("DHCP")
        router_id = await a_router(api, await outside(api))
        network_id = await api.a_network("10.7.0.0/24")
        await api("POST", f"{NET}/ports", {"port": {"network_id": network_id}})
        (net,) = (await _dhcp(api)).networks
        assert net.elsewhere == ()
        subnet_id = await add(api, router_id, network_id)
        await bring_up(api, host)
        (net,) = (await _dhcp(api)).networks
        assert net.elsewhere == (subnet_id,)
        own = net.port.addresses[0].ip_address
        (served,) = (await told(api, "h1"))[router_id].served
        (subnet,) = served.subnets
        routes = [(route.destination, route.nexthop) for route in subnet.host_routes]
        assert routes == [("169.254.169.254/32", own)]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_subnets_of_ipv6(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await a_host(api)
        await host.service_agent("DHCP")
        router_id = await a_router(api, await outside(api))
        path = f"{NET}/routers/{router_id}"
        network_id = await api.a_network("10.7.0.0/24")
        four = await add(api, router_id, network_id)
        six = []
        for number, mode in enumerate(("slaac", "dhcpv6-stateful"), 1):
            body = {"network_id": network_id, "cidr": f"2001:db8:{number}::/64", "ip_version": 6}
            body |= {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}
            made = await api("POST", f"{NET}/subnets", {"subnet": body})
            six.append(made.json["subnet"]["id"])
            answer = await api("PUT", f"{path}/add_router_interface", {"subnet_id": six[-1]})
            assert answer.status == 200, answer
        (await api("POST", f"{NET}/ports", {"port": {"network_id": network_id}}))
        route = {"destination": "2001:db8:99::/64", "nexthop": "2001:db8:2::9"}
        assert (await api("PUT", path, {"router": {"routes": [route]}})).status == 200
        await bring_up(api, host)
        # As with an L3 agent, subnets of IPv6 on one network share a port; that of IPv4 has its own.
        machine = (await told(api, "h1"))[router_id]
        assert sorted(len(one.subnets) for one in machine.router.interfaces) == [1, 2]
        (shared,) = [one for one in machine.served if len(one.subnets) == 2]
        modes = {one.subnet_id: (one.ipv6_ra_mode, one.ipv6_address_mode) for one in shared.subnets}
        assert modes == {six[0]: ("slaac", "slaac"), six[1]: ("dhcpv6-stateful", "dhcpv6-stateful")}
        assert [(one.destination, one.nexthop) for one in machine.router.routes] == [tuple(route.values())]
        (net,) = (await _dhcp(api)).networks
        assert set(net.elsewhere) == {four, *six}
        answer = await api("PUT", path, {"router": {"routes": []}})
        answer = await api("PUT", f"{path}/remove_router_interface", {"subnet_id": six[0]})
        assert answer.status == 200, answer
        machine = (await told(api, "h1"))[router_id]
        assert {one.subnet_id for net in machine.served for one in net.subnets} == {four, six[1]}

    tell(story, tmp_path, kind)


async def _dhcp(api: Cloud) -> Any:
    return await api.wire["dhcp_state"](DhcpStateRequest("h1"), Node("h1"))
