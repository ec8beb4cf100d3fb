"""Networks, floating IPs, security groups and images, reached through the Compute API of old."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, P2, Cloud, cloud, tell

OLD = "2.35"
NOBODY = "00000000-0000-4000-8000-0000000000ff"
PROPERTIES = {"image_type": "snapshot", "instance_uuid": NOBODY, "a/b~c": "1"}


async def an_outside(api: Cloud, subnet_network: str) -> str:
    """An external network with few addresses, and a router from it to the subnets of another network."""
    admin = api.as_("admin")
    body = {"network": {"name": "public", "router:external": True}}
    outside: str = (await admin("POST", "/networking/v2.0/networks", body)).json["network"]["id"]
    pools = [{"start": "203.0.113.10", "end": "203.0.113.13"}]
    subnet = {"network_id": outside, "cidr": "203.0.113.0/24", "ip_version": 4, "allocation_pools": pools}
    assert (await admin("POST", "/networking/v2.0/subnets", {"subnet": subnet})).status == 201
    router = {"router": {"name": "r", "external_gateway_info": {"network_id": outside}}}
    router_id = (await api("POST", "/networking/v2.0/routers", router)).json["router"]["id"]
    (found,) = (await api("GET", f"/networking/v2.0/subnets?network_id={subnet_network}")).json["subnets"]
    path = f"/networking/v2.0/routers/{router_id}/add_router_interface"
    assert (await api("PUT", path, {"subnet_id": found["id"]})).status == 200
    return outside


def test_networks(tmp_path: Path) -> None:
    async def story(new: Cloud) -> None:
        api = new.at(OLD)
        network = await api.a_network()
        others = await api.as_("bob").a_network("10.9.0.0/24", "bobs")
        (shown,) = (await api("GET", "/os-networks")).json["networks"]
        assert (shown["id"], shown["label"], shown["cidr"]) == (network, "net", None)
        assert "vlan" not in shown
        all_networks = (await api.as_("admin")("GET", "/os-networks")).json["networks"]
        assert {one["id"] for one in all_networks} == {network, others}
        assert "vlan" in all_networks[0]
        assert (await api("GET", f"/os-networks/{network}")).json["network"] == shown
        missing = await api("GET", f"/os-networks/{others}")
        assert (missing.status, missing.json["itemNotFound"]["message"]) == (404, "Network not found")
        assert (await api("GET", "/os-tenant-networks")).json["networks"] == [
            {"id": network, "cidr": "None", "label": "net"}
        ]
        assert (await api("GET", f"/os-tenant-networks/{network}")).json["network"]["label"] == "net"
        assert (await api("GET", f"/os-tenant-networks/{others}")).status == 404
        assert (await new.at("2.36")("GET", "/os-networks")).status == 404
        assert (await api("DELETE", "/os-security-groups/")).status == 404
        assert (await api("DELETE", "/os-security-groups")).status == 405
        for method, path in (("POST", "/os-networks"), ("DELETE", f"/os-tenant-networks/{network}")):
            assert (await api(method, path, {})).status == 410
        assert (await api("GET", "/os-cells")).status == 410

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_floating_ips(tmp_path: Path, kind: str) -> None:
    async def story(new: Cloud) -> None:
        api, host = new.at(OLD), await new.host()
        outside = await an_outside(api, await api.a_network())
        assert (await api("GET", "/os-floating-ip-pools")).json == {"floating_ip_pools": [{"name": "public"}]}
        made = (await api("POST", "/os-floating-ips", {"pool": "public"})).json["floating_ip"]
        assert (made["pool"], made["instance_id"], made["fixed_ip"]) == ("public", None, None)
        by_default = (await api("POST", "/os-floating-ips")).json["floating_ip"]
        by_id = (await api("POST", "/os-floating-ips", {"pool": outside})).json["floating_ip"]
        full = await api("POST", "/os-floating-ips", {"pool": "public"})
        assert (full.status, full.json["itemNotFound"]["message"]) == (
            404,
            "No more floating IPs in pool public.",
        )
        nowhere = await api("POST", "/os-floating-ips", {"pool": "nowhere"})
        assert (nowhere.status, nowhere.json["itemNotFound"]["message"]) == (
            404,
            "Floating IP pool not found.",
        )
        assert (await api("POST", "/os-floating-ips", {"pool": 1})).status == 400
        listed = (await api("GET", "/os-floating-ips")).json["floating_ips"]
        assert {one["id"] for one in listed} == {made["id"], by_default["id"], by_id["id"]}
        assert (await api.as_("bob")("GET", "/os-floating-ips")).json == {"floating_ips": []}

        one, two = await new.boot(host, "one"), await new.boot(host, "two")
        give = {"address": made["ip"]}
        assert (await api.act(one["id"], "addFloatingIp", give)).status == 202
        shown = (await api("GET", f"/os-floating-ips/{made['id']}")).json["floating_ip"]
        assert shown["instance_id"] == one["id"]
        assert shown["fixed_ip"] in [ip["addr"] for ip in one["addresses"]["net"]]
        second = await api.act(one["id"], "addFloatingIp", {"address": by_id["ip"]})
        assert second.status == 400, "one address leads there already"
        assert (await api.act(two["id"], "addFloatingIp", give)).status == 202, "it moves"
        refused = await api.act(one["id"], "removeFloatingIp", give)
        assert refused.status == 409
        assert "is not associated with instance" in refused.json["conflictingRequest"]["message"]
        wrong = {"address": by_id["ip"], "fixed_address": "10.0.0.250"}
        assert (await api.act(one["id"], "addFloatingIp", wrong)).status == 400
        assert (await api.act(one["id"], "addFloatingIp", {"address": "0.0.0.0"})).status == 404
        assert (await api.act(one["id"], "addFloatingIp", {"address": ""})).status == 400
        assert (await api.as_("reader").act(two["id"], "removeFloatingIp", give)).status == 403
        assert (await api.as_("bob").act(two["id"], "removeFloatingIp", give)).status == 404
        assert (await api.act(two["id"], "removeFloatingIp", give)).status == 202
        assert (await new.at("2.44").act(two["id"], "addFloatingIp", give)).status == 400
        for one_of_them in listed:
            assert (await api("DELETE", f"/os-floating-ips/{one_of_them['id']}")).status == 202
        gone = await api("DELETE", f"/os-floating-ips/{made['id']}")
        assert gone.json["itemNotFound"]["message"] == f"Floating IP not found for ID {made['id']}"
        assert (await api("GET", f"/os-floating-ips/{NOBODY}")).status == 404

    tell(story, tmp_path, kind)


def test_an_operators_rules_of_the_network_hold(tmp_path: Path) -> None:
    """Whoever may not have a floating IP of the network service gets none through compute."""

    async def story(new: Cloud) -> None:
        api = new.at(OLD)
        await an_outside(api, await api.a_network())
        assert (await api.as_("reader")("POST", "/os-floating-ips", {"pool": "public"})).status == 403
        quota = {"quota": {"floatingip": 1}}
        path = f"/networking/v2.0/quotas/{'1' * 32}"
        assert (await api.as_("admin")("PUT", path, quota)).status == 200
        assert (await api("POST", "/os-floating-ips", {"pool": "public"})).status == 200
        over = await api("POST", "/os-floating-ips", {"pool": "public"})
        assert (over.status, over.json["forbidden"]["message"]) == (
            403,
            "IP allocation over quota in pool public.",
        )

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_security_groups(tmp_path: Path, kind: str) -> None:
    async def story(new: Cloud) -> None:
        api = new.at(OLD)
        (default,) = (await api("GET", "/os-security-groups")).json["security_groups"]
        assert default["name"] == "default"
        assert default["rules"][0]["group"] == {"name": "default", "tenant_id": "1" * 32}
        refused = await api("DELETE", f"/os-security-groups/{default['id']}")
        assert refused.status == 400
        body = {"security_group": {"name": "web", "description": "d"}}
        group = (await api("POST", "/os-security-groups", body)).json["security_group"]
        assert (group["name"], group["description"], group["rules"]) == ("web", "d", [])
        body = {"security_group": {"name": "www", "description": ""}}
        path = f"/os-security-groups/{group['id']}"
        assert (await api("PUT", path, body)).json["security_group"]["name"] == "www"
        assert (await api("PUT", f"/os-security-groups/{NOBODY}", body)).status == 404
        assert (await api("POST", "/os-security-groups", {"security_group": {"name": "x"}})).status == 400

        async def add(**rule: Any) -> Any:
            asked = {"parent_group_id": group["id"], **rule}
            return await api("POST", "/os-security-group-rules", {"security_group_rule": asked})

        ssh = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22}
        rule = (await add(**ssh)).json["security_group_rule"]
        assert rule["ip_range"] == {"cidr": "0.0.0.0/0"}
        assert (rule["from_port"], rule["to_port"], rule["group"]) == (22, 22, {})
        again = await add(**ssh)
        assert (again.status, again.json["badRequest"]["message"]) == (
            400,
            f"This rule already exists in group {group['id']}",
        )
        peer = (await add(group_id=default["id"], ip_protocol="udp")).json["security_group_rule"]
        assert peer["group"] == {"name": "default", "tenant_id": "1" * 32}
        assert (peer["ip_range"], peer["from_port"], peer["to_port"]) == ({}, 1, 65535)
        ping = {"ip_protocol": "icmp", "from_port": -1, "to_port": -1, "cidr": "10.0.0.0%2F8"}
        answer = (await add(**ping)).json["security_group_rule"]
        assert (answer["from_port"], answer["ip_range"]) == (-1, {"cidr": "10.0.0.0/8"})
        for wrong, why in (
            ({}, "Not enough parameters to build a valid rule."),
            (ssh | {"ip_protocol": "999"}, "Invalid IP protocol 999."),
            (ssh | {"from_port": 65536}, "Invalid port range 65536:22. Former value"),
            (ssh | {"to_port": 65536}, "Valid TCP ports should be between 1-65535"),
            (ssh | {"to_port": "x"}, "To and From ports must be integers"),
            (ping | {"from_port": 256}, "For ICMP, the type:code must be valid"),
            (ssh | {"cidr": "10.0.0.0"}, "is not a valid IP network"),
            (ssh | {"cidr": "10.0.0.0/0"}, "Bad prefix for network in cidr 10.0.0.0/0"),
        ):
            bad = await add(**wrong)
            assert bad.status == 400
            assert why in bad.json["badRequest"]["message"]
        assert (await add(**ssh, group_id=NOBODY)).status == 404
        assert (await add(**ssh | {"parent_group_id": NOBODY})).status == 404
        assert (await add(**ssh | {"parent_group_id": "x"})).status == 400
        shown = (await api("GET", path)).json["security_group"]
        assert {one["id"] for one in shown["rules"]} == {rule["id"], peer["id"], answer["id"]}
        assert (await api("DELETE", f"/os-security-group-rules/{rule['id']}")).status == 202
        assert (await api("DELETE", f"/os-security-group-rules/{rule['id']}")).status == 404
        assert (await api.as_("bob")("GET", path)).status == 404
        assert (await api.as_("reader")("DELETE", path)).status == 403
        mine = (await api("GET", "/os-security-groups?limit=1&offset=1")).json["security_groups"]
        assert len(mine) == 1
        await api.as_("bob")("GET", "/os-security-groups")
        everybodys = (await api.as_("admin")("GET", "/os-security-groups?all_tenants=true")).json
        assert {one["tenant_id"] for one in everybodys["security_groups"]} == {"1" * 32, P2}
        unheard = (await api("GET", "/os-security-groups?all_tenants=true")).json["security_groups"]
        assert {one["tenant_id"] for one in unheard} == {"1" * 32}
        assert (await api("DELETE", path)).status == 202
        assert (await api("GET", path)).status == 404

    tell(story, tmp_path, kind)


def test_images(tmp_path: Path) -> None:
    async def story(new: Cloud) -> None:
        api = new.at(OLD)
        body = {"name": "mine", "disk_format": "raw", "container_format": "bare", **PROPERTIES}
        image = (await api("POST", "/image/v2/images", body)).json["id"]
        found = (await api("GET", "/images")).json["images"]
        assert {one["name"] for one in found} == {"mine", "small", "other"}
        assert set(found[0]) == {"id", "name", "links"}
        assert [link["rel"] for link in found[0]["links"]] == ["self", "bookmark", "alternate"]
        shown = (await api("GET", f"/images/{image}")).json["image"]
        assert (shown["status"], shown["progress"], shown["minDisk"]) == ("SAVING", 25, 0)
        assert shown["metadata"] == PROPERTIES
        assert shown["server"]["id"] == NOBODY
        href = shown["server"]["links"][0]["href"]
        for query, names in (
            ("name=small", {"small"}),
            ("status=ACTIVE", {"small", "other"}),
            (f"server={NOBODY}", {"mine"}),
            (f"server={href}", {"mine"}),
            ("type=snapshot", {"mine"}),
            ("property-image_type=snapshot", {"mine"}),
            ("changes-since=2036-01-01T00:00:00Z", set()),
            ("unknown=x", {"mine", "small", "other"}),
        ):
            detail = (await api("GET", f"/images/detail?{query}")).json["images"]
            assert {one["name"] for one in detail} == names, query
        page = (await api("GET", "/images?limit=2")).json
        assert len(page["images"]) == 2
        following = page["images_links"][0]["href"].partition("/compute/v2.1")[2]
        assert len((await api("GET", following)).json["images"]) == 1
        assert (await api("GET", "/images?marker=nothing")).status == 400
        assert (await api("GET", "/images?changes-since=never")).status == 400
        missing = await api("GET", f"/images/{NOBODY}")
        assert (missing.status, missing.json["itemNotFound"]["message"]) == (404, "Image not found.")
        theirs = await api("DELETE", f"/images/{IMAGE}")
        assert (theirs.status, theirs.json["forbidden"]["message"]) == (
            403,
            "You are not allowed to delete the image.",
        )
        await _metadata(new, image)
        assert (await api("DELETE", f"/images/{image}")).status == 204
        assert (await api("GET", f"/images/{image}")).status == 404
        assert (await new.at("2.36")("GET", "/images")).status == 404

    async def run() -> None:
        with databases.fresh("sqlite", tmp_path) as url:
            async with cloud(url, images_in=tmp_path) as api:
                await story(api)

    asyncio.run(run())


async def _metadata(new: Cloud, image: str) -> None:
    api = new.at("2.38")
    path = f"/images/{image}/metadata"
    assert (await api("GET", path)).json == {"metadata": PROPERTIES}
    added = await api("POST", path, {"metadata": {"a:b c": "1", "image_type": "other"}})
    assert added.json["metadata"] == {**PROPERTIES, "a:b c": "1", "image_type": "other"}
    assert (await api("PUT", path, {"metadata": {"k": "v"}})).json == {"metadata": {"k": "v"}}
    assert (await api("GET", path)).json == {"metadata": {"k": "v"}}
    assert (await api("PUT", f"{path}/k", {"meta": {"k": "w"}})).json == {"meta": {"k": "w"}}
    assert (await api("GET", f"{path}/k")).json == {"meta": {"k": "w"}}
    assert (await api("PUT", f"{path}/k", {"meta": {"l": "w"}})).status == 400
    assert (await api("PUT", f"{path}/k", {"meta": {"k": "w", "l": "w"}})).status == 400
    assert (await api("GET", f"{path}/none")).status == 404
    assert (await api("DELETE", f"{path}/none")).status == 404
    assert (await api("DELETE", f"{path}/k")).status == 204
    assert (await api("GET", path)).json == {"metadata": {}}
    many = {f"k{number}": "v" for number in range(129)}
    assert (await api("POST", path, {"metadata": many})).status == 403
    theirs = await api("POST", f"/images/{IMAGE}/metadata", {"metadata": {"k": "v"}})
    assert theirs.status == 403
    assert (await new.at("2.39")("GET", path)).status == 404


def test_external_events_and_the_audit_log(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        waiting = (await api.ask_for("waiting")).json["server"]["id"]
        service = api.as_("service")

        async def tell_of(*events: dict[str, Any], version: str = "2.96") -> Any:
            return await service.at(version)("POST", "/os-server-external-events", {"events": list(events)})

        changed = {"name": "network-changed", "server_uuid": server_id}
        told = await tell_of(changed)
        assert told.status == 200
        assert told.json["events"] == [{**changed, "status": "completed", "code": 200}]
        plugged = {"name": "network-vif-plugged", "server_uuid": server_id, "tag": NOBODY, "status": "failed"}
        told = await tell_of(
            plugged,
            {"name": "volume-extended", "server_uuid": server_id},
            {**changed, "server_uuid": NOBODY},
            {**changed, "server_uuid": waiting},
        )
        assert told.status == 207
        assert [one["code"] for one in told.json["events"]] == [200, 400, 404, 422]
        steps = (await api("GET", f"/servers/{server_id}/os-pileus-timeline")).json["timeline"]
        assert f"{NOBODY} failed" in [one["detail"] for one in steps if one["step"] == "network-vif-plugged"]
        assert (await tell_of({**changed, "name": "volume-extended"}, version="2.50")).status == 400
        assert (await tell_of({**changed, "name": "anything"})).status == 400
        assert (await tell_of()).status == 400
        body = {"events": [changed]}
        assert (await api("POST", "/os-server-external-events", body)).status == 403

        admin = api.as_("admin")
        log = (await admin("GET", "/os-instance_usage_audit_log")).json["instance_usage_audit_logs"]
        assert (log["num_hosts"], log["hosts_not_run"]) == (1, ["h1"])
        path = "/os-instance_usage_audit_log/2024-03-05 10:00:00"
        one = (await admin("GET", path.replace(" ", "%20"))).json["instance_usage_audit_log"]
        assert (one["period_beginning"], one["period_ending"]) == (
            "2024-02-01 00:00:00",
            "2024-03-01 00:00:00",
        )
        assert (await admin("GET", "/os-instance_usage_audit_log/today")).status == 400
        assert (await api("GET", "/os-instance_usage_audit_log")).status == 403

    tell(story, tmp_path)
