"""Prefixes of subnet pools that come and go, and networks that are made for projects on demand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell


def test_prefixes_of_a_pool_come_and_go(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        pool = await api.make("subnetpool", name="p", prefixes=["192.168.1.0/24", "10.10.10.0/24"])
        path = f"/v2.0/subnetpools/{pool['id']}"

        async def ask(verb: str, *several: Any, person: Cloud = api) -> Any:
            return await person("PUT", f"{path}/{verb}", {"prefixes": list(several)})

        added = await ask("add_prefixes", "192.168.0.0/24", "10.10.0.0/16")
        assert (added.status, added.json) == (200, {"prefixes": ["10.10.0.0/16", "192.168.0.0/23"]})
        removed = await ask("remove_prefixes", "192.168.1.0/24", "10.10.128.0/17", "172.16.0.0/12")
        assert removed.json == {"prefixes": ["10.10.0.0/17", "192.168.0.0/24"]}
        assert (await api("GET", path)).json["subnetpool"]["prefixes"] == removed.json["prefixes"]
        assert (await ask("remove_prefixes", "8.8.8.0/24")).json == removed.json
        network = await api.make("network")
        await api.make(
            "subnet", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"], cidr="10.10.3.0/24"
        )
        used = await ask("remove_prefixes", "10.10.0.0/22")
        assert (used.status, used.error) == (400, "IllegalSubnetPoolPrefixUpdate")
        assert "in use by a subnet" in used.message
        for wrong in ([], ["nonsense"]):
            assert (await ask("add_prefixes", *wrong)).status == 400
        assert (await api("PUT", f"{path}/add_prefixes", {"prefix": "10.0.0.0/8"})).status == 400
        mixed = await ask("add_prefixes", "2001:db8::/48")
        assert (mixed.status, mixed.error) == (400, "PrefixVersionMismatch")
        assert (await ask("add_prefixes", "10.99.0.0/16", person=api.as_("bob"))).status == 404
        assert (await ask("add_prefixes", "10.99.0.0/16", person=api.as_("reader"))).status == 403

    tell(story, tmp_path)


def test_only_its_owner_says_what_is_in_a_shared_scope(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        scope = await admin.make("address_scope", name="s", ip_version=4, shared=True)
        pool = await api.make("subnetpool", name="p", prefixes=["20.0.0.0/18"], address_scope_id=scope["id"])
        path = f"/v2.0/subnetpools/{pool['id']}"
        body = {"subnetpool": {"prefixes": ["20.0.0.0/18", "40.0.0.0/18"]}}
        refused = await api("PUT", path, body)
        assert (refused.status, refused.error) == (400, "IllegalSubnetPoolUpdate")
        assert (await admin("PUT", path, body)).status == 200

    tell(story, tmp_path)


def test_subnets_of_a_network_are_taken_into_a_pool(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, subnet = await api.a_network("10.7.0.0/24")
        api.clock.advance(1)  # they come in the order in which they were made
        second = await api.make("subnet", network_id=network, ip_version=4, cidr="10.7.1.0/24")
        await api.make("subnet", network_id=network, ip_version=6, cidr="2001:db8::/64")
        pool = await api.make("subnetpool", name="p", prefixes=["10.8.0.0/16"])
        path = f"/v2.0/subnetpools/{pool['id']}"

        async def onboard(wanted: Any, person: Cloud = api) -> Any:
            return await person("PUT", f"{path}/onboard_network_subnets", {"network_id": wanted})

        done = await onboard(network)
        assert done.json == [
            {"id": subnet, "cidr": "10.7.0.0/24"},
            {"id": second["id"], "cidr": "10.7.1.0/24"},
        ]
        assert (await api("GET", path)).json["subnetpool"]["prefixes"] == ["10.7.0.0/23", "10.8.0.0/16"]
        shown = (await api("GET", f"/v2.0/subnets?network_id={network}&ip_version=4")).json["subnets"]
        assert {one["subnetpool_id"] for one in shown} == {pool["id"]}
        again = await onboard(network)
        assert (again.status, again.error) == (400, "IllegalSubnetPoolUpdate")
        assert (await onboard(None)).error == "InvalidInput"
        missing = await onboard(pool["id"])
        assert (missing.status, missing.error) == (404, "NetworkNotFound")
        shared = await api.as_("admin").make("network", shared=True)
        assert (await onboard(shared["id"])).status == 403

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_project_gets_a_network_by_asking_for_one(kind: str, tmp_path: Path) -> None:
    path = "/v2.0/auto-allocated-topology"

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def refused(text: str) -> None:
            answer = await api("GET", f"{path}/None?fields=dry-run")
            assert (answer.status, answer.error, text in answer.message) == (
                409,
                "AutoAllocationFailure",
                True,
            )

        await refused("No default router:external network")
        outside, _ = await admin.an_outside()
        await admin("PUT", f"/v2.0/networks/{outside}", {"network": {"is_default": True}})
        await refused("No default subnetpools defined")
        for prefix in ("10.64.0.0/16", "2001:db8::/48"):
            values = {"prefixes": [prefix], "is_default": True, "shared": True, "default_prefixlen": 64}
            if "." in prefix:
                values["default_prefixlen"] = 26
            await admin.make("subnetpool", name="default", **values)
        dry = await api("GET", f"{path}/None?fields=dry-run")
        assert dry.json["auto_allocated_topology"] == {
            "id": "dry-run=pass",
            "project_id": P1,
            "tenant_id": P1,
        }
        assert (await api("GET", f"{path}/None?fields=id")).status == 400
        assert (await api("GET", f"{path}/{P2}")).status == 403
        assert (await api("GET", "/v2.0/networks?name=auto_allocated_network")).json == {"networks": []}

        answers = await asyncio.gather(*(api("GET", f"{path}/{who}") for who in ("None", P1, P1)))
        assert {one.status for one in answers} == {200}
        (network_id,) = {one.json["auto_allocated_topology"]["id"] for one in answers}
        network = (await api("GET", f"/v2.0/networks/{network_id}")).json["network"]
        assert (network["name"], network["project_id"]) == ("auto_allocated_network", P1)
        subnets = (await api("GET", f"/v2.0/subnets?network_id={network_id}")).json["subnets"]
        assert sorted(one["name"] for one in subnets) == [
            "auto_allocated_subnet_v4",
            "auto_allocated_subnet_v6",
        ]
        (router,) = (await api("GET", "/v2.0/routers")).json["routers"]
        assert router["external_gateway_info"]["network_id"] == outside
        ports = (await api("GET", f"/v2.0/ports?device_id={router['id']}")).json["ports"]
        assert {ip["subnet_id"] for one in ports for ip in one["fixed_ips"]} >= {one["id"] for one in subnets}

        port = await api.make("port", network_id=network_id)
        used = await api("DELETE", f"{path}/{P1}")
        assert (used.status, used.error) == (409, "NetworkInUse")
        assert len((await api("GET", "/v2.0/routers")).json["routers"]) == 1
        await api("DELETE", f"/v2.0/ports/{port['id']}")
        for _ in range(2):
            assert (await api("DELETE", f"{path}/{P1}")).status == 204
        assert (await api("GET", "/v2.0/routers")).json == {"routers": []}
        assert (await api("GET", f"/v2.0/networks/{network_id}")).status == 404
        assert (await api("GET", f"{path}/{P1}")).json["auto_allocated_topology"]["id"] != network_id

    tell(story, tmp_path, kind)


def test_one_external_network_is_the_default_one(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        first = await admin.make("network", is_default=True, **{"router:external": True})
        second = await admin.make("network", **{"router:external": True})
        path = f"/v2.0/networks/{second['id']}"
        refused = await admin("PUT", path, {"network": {"is_default": True}})
        assert (refused.status, refused.error) == (409, "DefaultExternalNetworkExists")
        body = {"network": {"is_default": True, "router:external": True}}
        assert (await admin("POST", "/v2.0/networks", body)).status == 409
        again = await admin("PUT", f"/v2.0/networks/{first['id']}", {"network": {"is_default": True}})
        assert again.status == 200
        await admin("PUT", f"/v2.0/networks/{first['id']}", {"network": {"is_default": False}})
        assert (await admin("PUT", path, {"network": {"is_default": True}})).json["network"]["is_default"]

    tell(story, tmp_path)
