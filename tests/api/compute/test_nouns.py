"""Flavors, key pairs, quotas, limits, services, hypervisors, hosts, zones, and what every version says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import LATEST, P1, Cloud, tell

from pileus.services.compute.keypairs import noun as keypairs
from pileus.services.compute.microversions import MICROVERSIONS


@pytest.mark.parametrize("kind", databases.KINDS)
def test_flavors(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        listed = (await api("GET", "/flavors")).json["flavors"]
        assert [one["name"] for one in listed] == [
            "m1.tiny",
            "m1.small",
            "m1.medium",
            "m1.large",
            "m1.xlarge",
        ]
        assert set(listed[0]) == {"id", "name", "description", "links"}
        assert (await api("GET", "/flavors?minRam=4000&limit=2")).json["flavors_links"]
        assert (await api("GET", "/flavors?minRam=x")).status == 400
        new = {
            "name": "own",
            "ram": "64",
            "vcpus": 1,
            "disk": 0,
            "id": 77,
            "os-flavor-access:is_public": False,
        }
        assert (await api("POST", "/flavors", {"flavor": new})).status == 403
        made = await admin("POST", "/flavors", {"flavor": new})
        assert (made.status, made.json["flavor"]["id"], made.json["flavor"]["ram"]) == (200, "77", 64)
        assert made.json["flavor"]["swap"] == 0
        assert (await admin.at("2.1")("GET", "/flavors/77")).json["flavor"]["swap"] == ""
        assert "description" not in (await admin.at("2.54")("GET", "/flavors/77")).json["flavor"]
        assert (await admin("POST", "/flavors", {"flavor": new})).status == 409
        assert (await admin("POST", "/flavors", {"flavor": {**new, "id": "78"}})).status == 409
        for wrong in ({"ram": 0}, {"vcpus": "x"}, {"name": " a"}, {"id": "a/b"}, {"colour": 1}, {"disk": -1}):
            assert (
                await admin("POST", "/flavors", {"flavor": {**new, "name": "n", "id": "9", **wrong}})
            ).status == 400
        assert (await api("GET", "/flavors/77")).status == 404
        unseen, absent = [await api("GET", f"/flavors?marker={one}") for one in ("77", "99")]
        assert unseen.status == absent.status == 400
        assert unseen.message == absent.message.replace("99", "77")
        given = await admin("POST", "/flavors/77/action", {"addTenantAccess": {"tenant": P1}})
        assert [one["tenant_id"] for one in given.json["flavor_access"]] == [P1]
        assert (await admin("POST", "/flavors/77/action", {"addTenantAccess": {"tenant": P1}})).status == 409
        assert (await admin("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": P1}})).status == 409
        assert (await api("GET", "/flavors/77")).status == 200
        assert "own" in [one["name"] for one in (await api("GET", "/flavors")).json["flavors"]]
        specs = {"extra_specs": {"hw:cpu_policy": "dedicated"}}
        assert (await admin("POST", "/flavors/77/os-extra_specs", specs)).json == specs
        assert (await api("GET", "/flavors/77")).json["flavor"]["extra_specs"] == specs["extra_specs"]
        assert (await admin("PUT", "/flavors/77/os-extra_specs/a", {"a": "1"})).json == {"a": "1"}
        assert (await admin("PUT", "/flavors/77/os-extra_specs/a", {"b": "1"})).status == 400
        assert (await api("GET", "/flavors/77/os-extra_specs/a")).json == {"a": "1"}
        assert (await admin("DELETE", "/flavors/77/os-extra_specs/a")).status == 200
        assert (await admin("DELETE", "/flavors/77/os-extra_specs/a")).status == 404
        changed = await admin("PUT", "/flavors/77", {"flavor": {"description": "of one's own"}})
        assert changed.json["flavor"]["description"] == "of one's own"
        assert (await admin.at("2.54")("PUT", "/flavors/77", {"flavor": {"description": "x"}})).status == 404
        taken = await admin("POST", "/flavors/77/action", {"removeTenantAccess": {"tenant": P1}})
        assert taken.status == 200
        assert (await api("GET", "/flavors/77")).status == 404
        assert (await admin("DELETE", "/flavors/77")).status == 202
        assert (await admin("DELETE", "/flavors/77")).status == 404

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_keypairs(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        old = api.at("2.91")
        made = await old("POST", "/os-keypairs", {"keypair": {"name": "a"}})
        assert made.status == 201
        assert "RSA PRIVATE KEY" in made.json["keypair"]["private_key"]
        public = made.json["keypair"]["public_key"]
        assert (await api("POST", "/os-keypairs", {"keypair": {"name": "b"}})).status == 400
        imported = await api("POST", "/os-keypairs", {"keypair": {"name": "b@c", "public_key": public}})
        assert imported.json["keypair"]["fingerprint"] == made.json["keypair"]["fingerprint"]
        assert "private_key" not in imported.json["keypair"]
        assert (await old("POST", "/os-keypairs", {"keypair": {"name": "b@d"}})).status == 400
        assert (await old("POST", "/os-keypairs", {"keypair": {"name": "a"}})).status == 409
        bad = {"keypair": {"name": "z", "public_key": "ssh-rsa nothing"}}
        assert (await api("POST", "/os-keypairs", bad)).status == 400
        x509 = await old("POST", "/os-keypairs", {"keypair": {"name": "w", "type": "x509"}})
        assert x509.json["keypair"]["public_key"].startswith("-----BEGIN CERTIFICATE-----")
        listed = (await api("GET", "/os-keypairs?limit=1")).json
        assert [one["keypair"]["name"] for one in listed["keypairs"]] == ["a"]
        assert "marker=a" in listed["keypairs_links"][0]["href"]
        rest = (await api("GET", "/os-keypairs?limit=10&marker=a")).json["keypairs"]
        assert [one["keypair"]["name"] for one in rest] == ["b@c", "w"]
        shown = (await api("GET", "/os-keypairs/a")).json["keypair"]
        assert isinstance(shown["id"], int) and shown["deleted"] is False
        assert (await api.as_("bob")("GET", "/os-keypairs/a")).status == 404
        assert (await api.as_("bob")("GET", "/os-keypairs/a?user_id=u1")).status == 403
        assert (await api.as_("admin")("GET", "/os-keypairs/a?user_id=u1")).status == 200
        assert (await api.at("2.1")("DELETE", "/os-keypairs/a")).status == 202
        assert (await api("DELETE", "/os-keypairs/a")).status == 404
        limit = {"quota_set": {"key_pairs": 2}}
        assert (await api.as_("admin")("PUT", f"/os-quota-sets/{P1}", limit)).status == 200
        over = await old("POST", "/os-keypairs", {"keypair": {"name": "over"}})
        assert (over.status, over.message) == (403, "Quota exceeded, too many key pairs.")

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_quotas_are_exact_under_concurrency(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        await api.a_network()
        admin = api.as_("admin")
        assert (await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"cores": 5}})).status == 200
        answers = await asyncio.gather(*(api.ask_for(f"vm{n}") for n in range(16)))
        assert sorted(one.status for one in answers) == [202] * 5 + [403] * 11
        refused = next(one for one in answers if one.status == 403)
        assert refused.message == "Quota exceeded for cores: Requested 1, but already used 5 of 5 cores"
        detail = (await api("GET", f"/os-quota-sets/{P1}/detail")).json["quota_set"]
        assert detail["cores"] == {"limit": 5, "in_use": 5, "reserved": 0}
        assert detail["instances"]["in_use"] == 5
        less = await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"cores": 4}})
        assert less.status == 400
        forced = {"quota_set": {"cores": 4, "force": True}}
        assert (await admin("PUT", f"/os-quota-sets/{P1}", forced)).json["quota_set"]["cores"] == 4
        assert (await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"colour": 4}})).status == 400
        assert (
            await admin("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"ram": 9}})
        ).status == 200
        assert (await api("GET", f"/os-quota-sets/{P1}")).json["quota_set"]["ram"] == 9
        assert (await admin("DELETE", f"/os-quota-sets/{P1}")).status == 202
        assert (await api("GET", f"/os-quota-sets/{P1}")).json["quota_set"]["cores"] == 20
        assert (await api("GET", "/os-quota-sets/" + "2" * 32)).status == 403
        old = (await api.at("2.1")("GET", f"/os-quota-sets/{P1}")).json["quota_set"]
        assert {"floating_ips", "injected_files"} <= set(old)

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_services_hypervisors_hosts_and_zones(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1", zone="east")
        await api.host("h2")
        await api.a_network()
        await api.boot(host, availability_zone="east")
        admin, old = api.as_("admin"), api.as_("admin", "2.1")
        assert (await api("GET", "/os-services")).status == 403
        services = (await admin("GET", "/os-services")).json["services"]
        assert [(one["host"], one["zone"], one["state"]) for one in services] == [
            ("h1", "east", "up"),
            ("h2", "nova", "up"),
        ]
        down = {"host": "h2", "binary": "nova-compute", "forced_down": True}
        assert (await old.at("2.11")("PUT", "/os-services/force-down", down)).status == 200
        assert (await admin("GET", "/os-services?host=h2")).json["services"][0]["state"] == "down"
        body = {"host": "h2", "binary": "nova-compute", "disabled_reason": "test"}
        assert (await old("PUT", "/os-services/disable-log-reason", body)).status == 200
        assert (
            await old("PUT", "/os-services/enable", {"host": "h9", "binary": "nova-compute"})
        ).status == 404
        assert (await old("PUT", "/os-services/dance", body)).status == 404
        assert (await admin("DELETE", f"/os-services/{services[0]['id']}")).status == 409
        assert (await admin("DELETE", f"/os-services/{services[1]['id']}")).status == 204
        hypervisors = (await admin("GET", "/os-hypervisors/detail?with_servers=true")).json["hypervisors"]
        (one,) = hypervisors
        assert [server["name"] for server in one["servers"]] == ["vm"]
        assert one["uptime"].endswith("up 1 days,  2:00")
        assert one["host_ip"] == "192.0.2.49"
        (full,) = (await old("GET", "/os-hypervisors/detail")).json["hypervisors"]
        assert (full["vcpus_used"], full["memory_mb_used"], full["running_vms"]) == (1, 512, 1)
        assert full["cpu_info"] == '{"arch": "x86_64"}'
        assert (await old("GET", f"/os-hypervisors/{full['id']}/uptime")).status == 200
        statistics = (await old("GET", "/os-hypervisors/statistics")).json["hypervisor_statistics"]
        assert (statistics["count"], statistics["vcpus"]) == (1, 8)
        assert (await admin("GET", "/os-hypervisors/statistics")).status == 404
        assert (await old("GET", "/os-hypervisors/h1/search")).status == 200
        assert (await old("GET", "/os-hypervisors/none/servers")).status == 404
        assert (await admin("GET", "/os-hypervisors/1")).status == 400
        rows = (await old("GET", "/os-hosts/h1")).json["host"]
        assert [row["resource"]["project"] for row in rows] == ["(total)", "(used_now)", "(used_max)", P1]
        assert rows[0]["resource"]["memory_mb"] == 16384
        assert rows[1]["resource"]["memory_mb"] == 700
        assert rows[2]["resource"] == {**rows[3]["resource"], "project": "(used_max)"}
        assert (await admin("GET", "/os-hosts")).status == 404
        zones = (await api("GET", "/os-availability-zone")).json["availabilityZoneInfo"]
        assert zones == [{"zoneName": "east", "zoneState": {"available": True}, "hosts": None}]
        api.clock.advance(1000)
        assert (await admin("GET", "/os-services")).json["services"][0]["state"] == "down"

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_aggregates_are_zones(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1")
        await api.host("h2")
        await api.a_network()
        admin = api.as_("admin")
        assert (await api("GET", "/os-aggregates")).status == 403
        body = {"aggregate": {"name": "fast", "availability_zone": "west"}}
        made = (await admin("POST", "/os-aggregates", body)).json["aggregate"]
        assert (await admin("POST", "/os-aggregates", body)).status == 409
        path = f"/os-aggregates/{made['id']}"
        added = await admin("POST", f"{path}/action", {"add_host": {"host": "h1"}})
        assert added.json["aggregate"]["hosts"] == ["h1"]
        assert (await admin("POST", f"{path}/action", {"add_host": {"host": "h1"}})).status == 409
        assert (await admin("POST", f"{path}/action", {"add_host": {"host": "h9"}})).status == 404
        other = {"aggregate": {"name": "slow", "availability_zone": "south"}}
        slow = (await admin("POST", "/os-aggregates", other)).json["aggregate"]
        both = await admin("POST", f"/os-aggregates/{slow['id']}/action", {"add_host": {"host": "h1"}})
        assert both.status == 409
        zones = (await api("GET", "/os-availability-zone")).json["availabilityZoneInfo"]
        assert [one["zoneName"] for one in zones] == ["nova", "west"]
        server = await api.boot(host, availability_zone="west")
        assert server["OS-EXT-AZ:availability_zone"] == "west"
        assert (await admin("POST", f"{path}/action", {"remove_host": {"host": "h1"}})).status == 409
        items = {"set_metadata": {"metadata": {"ssd": "true", "none": None}}}
        changed = (await admin("POST", f"{path}/action", items)).json["aggregate"]
        assert changed["metadata"] == {"availability_zone": "west", "ssd": "true"}
        assert (await admin("DELETE", path)).status == 409
        await api("DELETE", f"/servers/{server['id']}")
        await host.pass_()
        assert (await admin("POST", f"{path}/action", {"remove_host": {"host": "h1"}})).status == 200
        renamed = await admin("PUT", path, {"aggregate": {"name": "quick"}})
        assert renamed.json["aggregate"]["name"] == "quick"
        assert (await admin("DELETE", path)).status == 200
        assert (await admin("GET", path)).status == 404

    tell(story, tmp_path, kind)


def test_usage(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        api.clock.advance(7200)
        await host.heartbeat()
        await api("DELETE", f"/servers/{server_id}")
        await host.pass_()
        api.clock.advance(7200)
        report = (await api("GET", f"/os-simple-tenant-usage/{P1}")).json["tenant_usage"]
        assert (report["total_hours"], report["total_memory_mb_usage"]) == (2.0, 1024.0)
        assert report["server_usages"][0]["state"] == "terminated"
        late = f"/os-simple-tenant-usage/{P1}?start=2026-01-01T01:00:00&end=2026-01-01T01:30:00"
        assert (await api("GET", late)).json["tenant_usage"]["total_hours"] == 0.5
        assert (await api("GET", f"/os-simple-tenant-usage/{P1}?start=x")).status == 400
        assert (await api("GET", "/os-simple-tenant-usage")).status == 403
        every = (await api.as_("admin")("GET", "/os-simple-tenant-usage")).json["tenant_usages"]
        assert [one["tenant_id"] for one in every] == [P1]
        assert "server_usages" not in every[0]
        assert (await api.as_("bob")("GET", f"/os-simple-tenant-usage/{P1}")).status == 403

    tell(story, tmp_path)


def test_versions(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        assert str(MICROVERSIONS.maximum) == LATEST
        numbers = sorted(version.minor for version in MICROVERSIONS.sentences)
        assert numbers == list(range(1, MICROVERSIONS.maximum.minor + 1))
        answer = await api("GET", "/")
        assert answer.json["version"]["version"] == LATEST
        assert answer.headers["openstack-api-version"] == f"compute {LATEST}"
        assert (await api.at("2.999")("GET", "/flavors")).status == 406
        assert (await api.at("latest")("GET", "/flavors")).status == 200
        extensions = (await api("GET", "/extensions")).json["extensions"]
        assert {one["alias"] for one in extensions} >= {"os-keypairs", "OS-EXT-STS"}
        assert (await api("GET", "/extensions/os-keypairs")).status == 200
        assert (await api("GET", "/extensions/nothing")).status == 404

    tell(story, tmp_path)


@pytest.mark.parametrize("minor", range(1, MICROVERSIONS.maximum.minor + 1, 5))
def test_a_server_at_every_few_versions(tmp_path: Path, minor: int) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        at = api.at(f"2.{minor}")
        server = {"name": "vm", "flavorRef": "1", "imageRef": "10000000-0000-4000-8000-000000000001"}
        if minor >= 37:
            server["networks"] = "auto"
        made = await at("POST", "/servers", {"server": server})
        assert made.status == 202, made
        await api.conductor().work()
        await host.pass_()
        shown = (await at("GET", f"/servers/{made.json['server']['id']}")).json["server"]
        for key, first in (("locked", 9), ("description", 19), ("tags", 26), ("locked_reason", 73)):
            assert (key in shown) == (minor >= first)
        assert ("id" in shown["flavor"]) == (minor < 47)
        listed = (await at("GET", "/servers/detail")).json["servers"]
        assert "server_groups" not in listed[0]
        renamed = await at("PUT", f"/servers/{shown['id']}", {"server": {"name": "other"}})
        assert renamed.json["server"]["name"] == "other"
        assert ("OS-EXT-STS:vm_state" in renamed.json["server"]) == (minor >= 75)

    tell(story, tmp_path)


def test_no_key_is_made_for_who_may_not_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        old = api.at("2.1")
        assert (await old("POST", "/os-keypairs", {"keypair": {"name": "a"}})).status == 200

        def never() -> tuple[str, str]:
            raise AssertionError("a key was made in vain")

        monkeypatch.setattr(keypairs, "generate_ssh", never)
        assert (await old("POST", "/os-keypairs", {"keypair": {"name": "a"}})).status == 409
        admin = api.as_("admin")
        quota = {"quota_set": {"key_pairs": 1}}
        assert (await admin("PUT", f"/os-quota-sets/{P1}", quota)).status == 200
        assert (await old("POST", "/os-keypairs", {"keypair": {"name": "b"}})).status == 403

    tell(story, tmp_path)
