"""Port forwardings: their life, what they collide with, and what ends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, Node, tell
from tests.api.network.test_floating_ips import Place, a_place, change
from tests.api.network.test_routers import act, refused

from pileus.wire.l3 import L3Status, PortForwarding


async def ask(api: Cloud, floating: dict[str, Any], **values: Any) -> Answer:
    body = {"port_forwarding": {"protocol": "tcp", **values}}
    return await api("POST", f"/v2.0/floatingips/{floating['id']}/port_forwardings", body)


async def made(api: Cloud, floating: dict[str, Any], **values: Any) -> dict[str, Any]:
    answer = await ask(api, floating, **values)
    assert answer.status == 201, answer
    one: dict[str, Any] = answer.json["port_forwarding"]
    return one


async def shown(api: Cloud, floating: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await api("GET", f"/v2.0/floatingips/{floating['id']}")).json["floatingip"]
    return found


async def place_and_address(api: Cloud) -> tuple[Place, dict[str, Any]]:
    place = await a_place(api)
    return place, await api.make("floatingip", floating_network_id=place.outside)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_port_forwarding(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place, floating = await place_and_address(api)
        port = place.port["id"]
        fixed = place.port["fixed_ips"][0]["ip_address"]
        one = await made(api, floating, internal_port_id=port, internal_port=22, external_port=2222)
        assert one == {
            "id": one["id"],
            "internal_port_id": port,
            "internal_ip_address": fixed,
            "protocol": "tcp",
            "internal_port": 22,
            "internal_port_range": "22:22",
            "external_port": 2222,
            "external_port_range": "2222:2222",
            "description": "",
        }
        path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
        assert (await api("GET", f"{path}/{one['id']}")).json["port_forwarding"] == one
        after = await shown(api, floating)
        assert after["router_id"] == place.router["id"] and after["port_id"] is None
        assert after["revision_number"] > floating["revision_number"]
        assert after["port_forwardings"] == [
            {
                "id": one["id"],
                "protocol": "tcp",
                "internal_port_id": port,
                "internal_ip_address": fixed,
                "internal_port": 22,
                "external_port": 2222,
            }
        ]
        ranged = await made(
            api,
            floating,
            internal_port_id=port,
            protocol="udp",
            internal_port_range="8000:8009",
            external_port_range="80:89",
        )
        assert (ranged["internal_port"], ranged["external_port"]) == (None, None)
        found = (await api("GET", f"{path}?protocol=udp&fields=external_port_range")).json["port_forwardings"]
        assert found == [{"external_port_range": "80:89"}]
        moved = await api("PUT", f"{path}/{one['id']}", {"port_forwarding": {"internal_port": 23}})
        assert moved.json["port_forwarding"] == {**one, "internal_port": 23, "internal_port_range": "23:23"}
        # It leads to a port whole no more, and does not go, while it forwards.
        refused(await change(api, floating, port_id=port), 409, "FipInUseByPortForwarding", floating["id"])
        gone = await api("DELETE", f"/v2.0/floatingips/{floating['id']}")
        refused(gone, 409, "FipInUseByPortForwarding")
        freed = await change(api, floating, port_id=None)
        assert freed.status == 200 and freed.json["floatingip"]["router_id"] == place.router["id"]
        gone = await act(api, place.router, "remove_router_interface", subnet_id=place.subnet)
        refused(gone, 409, "RouterInterfaceInUseByFloatingIP")
        cleared = await api(
            "PUT", f"/v2.0/routers/{place.router['id']}", {"router": {"external_gateway_info": {}}}
        )
        refused(cleared, 409, "RouterExternalGatewayInUseByFloatingIp")
        for each in (one, ranged):
            assert (await api("DELETE", f"{path}/{each['id']}")).status == 204
        refused(await api("GET", f"{path}/{one['id']}"), 404, "PortForwardingNotFound", one["id"])
        assert (await shown(api, floating))["router_id"] is None
        assert (await api("DELETE", f"/v2.0/floatingips/{floating['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_what_collides(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place, floating = await place_and_address(api)
        port = {"internal_port_id": place.port["id"]}
        await made(api, floating, **port, internal_port_range="100:109", external_port_range="200:209")
        outside = await ask(api, floating, **port, internal_port=1, external_port=205)
        refused(outside, 400, "BadRequest", "Bad port_forwarding request: There is a port collision with")
        refused(outside, 400, "BadRequest", "external_port_range", "collide: 200:209 and 205:205.")
        inside = await ask(api, floating, **port, internal_port=105, external_port=1)
        refused(inside, 400, "BadRequest", "internal_port_range", "collide: 100:109 and 105:105.")
        other = await api.make("floatingip", floating_network_id=place.outside)
        inside = await ask(api, other, **port, internal_port_range="90:100", external_port_range="90:100")
        refused(inside, 400, "BadRequest", "internal_port_range")
        both = [{**port, "protocol": "tcp", "internal_port": 5, "external_port": n} for n in (6, 7)]
        bulk = await api(
            "POST", f"/v2.0/floatingips/{other['id']}/port_forwardings", {"port_forwardings": both}
        )
        refused(bulk, 400, "BadRequest", "internal_port_range")
        assert (await shown(api, other))["port_forwardings"] == []
        await made(api, other, **port, protocol="udp", internal_port=105, external_port=205)
        one = await made(api, other, **port, internal_port=7, external_port=7)
        path = f"/v2.0/floatingips/{other['id']}/port_forwardings/{one['id']}"
        moved = await api("PUT", path, {"port_forwarding": {"internal_port": 100}})
        refused(moved, 400, "BadRequest", "There is a port collision with the internal_port_range")
        beside = await made(api, other, **port, internal_port=8, external_port=8)
        moved = await api("PUT", path, {"port_forwarding": {"external_port": 8}})
        refused(moved, 400, "BadRequest", "Another port forwarding entry with the same attributes already")
        refused(moved, 400, "BadRequest", f"'floating_ip_address': '{other['floating_ip_address']}'")
        moved = await api("PUT", path, {"port_forwarding": {"internal_port": 8}})
        refused(moved, 400, "BadRequest", "'internal_port': 8")
        assert beside["id"] != one["id"]

    tell(story, tmp_path)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place, floating = await place_and_address(api)
        port = {"internal_port_id": place.port["id"]}
        good = {**port, "internal_port": 1, "external_port": 1}
        for values, words in (
            ({"external_port": 70000}, "external_port. Reason: '70000' is too large"),
            ({"protocol": "icmp"}, "Invalid input for protocol. Reason: icmp is not in ['tcp', 'udp']"),
            ({"external_port_range": "1:2:3"}, "Port range must be two integers separated by a colon"),
            ({"external_port_range": "0:3"}, "Invalid port: 0, the port must be in the range [1, 65535]"),
            ({"external_port_range": "x"}, "Invalid port: x"),
            ({"external_port_range": "9:3"}, "First port in a port range must be lower than the second"),
        ):
            refused(await ask(api, floating, **{**good, **values}), 400, "HTTPBadRequest", words)
        for values, words in (
            ({"internal_port_range": "1:3", "external_port_range": "1:2"}, "must be N-N or 1-N"),
            ({"internal_port": 1}, "external_port or external_port_range must be specified"),
            ({**good, "internal_port_range": "1:2"}, "internal_port_range can not be specified together"),
            ({**good, "internal_ip_address": "10.99.0.250"}, "is not suitable for internal neutron port"),
        ):
            refused(await ask(api, floating, **{**port, **values}), 400, "BadRequest", words)
        refused(await ask(api, {"id": place.subnet}, **good), 404, "FloatingIPNotFound")
        refused(await ask(api.as_("bob"), floating, **good), 404, "FloatingIPNotFound")
        refused(await ask(api, floating, **{**good, "internal_port_id": place.subnet}), 404, "PortNotFound")
        refused(await ask(api.as_("reader"), floating, **good), 403, "PolicyNotAuthorized")
        apart, _ = await api.a_network("10.1.0.0/24")
        lost = await api.make("port", network_id=apart)
        words = (
            f"is not reachable from subnet {lost['fixed_ips'][0]['subnet_id']}. Cannot set Port forwarding"
        )
        refused(
            await ask(api, floating, **{**good, "internal_port_id": lost["id"]}), 400, "BadRequest", words
        )
        six, _ = await api.a_network("fd00::/64")
        lost = await api.make("port", network_id=six)
        refused(
            await ask(api, floating, **{**good, "internal_port_id": lost["id"]}),
            400,
            "BadRequest",
            "must allocate an IPv4 address at least",
        )
        # A port that has a floating IP of its own, and a floating IP that leads to a port whole.
        leading = await api.make("floatingip", floating_network_id=place.outside, port_id=place.port["id"])
        refused(await ask(api, floating, **good), 409, "PortHasBindingFloatingIP", leading["id"])
        other = await api.make("port", network_id=place.network)
        taken = await ask(api, leading, **{**good, "internal_port_id": other["id"]})
        refused(taken, 409, "FloatingIPPortAlreadyAssociated")

    tell(story, tmp_path)


def test_what_ends_a_forwarding(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place, floating = await place_and_address(api)
        two = [{"ip_address": "10.0.0.100"}, {"ip_address": "10.0.0.101"}]
        both = await api.make("port", network_id=place.network, fixed_ips=two)
        for number, ip in enumerate(two, 1):
            await made(
                api,
                floating,
                internal_port_id=both["id"],
                internal_ip_address=ip["ip_address"],
                internal_port=80,
                external_port=number,
            )
        await api("PUT", f"/v2.0/ports/{both['id']}", {"port": {"fixed_ips": two[1:]}})
        (left,) = (await shown(api, floating))["port_forwardings"]
        assert left["internal_ip_address"] == "10.0.0.101"
        assert (await api("DELETE", f"/v2.0/ports/{both['id']}")).status == 204
        after = await shown(api, floating)
        assert (after["port_forwardings"], after["router_id"]) == ([], None)

    tell(story, tmp_path)


def test_what_an_agent_is_told_and_tells(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "L3 agent")
        place, floating = await place_and_address(api)
        port = place.port["id"]
        one = await made(api, floating, internal_port_id=port, internal_port=80, external_port_range="80:89")
        (router,) = (await api.routing("h1")).routers
        assert router.port_forwardings == (
            PortForwarding(
                port_forwarding_id=one["id"],
                floating_ip_id=floating["id"],
                floating_ip_address=floating["floating_ip_address"],
                protocol="tcp",
                external_first=80,
                external_last=89,
                fixed_ip_address=place.port["fixed_ips"][0]["ip_address"],
                internal_first=80,
                internal_last=80,
            ),
        )
        await api.wire["l3_status"](L3Status(host="h1", floating_ips=(floating["id"],)), Node("h1"))
        assert (await shown(api, floating))["status"] == "ACTIVE"
        await api("DELETE", f"/v2.0/floatingips/{floating['id']}/port_forwardings/{one['id']}")
        assert (await shown(api, floating))["status"] == "DOWN"
        (router,) = (await api.routing("h1")).routers
        assert router.port_forwardings == ()

    tell(story, tmp_path)
