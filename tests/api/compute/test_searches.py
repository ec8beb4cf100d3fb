"""Filters of servers by expressions: linear in time, alike on the three databases, over what one may see."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell

from pileus.services.compute.servers import pattern_filters

NAMES = ("Web-1", "web-1", "web-2", "web.3", "web_4", "db%5", "ü-6")


async def _named(api: Cloud, query: str) -> list[str]:
    answer = await api("GET", f"/servers?sort_key=display_name&sort_dir=asc&{query}")
    assert answer.status == 200, answer
    return sorted(one["name"] for one in answer.json["servers"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_names(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_filters, "CHUNK_ROWS", 2)

    async def story(api: Cloud) -> None:
        await api.as_("admin")("PUT", f"/os-quota-sets/{'1' * 32}", {"quota_set": {"instances": 50}})
        for name in NAMES:
            assert (await api.ask_for(name, networks="none", description=f"it is {name}")).status == 202
        for text, found in (
            ("web", ["web-1", "web-2", "web.3", "web_4"]),
            ("Web", ["Web-1"]),
            ("^web-1$", ["web-1"]),
            ("^web-", ["web-1", "web-2"]),
            ("1$", ["Web-1", "web-1"]),
            ("b%5", ["db%5"]),
            ("_", ["web_4"]),
            ("b.3", ["web.3"]),
            (r"web\.3", ["web.3"]),
            ("^(web|db).[0-9]$", ["db%5", "web-1", "web-2", "web.3", "web_4"]),
            ("^ü", ["ü-6"]),
            (r"^\D+$", []),
        ):
            assert await _named(api, f"name={quote(text)}") == sorted(found), text
            assert await _named(api, f"description={quote(text.replace('^', '^it is ', 1))}") == sorted(found)
        assert await _named(api, "name=%5Eweb-1%24&name=%5Edb") == ["db%5", "web-1"]
        assert await _named(api, "name=.1&name=d") == ["Web-1", "db%5", "web-1"]
        for person in ("bob", "admin"):
            assert await _named(api.as_(person), "name=w.b") == []
        assert len(await _named(api.as_("admin"), "name=w.b&all_tenants=1")) == 4

        pages, path = [], "/servers?name=w.b&limit=1&sort_key=display_name&sort_dir=asc"
        while path:
            answer = await api("GET", path)
            pages += [one["name"] for one in answer.json["servers"]]
            links = answer.json.get("servers_links")
            path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
        assert pages == ["web-1", "web-2", "web.3", "web_4"]

    tell(story, tmp_path, kind)


def test_what_is_no_expression_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for name in ("name", "ip", "ip6", "description", "key_name", "hostname"):
            for text in ("(a", "[", "*", "(?=a)", r"(a)\1", "a" * 256, "", "((a{99}){99}){99}"):
                answer = await api("GET", f"/servers?{name}={quote(text)}")
                assert answer.status == 400, (name, text)
                assert answer.message == (
                    f"Invalid input for query parameters {name}. Value: {text[:255]}. "
                    f"'{text[:255]}' is not a 'regex'"
                )
        for several, status in ((16, 200), (17, 400)):
            query = "&".join(f"name=a{number}.*" for number in range(several))
            assert (await api("GET", f"/servers?{query}")).status == status

    tell(story, tmp_path)


def test_keys_of_the_order(tmp_path: Path) -> None:
    """The documented ones, but for those that are the same for all servers."""

    async def story(api: Cloud) -> None:
        for name in ("b", "a"):
            await api.ask_for(name, networks="none")
        for key in (
            "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive",
            "created_at", "display_description", "display_name", "hostname", "image_ref", "instance_type_id",
            "key_name", "launch_index", "launched_at", "locked_by", "power_state", "project_id", "task_state",
            "terminated_at", "updated_at", "user_id", "uuid", "vm_state",
        ):  # fmt: skip
            answer = await api("GET", f"/servers?sort_key={key}&sort_dir=asc")
            assert (answer.status, len(answer.json["servers"])) == (200, 2), key
        for key in ("host", "node"):
            assert (await api("GET", f"/servers?sort_key={key}")).status == 403
            assert (await api.as_("admin")("GET", f"/servers?sort_key={key}")).status == 200
        assert (await api("GET", "/servers?sort_key=colour")).status == 400

    tell(story, tmp_path)


def test_times_of_actions(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        server_id = (await api.ask_for(networks="none")).json["server"]["id"]
        path = f"/servers/{server_id}/os-instance-actions"
        for name in ("changes-since", "changes-before"):
            assert (await api("GET", f"{path}?{name}=2026-01-01T00:00:00Z")).status == 200
            for text in ("yesterday", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-00:01", ""):
                answer = await api("GET", f"{path}?{name}={text}")
                assert answer.status == 400, (name, text)

    tell(story, tmp_path)


def test_no_expression_takes_long(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for _ in range(3):
            await api.ask_for("a" * 254 + "!", networks="none")
        began = time.process_time()
        for text in ("(a+)+$", "^(a|a)*$", "(.*a){20}x", "(a?){90}a{90}x"):
            assert (await api("GET", f"/servers?name={quote(text)}")).json["servers"] == []
        assert time.process_time() - began < 10

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_addresses(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network("10.0.0.0/24")
        for number in (5, 50):
            network = [{"uuid": network_id, "fixed_ip": f"10.0.0.{number}"}]
            await api.boot(host, f"vm{number}", networks=network)
        for query, found in (
            ("ip=10.0.0.5", ["vm5", "vm50"]),
            ("ip=%5E10.0.0.5%24", ["vm5"]),
            (r"ip=%5E10%5C.0%5C.0%5C.50%24", ["vm50"]),
            ("ip=0.0.50", ["vm50"]),
            ("ip=0.0.[5]0", ["vm50"]),
            ("ip=10.0.0.5&ip=x", ["vm5", "vm50"]),
            ("ip=10x0", []),
            ("ip6=10.0", []),
            ("ip6=:", []),
            ("ip6=%5E.*0%24", []),
        ):
            assert await _named(api, query) == found, query
        assert await _named(api.as_("bob"), "ip=10.") == []
        assert await _named(api.as_("admin"), "ip=%5E10.&all_tenants=1") == ["vm5", "vm50"]

    tell(story, tmp_path, kind)
