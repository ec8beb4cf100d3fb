"""Quotas with the seed's table, classes, limits, and that nobody gets more; services, pools, hosts, zones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.volume.cloud import P1, P2, Cloud, pool, tell

SEED = {
    "backup_gigabytes": 1000,
    "backups": 10,
    "gigabytes": 1000,
    "per_volume_gigabytes": -1,
    "snapshots": 10,
    "volumes": 10,
}
"""Seed 001: ``cinder quota-show``."""


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_seeds_table_and_its_change(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        quotas = (await api("GET", f"/os-quota-sets/{P1}")).json["quota_set"]
        assert {name: quotas[name] for name in SEED} == SEED
        answer = await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"backup_gigabytes": 2000}})
        assert answer.json["quota_set"]["backup_gigabytes"] == 2000
        assert (await api("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"volumes": 99}})).status == 403
        assert (await api("GET", f"/os-quota-sets/{P2}")).status == 403
        assert (await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"odd": 1}})).status == 400
        assert (await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {}})).status == 400
        body = {"quota_class_set": {"volumes": 3}}
        assert (await admin("PUT", "/os-quota-class-sets/default", body)).status == 200
        assert (await api("GET", f"/os-quota-sets/{P1}")).json["quota_set"]["volumes"] == 3
        assert (await admin("DELETE", f"/os-quota-sets/{P1}")).status == 200
        quotas = (await api("GET", f"/os-quota-sets/{P1}")).json["quota_set"]
        assert (quotas["backup_gigabytes"], quotas["volumes"]) == (1000, 3)
        quotas = (await api("GET", f"/os-quota-sets/{P1}/defaults")).json["quota_set"]
        assert (quotas["id"], quotas["volumes"], quotas["volumes___DEFAULT__"]) == (P1, 3, -1)

    tell(story, tmp_path, kind)


def test_names_of_types_that_are_not_ones_own_are_not_told(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        kind = (await api.a_type("hidden", **{"os-volume-type-access:is_public": False}))["id"]
        paths = (f"/os-quota-sets/{P1}", f"/os-quota-sets/{P1}?usage=True", f"/os-quota-sets/{P1}/defaults")
        for path in paths:
            assert "hidden" not in str((await api("GET", path)).json), path
            assert "volumes_hidden" in (await admin("GET", path)).json["quota_set"]
        given = {"addProjectAccess": {"project": P1}}
        assert (await admin("POST", f"/types/{kind}/action", given)).status == 202
        for path in paths:
            assert "volumes_hidden" in (await api("GET", path)).json["quota_set"], path

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_nobody_gets_more_than_his_project_may_have(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, host = api.as_("admin"), await api.host()

        async def limit(**limits: int) -> None:
            answer = await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": limits})
            assert answer.status == 200, answer

        volume = await api.make(host, 2)
        await limit(volumes=1, gigabytes=5, snapshots=1, per_volume_gigabytes=4)
        answer = await api.ask_for(1)
        assert answer.status == 413
        assert "Maximum number of volumes allowed (1)" in answer.json["overLimit"]["message"]
        await limit(volumes=10)
        assert (await api.ask_for(5)).status == 400  # one volume may not be so large
        assert (await api.ask_for(4)).status == 413
        assert (await api.act(volume["id"], "os-extend", {"new_size": 9})).status == 400
        await api.snapshot(host, volume["id"])
        body = {"snapshot": {"volume_id": volume["id"]}}
        assert (await api("POST", "/snapshots", body)).status == 413
        assert (await api.act(volume["id"], "os-extend", {"new_size": 4})).status == 413
        assert (await api.act(volume["id"], "os-extend", {"new_size": 3})).status == 202
        await host.pass_()
        used = (await api("GET", f"/os-quota-sets/{P1}?usage=True")).json["quota_set"]
        assert used["gigabytes"] == {"limit": 5, "in_use": 5, "reserved": 0}
        assert used["volumes___DEFAULT__"] == {"limit": -1, "in_use": 1, "reserved": 0}
        await limit(gigabytes=100, volumes___DEFAULT__=1)
        assert (await api.ask_for(1)).status == 413
        absolute = (await api("GET", "/limits")).json["limits"]["absolute"]
        assert (absolute["totalVolumesUsed"], absolute["totalSnapshotsUsed"]) == (1, 1)
        assert (absolute["totalGigabytesUsed"], absolute["maxTotalVolumes"]) == (5, 10)
        answer = await admin("PUT", f"/os-quota-sets/{P1}", {"quota_set": {"gigabytes": 1}})
        assert answer.status == 400
        assert (await api("GET", f"/limits?project_id={P2}")).status == 403

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_services_pools_hosts_capabilities_and_zones(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        host = await api.host("h1", pool("fast"), pool("slow", availability_zone="west"))
        volume = await api.make(host, 3)
        services = (await admin("GET", "/os-services?host=h1")).json["services"]
        assert [(one["host"], one["zone"], one["state"]) for one in services] == [
            ("h1", "nova", "up"),
            ("h1@fast", "nova", "up"),
            ("h1@slow", "west", "up"),
        ]
        pools = (await admin("GET", "/scheduler-stats/get_pools?detail=True")).json["pools"]
        assert [one["name"] for one in pools] == ["h1@fast#fast", "h1@slow#slow"]
        used = {one["name"]: one["capabilities"]["provisioned_capacity_gb"] for one in pools}
        assert sum(used.values()) == 3
        assert (await admin("GET", "/scheduler-stats/get_pools?odd=1")).status == 400
        can = (await admin("GET", "/capabilities/h1@fast")).json
        assert (can["pool_name"], can["vendor_name"]) == ("fast", "Pileus")
        where = (await admin.volume(volume["id"]))["os-vol-host-attr:host"].partition("#")[0]
        total = (await admin("GET", f"/os-hosts/{where}")).json["host"][0]["resource"]
        assert (total["project"], total["volume_count"], total["total_volume_gb"]) == ("(total)", "1", "3")
        assert (await admin("GET", "/os-hosts/none")).status == 404
        zones = (await api("GET", "/os-availability-zone")).json["availabilityZoneInfo"]
        assert [one["zoneName"] for one in zones] == ["nova", "west"]
        for path in ("/os-services", "/os-hosts", "/scheduler-stats/get_pools", "/capabilities/h1@fast"):
            assert (await api("GET", path)).status == 403
        assert (await admin("PUT", "/os-services/freeze", {"host": where})).status == 200
        assert (await api("DELETE", f"/volumes/{volume['id']}")).status == 400
        assert (await admin("PUT", "/os-services/thaw", {"host": where})).status == 200
        assert (await admin("PUT", "/os-services/thaw", {"host": "none"})).status == 400
        assert (await admin("PUT", "/os-services/failover_host", {"host": where})).status == 400
        pair = {"host": "none", "binary": "cinder-volume"}
        assert (await admin("PUT", "/os-services/enable", pair)).status == 404
        host.pools.pop()
        await host.heartbeat()
        pools = (await admin("GET", "/scheduler-stats/get_pools")).json["pools"]
        assert pools == [{"name": "h1@fast#fast"}]
        api.clock.advance(3600)
        services = (await admin("GET", "/os-services?binary=cinder-volume")).json["services"]
        assert {one["state"] for one in services} == {"down"}

    tell(story, tmp_path, kind)


def test_what_the_api_says_of_itself(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answer = await api.request("GET", "/volume/")
        assert answer.status == 300
        (version,) = answer.json["versions"]
        assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")
        assert (await api.request("GET", "/volume/v3/")).status == 200
        aliases = [one["alias"] for one in (await api("GET", "/extensions")).json["extensions"]]
        assert "os-quota-sets" in aliases
        filters = (await api("GET", "/resource_filters?resource=volume")).json["resource_filters"]
        assert filters[0]["resource"] == "volume"
        assert (await api.at("3.32")("GET", "/resource_filters")).status == 404
        assert (await api.at("3.72")("GET", "/volumes")).status == 406
        assert (await api("GET", f"/{P1}/volumes")).status == 200
        assert (await api("GET", f"/{P2}/volumes")).status == 400
        assert (await api("GET", f"/{P1}/volumes/")).status == 404

    tell(story, tmp_path)
