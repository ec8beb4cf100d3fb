"""Whose a port is: what its owner writes proves nothing, and what the cloud made for itself stays its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, P1, P2, Answer, Cloud, tell

from pileus.services.compute.uses.network import port_of_address
from pileus.store.tx import Tx

SERVER = "5e7f0000-0000-4000-8000-000000000001"


def _projects_of_servers(tx: Tx, ids: Sequence[str]) -> Mapping[str, str]:
    return {SERVER: P2} if SERVER in ids else {}


WITH_SERVERS = msgspec.structs.replace(CONFIG, projects_of_servers=_projects_of_servers)


def refused(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer


def test_a_device_of_another_project_can_not_be_named(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network_id, _ = await api.a_network()
        mine = await api.make("router", name="mine")
        foreign = await api.as_("bob").make("router", name="his")
        port = await api.make("port", network_id=network_id, device_id=mine["id"])
        for device in (
            foreign["id"],
            SERVER,
            SERVER.upper(),
            f"{SERVER} ",
            f" {SERVER}",
            SERVER.replace("-", ""),
        ):
            body = {"port": {"network_id": network_id, "device_id": device}}
            refused(await api("POST", "/v2.0/ports", body), 409, "DeviceIDNotOwnedByTenant")
            refused(
                await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"device_id": device}}),
                409,
                "DeviceIDNotOwnedByTenant",
            )
        several = {"ports": [{"network_id": network_id}, {"network_id": network_id, "device_id": SERVER}]}
        refused(await api("POST", "/v2.0/ports", several), 409, "DeviceIDNotOwnedByTenant")
        ports = (await api("GET", "/v2.0/ports")).json["ports"]
        assert [one["device_id"] for one in ports] == [mine["id"]]
        # what is no device of anybody's may be written, as may any by an administrator
        changed = await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"device_id": "my-appliance"}})
        assert changed.status == 200
        made = await api.as_("admin").make("port", network_id=network_id, project_id=P1, device_id=SERVER)
        assert made["device_id"] == SERVER

    tell(story, tmp_path, config=WITH_SERVERS)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_only_the_cloud_names_ports_the_networks_own(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        network_id, _ = await api.a_network()
        port = await api.make("port", network_id=network_id, device_owner="compute:nova")
        for owner in (
            "network:router_interface",
            "Network:router_interface",
            "NETWORK:DHCP",
            "network:dhcp ",
            " network:dhcp",
            "\u3000network:dhcp",
            "\uff4e\uff45\uff54\uff57\uff4f\uff52\uff4b:dhcp",
            "network\uff1adhcp",
            "networ\u212a:dhcp",
        ):
            body = {"port": {"network_id": network_id, "device_owner": owner}}
            refused(await api("POST", "/v2.0/ports", body), 403, "PolicyNotAuthorized")
            refused(
                await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"device_owner": owner}}),
                403,
                "PolicyNotAuthorized",
            )
        for owner in ("network:\ndhcp", "net\u200bwork:dhcp"):
            body = {"port": {"network_id": network_id, "device_owner": owner}}
            refused(await api("POST", "/v2.0/ports", body), 400, "HTTPBadRequest")
        made = await api.as_("admin").make("port", network_id=network_id, device_owner="Network:Thing ")
        assert made["device_owner"] == "network:thing"

    tell(story, tmp_path, kind)


def test_what_a_port_calls_itself_makes_it_nobodys(tmp_path: Path) -> None:
    """An administrator writes the owners of the network's own ports: no agent takes them for its own."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", "DHCP agent", "L3 agent")
        network_id, subnet_id = await api.a_network()
        router = await api.make("router", name="r")
        plain = await api.make("port", network_id=network_id)
        gateway = [{"subnet_id": subnet_id, "ip_address": "10.0.0.1"}]
        fake = await admin.make(
            "port",
            network_id=network_id,
            project_id=P1,
            device_id=router["id"],
            device_owner="network:router_interface",
            fixed_ips=gateway,
            **{"binding:host_id": "h1"},
        )
        dhcp = await admin.make(
            "port", network_id=network_id, device_owner="network:dhcp", **{"binding:host_id": "h1"}
        )
        (served,) = (await api.dhcp("h1")).networks
        assert [one.gateway_is_router for one in served.subnets] == [False]
        assert served.port.port_id not in (dhcp["id"], plain["id"])
        assert {one.port_id for one in served.hosts} >= {plain["id"], fake["id"], dhcp["id"]}
        assert (await api.routing("h1")).routers == ()
        # and they go like any other
        for port in (fake, dhcp):
            assert (await admin("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        added = await api(
            "PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet_id}
        )
        assert added.status == 200
        (served,) = (await api.dhcp("h1")).networks
        assert [one.gateway_is_router for one in served.subnets] == [True]

    tell(story, tmp_path)


def test_the_networks_own_ports_stay_what_they_are(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", "DHCP agent", "L3 agent")
        await api.node("h2")
        outside_id, _ = await admin.an_outside()
        _, subnet_id = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside_id})
        await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet_id})
        await api.make("floatingip", floating_network_id=outside_id)
        ports = {one["device_owner"]: one for one in (await admin("GET", "/v2.0/ports")).json["ports"]}
        assert ports.keys() == {
            "network:dhcp", "network:router_interface", "network:router_gateway", "network:floatingip"
        }  # fmt: skip
        for owner, port in ports.items():
            for changes in ({"device_owner": ""}, {"device_id": ""}, {"device_owner": "compute:nova"}):
                answer = await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": changes})
                refused(answer, 409, "ServicePortInUse")
            same = {"device_owner": owner, "name": "mine"}
            assert (await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": same})).status == 200
            for none in ([], None):
                emptied = await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"fixed_ips": none}})
                assert emptied.status == {"network:dhcp": 200, "network:floatingip": 409}.get(owner, 400)
            if owner != "network:dhcp":
                refused(await admin("DELETE", f"/v2.0/ports/{port['id']}"), 409, "ServicePortInUse")

    tell(story, tmp_path)


def test_a_port_of_dhcp_comes_back(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", "DHCP agent")
        await api.node("h2")
        network_id, first = await api.a_network()
        second = (await api.make("subnet", network_id=network_id, cidr="10.1.0.0/24", ip_version=4))["id"]
        await api.make("port", network_id=network_id)

        async def dhcp_port() -> dict[str, object]:
            path = f"/v2.0/ports?network_id={network_id}&device_owner=network:dhcp"
            (port,) = (await admin("GET", path)).json["ports"]
            assert port["binding:host_id"] == "h1"
            assert {ip["subnet_id"] for ip in port["fixed_ips"]} == {first, second}
            (served,) = (await api.dhcp("h1")).networks
            assert served.port.port_id == port["id"]
            return dict(port)

        before = await dhcp_port()
        assert (await api("DELETE", f"/v2.0/ports/{before['id']}")).status == 204
        after = await dhcp_port()
        assert after["id"] != before["id"]
        for changes in (
            {"fixed_ips": []},
            {"fixed_ips": [{"subnet_id": first}]},
            {"binding:host_id": "h2"},
            {"binding:host_id": ""},
        ):
            answer = await admin("PUT", f"/v2.0/ports/{after['id']}", {"port": changes})
            assert answer.status == 200
            there = await dhcp_port()
            shown = answer.json["port"]
            assert shown["fixed_ips"] == there["fixed_ips"] and shown["binding:host_id"] == "h1"

    tell(story, tmp_path)


def test_a_port_of_dhcp_comes_when_there_is_room_again(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network_id, _ = await api.a_network("10.0.0.0/30", gateway_ip=None)
        taken = [await api.make("port", network_id=network_id) for _ in range(2)]
        await api.service_agent("h1", "DHCP agent")
        await api.report("h1")
        assert (await api.dhcp("h1")).networks == ()
        assert (await api("DELETE", f"/v2.0/ports/{taken[0]['id']}")).status == 204
        await api.service_agent("h1", "DHCP agent", start=False)
        (served,) = (await api.dhcp("h1")).networks
        assert len(served.port.addresses) == 1
        # an agent that is deleted while it lives is back with its next report, and has all it had
        (agent,) = (await admin("GET", "/v2.0/agents?agent_type=DHCP%20agent")).json["agents"]
        assert (await admin("DELETE", f"/v2.0/agents/{agent['id']}")).status == 204
        await api.service_agent("h1", "DHCP agent", start=False)
        (again,) = (await api.dhcp("h1")).networks
        assert again.network_id == network_id and again.port.addresses == served.port.addresses

    tell(story, tmp_path)


def test_a_routers_port_comes_back_to_the_routers_host(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", "L3 agent")
        await api.node("h2")
        _, subnet_id = await api.a_network()
        router = await api.make("router", name="r")
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        port_id = (await api("PUT", path, {"subnet_id": subnet_id})).json["port_id"]
        answer = await admin("PUT", f"/v2.0/ports/{port_id}", {"port": {"binding:host_id": "h2"}})
        assert answer.status == 200 and answer.json["port"]["binding:host_id"] == "h1"
        (there,) = (await api.routing("h1")).routers
        assert [one.port.port_id for one in there.interfaces] == [port_id]

    tell(story, tmp_path)


def test_an_equal_address_beside_a_routers_subnets_hides_nobody(tmp_path: Path) -> None:
    """Somebody else's network that a router joins may have a subnet of its own that the router is not on."""

    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        network_id, subnet_id = await api.a_network()
        fixed = [{"subnet_id": subnet_id, "ip_address": "10.0.0.9"}]
        guest = await api.make("port", network_id=network_id, fixed_ips=fixed)
        other_id, joined_id = await bob.a_network("10.9.0.0/24")
        await api.as_("admin")("PUT", f"/v2.0/networks/{other_id}", {"network": {"shared": True}})
        beside = await bob.make("subnet", network_id=other_id, cidr="10.0.0.0/24", ip_version=4)
        fixed = [{"subnet_id": beside["id"], "ip_address": "10.0.0.9"}]
        await bob.make("port", network_id=other_id, fixed_ips=fixed)
        router = await api.make("router", name="r")
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet_id})).status == 200
        way = await api.make("port", network_id=other_id, fixed_ips=[{"subnet_id": joined_id}])
        assert (await api("PUT", path, {"port_id": way["id"]})).status == 200
        found = await api.store.read(port_of_address, "10.0.0.9", None, router["id"])
        assert found is not None and found["id"] == guest["id"]

    tell(story, tmp_path)


def test_the_bound_on_addresses_is_for_guests(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "DHCP agent")
        network_id, _ = await api.a_network()
        await api.make("port", network_id=network_id)
        for number in range(1, 8):
            await api.make("subnet", network_id=network_id, cidr=f"10.{number}.0.0/24", ip_version=4)
        (served,) = (await api.dhcp("h1")).networks
        assert len(served.port.addresses) == 8
        await api.make("port", network_id=network_id)
        subnets = (await api("GET", f"/v2.0/networks/{network_id}")).json["network"]["subnets"]
        body = {"port": {"network_id": network_id, "fixed_ips": [{"subnet_id": one} for one in subnets[:6]]}}
        refused(await api("POST", "/v2.0/ports", body), 400, "InvalidInput")

    tell(story, tmp_path)
