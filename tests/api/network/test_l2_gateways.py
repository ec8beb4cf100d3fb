"""L2 gateways: networks on the ports of physical switches, from the API to the nodes that drive them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, Node, tell
from tests.waiting import until

from pileus.services.network.ports.switch_state import NOWHERE
from pileus.wire import scopes
from pileus.wire.agents import AgentReport
from pileus.wire.physical import (
    LearnedAddress,
    PhysicalAttachment,
    PhysicalState,
    PhysicalStateRequest,
    PhysicalStatus,
    PhysicalSwitch,
)

GATEWAYS, CONNECTIONS = "/v2.0/l2-gateways", "/v2.0/l2-gateway-connections"
NOBODY = "11111111-2222-3333-4444-555555555555"
TOR = PhysicalSwitch(name="tor", kind="vtep", ports=("p1", "p2"), tunnel_ip="192.0.2.9")
CLI = PhysicalSwitch(name="cli", kind="ssh", ports=("e1",))


async def drives(api: Cloud, host: str, *switches: PhysicalSwitch) -> PhysicalState:
    answer = await api.wire["physical_state"](PhysicalStateRequest(host, switches), Node(host))
    assert isinstance(answer, PhysicalState)
    return answer


async def alive(api: Cloud, host: str) -> None:
    report = AgentReport(
        host=host,
        binary="neutron-l2gateway-agent",
        agent_type="L2 Gateway agent",
        topic="l2gateway_agent",
        started_at="2026-01-01 00:00:00",
        configurations={},
        start=True,
    )
    await api.wire["agent_report"](report, Node(host))


def device(*interfaces: str, name: str = "tor", vlans: list[Any] | None = None) -> dict[str, Any]:
    extra = {} if vlans is None else {"segmentation_id": vlans}
    return {"device_name": name, "interfaces": [{"name": one, **extra} for one in interfaces]}


async def gateway(api: Cloud, *devices: dict[str, Any], **values: Any) -> dict[str, Any]:
    answer = await api.as_("admin")("POST", GATEWAYS, {"l2_gateway": {"devices": list(devices), **values}})
    assert answer.status == 201, answer
    return answer.json["l2_gateway"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_network_reaches_a_port_of_a_switch(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1")
        await alive(api, "h9")
        assert (await drives(api, "h9", TOR, CLI)).attachments == ()
        network, _ = await api.a_network()
        port = await admin.make("port", network_id=network, **{"binding:host_id": "h1"})
        made = await gateway(api, device("p1", "p2"), name="rack")
        assert made["devices"] == [
            {
                "id": made["devices"][0]["id"],
                "device_name": "tor",
                "interfaces": [
                    {"name": "p1", "segmentation_id": []},
                    {"name": "p2", "segmentation_id": []},
                ],
            }
        ]
        told: set[str] = set()
        await api.listen(lambda published: told.update(published.scopes))
        body = {"l2_gateway_id": made["id"], "network_id": network, "segmentation_id": "7"}
        answer = await admin("POST", CONNECTIONS, {"l2_gateway_connection": body})
        connection = answer.json["l2_gateway_connection"]
        assert (answer.status, connection["segmentation_id"]) == (201, 7)
        await until(lambda: {scopes.physical("h9"), scopes.network(network), scopes.tunnels()} <= told)
        assert (await admin("GET", f"{CONNECTIONS}?network_id={network}")).json == {
            "l2_gateway_connections": [connection]
        }

        state = await drives(api, "h9", TOR, CLI)
        assert state.attachments == tuple(PhysicalAttachment("tor", one, 7, network) for one in ("p1", "p2"))
        (carried,) = state.networks
        assert carried.segment.network_type == "vxlan"
        ways = {(one.mac_address, one.host, one.tunneling_ip) for one in carried.forwarding}
        assert ways == {(port["mac_address"], "h1", "192.0.2.1"), (NOWHERE, "tor", "192.0.2.9")}
        here = await api.switch("h1")
        assert {one.host: one.tunneling_ip for one in here.tunnels} == {"tor": "192.0.2.9"}
        assert [one.mac_address for one in here.networks[0].forwarding] == [NOWHERE]

        # Machines that the switch has seen have a way of their own; a node speaks of its own switches.
        told.clear()
        seen = LearnedAddress(network, "52:54:00:00:00:01")
        stray = LearnedAddress(NOBODY, "52:54:00:00:00:02")
        status = PhysicalStatus("h9", {"tor": (seen, stray)}, {"cli": "broken"})
        await api.wire["physical_status"](status, Node("h9"))
        await until(lambda: scopes.network(network) in told)
        await api.wire["physical_status"](PhysicalStatus("h8", {"tor": ()}), Node("h8"))
        here = await api.switch("h1", networks=(network,))
        assert [one.mac_address for one in here.networks[0].forwarding] == [NOWHERE, "52:54:00:00:00:01"]
        await api.wire["physical_status"](PhysicalStatus("h9", {"tor": ()}), Node("h9"))
        here = await api.switch("h1", networks=(network,))
        assert [one.mac_address for one in here.networks[0].forwarding] == [NOWHERE]

        used = await admin("DELETE", f"{GATEWAYS}/{made['id']}")
        assert (used.status, used.error) == (409, "L2GatewayInUse")
        assert (await admin("PUT", f"{GATEWAYS}/{made['id']}", {"l2_gateway": {"name": "n"}})).status == 200
        devices = {"l2_gateway": {"devices": [device("p1")]}}
        assert (await admin("PUT", f"{GATEWAYS}/{made['id']}", devices)).status == 409
        assert (await admin("DELETE", f"{CONNECTIONS}/{connection['id']}")).status == 204
        assert (await drives(api, "h9", TOR, CLI)).attachments == ()
        assert (await api.switch("h1")).tunnels == ()
        changed = await admin("PUT", f"{GATEWAYS}/{made['id']}", devices)
        assert [one["name"] for one in changed.json["l2_gateway"]["devices"][0]["interfaces"]] == ["p1"]
        assert (await admin("DELETE", f"{GATEWAYS}/{made['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_what_can_not_be_connected(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await alive(api, "h9")
        await drives(api, "h9", TOR, CLI)
        network, _ = await api.a_network()
        other = (await api.make("network"))["id"]
        vlan = await admin.make("network", **{"provider:network_type": "vlan"})
        number = vlan["provider:segmentation_id"]
        for devices, message in (
            ([], "Cannot create a gateway with an empty device list"),
            ([{"device_name": "", "interfaces": [{"name": "p"}]}], "an empty device_name"),
            ([{"device_name": "tor"}], "an empty interfaces"),
            ([{"device_name": "tor", "interfaces": "p1"}], "not a type list of dicts"),
            ([{"device_name": "tor", "interfaces": ["p1"]}], "not a type dict"),
            ([{"device_name": "tor", "interfaces": [{"name": ""}]}], "an empty interface name"),
            ([device("p1", vlans=[])], "segmentation_id_list should not be empty"),
            ([device("p1", vlans=["x"])], "Segmentation id must be a valid integer"),
            ([device("p1", vlans=[4095])], "Segmentation id is out of range"),
        ):
            answer = await admin("POST", GATEWAYS, {"l2_gateway": {"devices": devices}})
            assert answer.status == 400 and message in answer.message, answer
        mixed = [device("p1", vlans=[5]), device("p2")]
        answer = await admin("POST", GATEWAYS, {"l2_gateway": {"devices": mixed}})
        assert (answer.status, answer.error) == (409, "L2GatewaySegmentationRequired")
        assert (await api("POST", GATEWAYS, {"l2_gateway": {"devices": [device("p1")]}})).status == 403
        assert (await api("GET", GATEWAYS)).json == {"l2_gateways": []}

        plain = (await gateway(api, device("p1")))["id"]
        said = (await gateway(api, device("p1", vlans=[5, 6])))["id"]
        absent = (await gateway(api, device("p1", name="gone")))["id"]
        no_port = (await gateway(api, device("p9")))["id"]
        cli = (await gateway(api, device("e1", name="cli")))["id"]
        ok = {"l2_gateway_id": plain, "network_id": network, "segmentation_id": 7}
        assert (await admin("POST", CONNECTIONS, {"l2_gateway_connection": ok})).status == 201
        for values, status, error in (
            ({}, 409, "L2GatewayDuplicateSegmentationID"),
            ({"network_id": network, "segmentation_id": 8}, 409, "L2GatewayConnectionExists"),
            ({"segmentation_id": ""}, 400, "InvalidInput"),
            ({"segmentation_id": 4095}, 400, "InvalidInput"),
            ({"l2_gateway_id": said}, 400, "InvalidInput"),
            ({"l2_gateway_id": NOBODY}, 404, "L2GatewayNotFound"),
            ({"network_id": NOBODY}, 404, "NetworkNotFound"),
            ({"l2_gateway_id": absent}, 404, "L2GatewayDeviceNotFound"),
            ({"l2_gateway_id": no_port}, 404, "L2GatewayPhysicalPortNotFound"),
            ({"network_id": vlan["id"], "segmentation_id": 9}, 404, "VxlanSegmentationIDNotFound"),
            ({"l2_gateway_id": cli}, 400, "InvalidInput"),
            ({"l2_gateway_id": cli, "network_id": vlan["id"], "segmentation_id": 9}, 400, "InvalidInput"),
        ):
            body = {**ok, "network_id": other, **values}
            answer = await admin("POST", CONNECTIONS, {"l2_gateway_connection": body})
            assert (answer.status, answer.error) == (status, error), (values, answer)
        for values in (
            {"l2_gateway_id": said, "segmentation_id": ""},
            {"l2_gateway_id": cli, "network_id": vlan["id"], "segmentation_id": number},
        ):
            answer = await admin("POST", CONNECTIONS, {"l2_gateway_connection": {**ok, **values}})
            assert answer.status == 201, answer
        assert answer.json["l2_gateway_connection"]["segmentation_id"] == number
        # A network that goes takes its connections along.
        assert (await api("DELETE", f"/v2.0/networks/{network}")).status == 204
        left = (await admin("GET", CONNECTIONS)).json["l2_gateway_connections"]
        assert [one["network_id"] for one in left] == [vlan["id"]]

    tell(story, tmp_path)


def test_a_switch_is_one_nodes_while_its_agent_lives(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await alive(api, "h9")
        await api.report("h1", tunneling_ip="192.0.2.1")
        assert (await drives(api, "h9", TOR)).refused == ()
        await alive(api, "h8")
        assert (await drives(api, "h8", TOR)).refused == ("tor",)
        named_as_a_node = PhysicalSwitch(name="h1", kind="vtep", ports=("p1",), tunnel_ip="192.0.2.66")
        assert (await drives(api, "h8", named_as_a_node)).refused == ("h1",)
        api.clock.advance(1000)
        await alive(api, "h8")
        assert (await drives(api, "h8", TOR)).refused == ()
        await alive(api, "h9")
        assert (await drives(api, "h9", TOR)).refused == ("tor",)

    tell(story, tmp_path)
