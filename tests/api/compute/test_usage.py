"""Reports of what projects used: pages end, times are read as everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.compute.cloud import LATEST, P1, Cloud, tell


async def _pages(api: Cloud, path: str, key: str) -> list[Any]:
    """All documents of a report, one server a page."""
    documents: list[Any] = []
    path += "?detailed=1&limit=1"
    while path:
        assert len(documents) < 9, "the pages never end"
        answer = await api("GET", path)
        assert answer.status == 200, answer
        documents.append(answer.json[key])
        links = answer.json.get(f"{key}_links")
        path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
    return documents


def test_pages_of_servers(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        admin = api.as_("admin")
        for person in (api, api, admin):
            await person.boot(host, networks="none")
        api.clock.advance(3600)
        whole = (await admin("GET", "/os-simple-tenant-usage?detailed=1")).json["tenant_usages"]
        assert [len(one["server_usages"]) for one in whole] == [2, 1]
        assert whole[0]["total_hours"] == 2.0

        pages = await _pages(admin, "/os-simple-tenant-usage", "tenant_usages")
        told = [server["instance_id"] for page in pages for one in page for server in one["server_usages"]]
        expected = [server["instance_id"] for one in whole for server in one["server_usages"]]
        assert told == expected
        assert pages[-1] == []  # after a full page there may be another

        pages = await _pages(api, f"/os-simple-tenant-usage/{P1}", "tenant_usage")
        told = [server["instance_id"] for page in pages for server in page.get("server_usages", ())]
        assert told == [server["instance_id"] for server in whole[0]["server_usages"]]
        answer = await api.at("2.39")("GET", f"/os-simple-tenant-usage/{P1}?limit=1")
        assert "tenant_usage_links" not in answer.json
        assert len(answer.json["tenant_usage"]["server_usages"]) == 2

        foreign = (await admin("GET", "/servers/detail")).json["servers"][0]["id"]
        for path, marker in (
            ("/os-simple-tenant-usage", "nobody"),
            (f"/os-simple-tenant-usage/{P1}", "nobody"),
            (f"/os-simple-tenant-usage/{P1}", foreign),
        ):
            answer = await admin("GET", f"{path}?marker={marker}")
            assert (answer.status, answer.message) == (400, f"Marker {marker} could not be found.")
        assert (await admin("GET", "/os-simple-tenant-usage?limit=x")).status == 400

    tell(story, tmp_path)


def test_odd_requests(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin", LATEST)
        assert (await admin("GET", "/os-simple-tenant-usage/?start=2026-01-01T00:00:00")).status == 404
        assert (await admin("GET", "/os-simple-tenant-usage?start=2026-01-01T00:00:00")).status == 200
        for name in ("start", "end"):
            for text in (
                "yesterday",
                "0001-01-01T00:00:00%2B14:00",
                "9999-12-31T23:59:59-01:00",
                "99999-01-01T00:00:00",
                "2026-02-30T00:00:00",
                "2026-01-01",
            ):
                for path in ("/os-simple-tenant-usage", f"/os-simple-tenant-usage/{P1}"):
                    answer = await admin("GET", f"{path}?{name}={text}")
                    assert answer.status == 400, (name, text)
        answer = await admin(
            "GET", "/os-simple-tenant-usage?start=9999-12-31T23:59:59&end=0001-01-01T00:00:00"
        )
        assert answer.status == 400
        for text in ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"):
            answer = await admin("GET", f"/os-simple-tenant-usage?start=0001-01-01T00:00:00&end={text}")
            assert answer.status == 200

    tell(story, tmp_path)


def test_quotas_of_a_user(tmp_path: Path) -> None:
    """A user's limits are his: within the project's, and nobody else's."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        project, user = f"/os-quota-sets/{P1}", f"/os-quota-sets/{P1}?user_id=u1"
        assert (await api("GET", user)).json["quota_set"]["instances"] == 10
        answer = await admin("PUT", user, {"quota_set": {"instances": 1, "key_pairs": 0, "server_groups": 1}})
        assert (answer.status, answer.json["quota_set"]["instances"]) == (200, 1)
        assert (await api("GET", user)).json["quota_set"]["instances"] == 1
        assert (await api("GET", project)).json["quota_set"]["instances"] == 10
        for limit in (11, -1):
            refused = await admin("PUT", user, {"quota_set": {"instances": limit}})
            assert refused.message == f"Quota limit {limit} for instances must be less than or equal to 10."
        assert (await api.ask_for(networks="none")).status == 202
        refused = await api.ask_for(networks="none")
        assert (refused.status, "already used 1 of 1" in refused.message) == (403, True)
        detail = (await api("GET", f"{project}/detail?user_id=u1")).json["quota_set"]["instances"]
        assert detail == {"limit": 1, "in_use": 1, "reserved": 0}
        key = {"keypair": {"name": "k"}}
        assert (await api.at("2.1")("POST", "/os-keypairs", key)).status == 403
        group = {"server_group": {"name": "g", "policy": "affinity"}}
        assert (await api("POST", "/os-server-groups", group)).status == 200
        assert (await api("POST", "/os-server-groups", group)).status == 403
        assert (await admin("PUT", user, {"quota_set": {"instances": 0}})).status == 400
        assert (await admin("DELETE", user)).status == 202
        assert (await api("GET", user)).json["quota_set"]["instances"] == 10
        assert (await api.ask_for(networks="none")).status == 202
        await admin("PUT", user, {"quota_set": {"cores": 3}})
        assert (await admin("DELETE", project)).status == 202
        assert (await api("GET", user)).json["quota_set"]["cores"] == 20

    tell(story, tmp_path)


def test_limits_of_a_named_project_have_a_rule_of_their_own(tmp_path: Path) -> None:
    """Also where it is the caller's own, as in Nova."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        assert (await api("GET", "/limits")).status == 200
        for project in (P1, "other", ""):
            path = f"/limits?tenant_id={project}"
            refused = await api("GET", path)
            assert refused.status == 403 and "os_compute_api:limits:other_project" in refused.message
            assert (await admin("GET", path)).status == 200

    tell(story, tmp_path)
