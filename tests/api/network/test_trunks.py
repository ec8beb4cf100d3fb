"""Trunks: which ports may be in one, where subports are, what nodes are told, and the state that follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, tell
from tests.waiting import until

from pileus.wire import scopes

PATH = "/v2.0/trunks"


def vlan(port: dict[str, Any], number: int) -> dict[str, Any]:
    return {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": number}


async def ports_in(api: Cloud, count: int, cidr: str = "10.0.0.0/24", **values: Any) -> list[dict[str, Any]]:
    network_id, _ = await api.a_network(cidr)
    return [await api.make("port", network_id=network_id, **values) for _ in range(count)]


async def refused(api: Cloud, path: str, body: Any, status: int, verb: str = "PUT") -> str:
    answer = await api(verb, path, body)
    assert answer.status == status, answer
    return str(answer.message)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_trunk_comes_changes_and_goes(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        parent, one, two = await ports_in(api, 3)
        trunk = await api.make("trunk", port_id=parent["id"], sub_ports=[vlan(one, 101)], name="t")
        assert (trunk["status"], trunk["admin_state_up"], trunk["sub_ports"]) == (
            "DOWN",
            True,
            [vlan(one, 101)],
        )
        path = f"{PATH}/{trunk['id']}"
        assert (await api("GET", path)).json["trunk"] == trunk
        seen = (await api("GET", f"/v2.0/ports/{one['id']}")).json["port"]
        assert (seen["device_owner"], seen["device_id"]) == ("trunk:subport", trunk["id"])
        assert seen["trunk_details"] is None
        added = await api("PUT", f"{path}/add_subports", {"sub_ports": [vlan(two, 102)]})
        assert added.json["sub_ports"] == [vlan(one, 101), vlan(two, 102)]
        assert added.json["revision_number"] > trunk["revision_number"]
        details = (await api("GET", f"/v2.0/ports/{parent['id']}")).json["port"]["trunk_details"]
        assert details == {
            "trunk_id": trunk["id"],
            "sub_ports": [
                {**vlan(port, number), "mac_address": port["mac_address"]}
                for port, number in ((one, 101), (two, 102))
            ],
        }
        left = await api("PUT", f"{path}/remove_subports", {"sub_ports": [{"port_id": one["id"]}]})
        assert left.json["sub_ports"] == [vlan(two, 102)]
        assert (await api("GET", f"{path}/get_subports")).json == {"sub_ports": [vlan(two, 102)]}
        freed = (await api("GET", f"/v2.0/ports/{one['id']}")).json["port"]
        assert (freed["device_owner"], freed["device_id"]) == ("", "")
        for port, what in ((parent, "a parent port for"), (two, "a subport for")):
            message = await refused(api, f"/v2.0/ports/{port['id']}", None, 409, "DELETE")
            assert message == f"Port {port['id']} is currently {what} trunk {trunk['id']}."
        off = await api("PUT", path, {"trunk": {"admin_state_up": False, "description": "off"}})
        assert off.json["trunk"]["description"] == "off"
        disabled = f"Trunk {trunk['id']} is currently disabled."
        assert await refused(api, path, None, 409, "DELETE") == disabled
        body = {"sub_ports": [vlan(one, 5)]}
        assert await refused(api, f"{path}/add_subports", body, 409) == disabled
        assert await refused(api, f"{path}/remove_subports", body, 409) == disabled
        assert (await api("PUT", path, {"trunk": {"admin_state_up": True}})).status == 200
        assert (await api("DELETE", path)).status == 204
        for port in (parent, one, two):
            assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        parent, one, two, other = await ports_in(api, 4)
        (used,) = await ports_in(api, 1, "10.1.0.0/24", device_id="somebody")
        nobody = "11111111-2222-3333-4444-555555555555"
        body = {"trunk": {"port_id": nobody}}
        assert await refused(api, PATH, body, 404, "POST") == f"Port {nobody} could not be found."
        trunk = await api.make("trunk", port_id=parent["id"], sub_ports=[vlan(one, 7)])
        add = f"{PATH}/{trunk['id']}/add_subports"
        for wrong, status, why in (
            (vlan(two, 7), 409, "segmentation_type vlan and segmentation_id 7 already in use on trunk"),
            (vlan(one, 8), 409, f"Port {one['id']} is in use by another trunk."),
            (vlan(parent, 8), 409, f"Port {parent['id']} is currently in use and is not eligible"),
            (vlan(used, 8), 409, f"Unable to complete operation on port {used['id']} for network"),
            ({"port_id": nobody, "segmentation_type": "vlan", "segmentation_id": 8}, 404, f"Port {nobody}"),
            ({"port_id": two["id"], "segmentation_type": "vlan"}, 400, "missing segmentation information"),
            (
                {"port_id": two["id"], "segmentation_type": "qinq", "segmentation_id": 1},
                400,
                "Unknown segmentation_type 'qinq'",
            ),
            (
                {"port_id": two["id"], "segmentation_type": "inherit"},
                400,
                "Unknown segmentation_type 'vxlan'",
            ),
            (vlan(two, 4095), 400, "Segmentation ID '4095' is not in range"),
            (vlan(two, 0), 400, "Segmentation ID '0' is not in range"),
            ({**vlan(two, 1), "segmentation_id": "x"}, 400, "segmentation_id 'x' is not an integer"),
            ({"segmentation_type": "vlan", "segmentation_id": 3}, 400, "A valid port UUID must be specified"),
            ("text", 400, "Invalid data format for subport: 'text' is not a dict"),
        ):
            assert why in await refused(api, add, {"sub_ports": [wrong]}, status)
        assert "is not a list" in await refused(api, add, {"sub_ports": vlan(two, 9)}, 400)
        twice = [vlan(two, 9), vlan(other, 9)]
        assert "is not unique" in await refused(api, add, {"sub_ports": twice}, 400)
        again = {"trunk": {"port_id": parent["id"]}}
        assert "not eligible for use as a parent port" in await refused(api, PATH, again, 409, "POST")
        child = {"trunk": {"port_id": one["id"]}}
        assert "is in use by another trunk" in await refused(api, PATH, child, 409, "POST")
        remove = f"{PATH}/{trunk['id']}/remove_subports"
        message = await refused(api, remove, {"sub_ports": [vlan(two, 1)]}, 404)
        assert message == f"SubPort on trunk {trunk['id']} with parent port {two['id']} could not be found."
        assert (await api("GET", f"{PATH}/{trunk['id']}")).json["trunk"]["sub_ports"] == [vlan(one, 7)]

    tell(story, tmp_path)


def test_subports_are_where_their_parent_is_and_the_state_follows(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1")
        await api.report("h2")
        parent, one, two = await ports_in(api, 3)
        trunk = await api.make("trunk", port_id=parent["id"], sub_ports=[vlan(one, 11)])
        admin = api.as_("admin")

        async def state() -> str:
            return str((await api("GET", f"{PATH}/{trunk['id']}")).json["trunk"]["status"])

        async def hosts() -> list[str]:
            listed = (await admin("GET", "/v2.0/ports")).json["ports"]
            by_id = {port["id"]: port["binding:host_id"] for port in listed}
            return [by_id[port["id"]] for port in (parent, one, two)]

        moved = await admin("PUT", f"/v2.0/ports/{parent['id']}", {"port": {"binding:host_id": "h1"}})
        assert moved.status == 200
        assert await hosts() == ["h1", "h1", ""]
        path = f"{PATH}/{trunk['id']}"
        told: set[str] = set()
        await api.listen(lambda published: told.update(published.scopes))
        await api("PUT", f"{path}/add_subports", {"sub_ports": [vlan(two, 12)]})
        # The host knows the parent, not yet the subport; the one brings the other along.
        await until(lambda: scopes.port(parent["id"]) in told)
        asked = (await api.switch("h1", devices=(parent["id"],))).devices
        assert {one.port_id for one in asked} == {parent["id"], one["id"], two["id"]}
        assert await hosts() == ["h1", "h1", "h1"]
        devices = {one.port_id: one for one in (await api.switch("h1")).devices}
        assert (devices[one["id"]].parent_id, devices[one["id"]].vlan_id) == (parent["id"], 11)
        assert (devices[parent["id"]].parent_id, devices[parent["id"]].vlan_id) == (None, 0)
        assert await state() == "DOWN"
        await api.status("h1", up=(parent["id"], one["id"]))
        assert await state() == "BUILD"
        await api.status("h1", up=(two["id"],))
        assert await state() == "ACTIVE"
        await api("PUT", f"{path}/remove_subports", {"sub_ports": [vlan(two, 12)]})
        assert await hosts() == ["h1", "h1", ""]
        assert await state() == "ACTIVE"
        await api.status("h1", down=(parent["id"],))
        assert await state() == "DOWN"
        await admin("PUT", f"/v2.0/ports/{parent['id']}", {"port": {"binding:host_id": "h2"}})
        assert await hosts() == ["h2", "h2", ""]
        assert (await api.switch("h1")).devices == ()

    tell(story, tmp_path)


def test_other_projects_see_no_trunk_and_use_no_port_of_others(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        parent, mine = await ports_in(api, 2)
        trunk = await api.make("trunk", port_id=parent["id"])
        other = api.as_("bob")
        assert (await other("GET", f"{PATH}/{trunk['id']}")).status == 404
        assert (await other("GET", PATH)).json["trunks"] == []
        body = {"trunk": {"port_id": mine["id"]}}
        assert (await other("POST", PATH, body)).status == 404

    tell(story, tmp_path)
