"""Pages of network lists: links in both directions, also from behind the last page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, tell


def links(answer: Answer) -> dict[str, str]:
    """Path and query of each link, below the service's address."""
    found: list[dict[str, Any]] = answer.json.get("networks_links", [])
    return {one["rel"]: "/v2.0/networks?" + urlsplit(one["href"]).query for one in found}


def names(answer: Answer) -> list[str]:
    return [one["name"] for one in answer.json["networks"]]


def test_links_lead_there_and_back(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for name in "abcd":
            await api.make("network", name=name)
        first = await api("GET", "/v2.0/networks?limit=2&sort_key=name&sort_dir=asc")
        second = await api("GET", links(first)["next"])
        behind = await api("GET", links(second)["next"])
        assert (names(first), names(second), names(behind)) == (["a", "b"], ["c", "d"], [])
        assert set(links(behind)) == {"previous"} and "marker" not in links(behind)["previous"]
        back = await api("GET", links(behind)["previous"])
        assert names(back) == ["c", "d"]
        start = await api("GET", links(back)["previous"])
        before = await api("GET", links(start)["previous"])
        assert (names(start), names(before)) == (["a", "b"], [])
        assert set(links(before)) == {"next"} and "page_reverse" not in links(before)["next"]
        assert names(await api("GET", links(before)["next"])) == ["a", "b"]
        assert links(await api("GET", "/v2.0/networks")) == {}

    tell(story, tmp_path)


def test_lists_that_no_table_stands_behind_have_pages_too(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        order = "sort_key=alias&sort_dir=asc&fields=alias"
        path = "/v2.0/extensions?"
        whole = [one["alias"] for one in (await api("GET", path + order)).json["extensions"]]

        async def page(query: str) -> tuple[list[str], dict[str, str]]:
            said = (await api("GET", path + query)).json
            found = {one["rel"]: urlsplit(one["href"]).query for one in said.get("extensions_links", [])}
            return [one["alias"] for one in said["extensions"]], found

        first, beside = await page(f"{order}&limit=20")
        assert first == whole[:20] and set(beside) == {"next", "previous"}
        second, beside = await page(beside["next"])
        assert second == whole[20:40]
        back, beside = await page(beside["previous"])
        assert back == first and "page_reverse=True" in beside["previous"]
        before, beside = await page(beside["previous"])
        assert before == [] and set(beside) == {"next"}
        assert await page(order) == (whole, {})
        last, beside = await page(f"{order}&limit=20&page_reverse=true")
        assert last == whole[-20:] and set(beside) == {"next", "previous"}

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_of_the_changed_since_a_moment(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        old = await api.make("network", name="old")
        touched = await api.make("network", name="touched")
        api.clock.advance(60)
        since = api.clock.now().isoformat(timespec="seconds") + "Z"
        assert names(await api("GET", f"/v2.0/networks?changed_since={since}")) == []
        await api("PUT", f"/v2.0/networks/{touched['id']}", {"network": {"description": "x"}})
        await api.make("network", name="new")
        changed = await api("GET", f"/v2.0/networks?changed_since={since}&sort_key=name&sort_dir=asc")
        assert names(changed) == ["new", "touched"]
        both = await api("GET", f"/v2.0/networks?changed_since={since}&id={old['id']}")
        assert names(both) == []
        for text in ("yesterday", "", "2026-13-01T00:00:00Z"):
            bad = await api("GET", f"/v2.0/networks?changed_since={text}")
            assert (bad.status, bad.error) == (400, "InvalidInput")
            assert bad.message == (
                "Invalid input for operation: The input changed_since must be in the following format: "
                "YYYY-MM-DDTHH:MM:SSZ."
            )

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_pages_in_the_order_of_any_keys_however_often_named(tmp_path: Path, kind: str) -> None:
    """Truths among them; what a marker asks of the database must not grow with the square of the keys."""

    async def story(api: Cloud) -> None:
        for number in range(6):
            await api.make("network", name=f"n{number}", admin_state_up=number % 2 == 0)
        for direction in ("asc", "desc"):
            keys = ["admin_state_up", "name", "status", "id"] * 60
            query = "&".join(f"sort_key={key}&sort_dir={direction}" for key in keys)
            whole = (await api("GET", f"/v2.0/networks?{query}&fields=id")).json["networks"]
            assert len(whole) == 6
            paged: list[dict[str, str]] = []
            while len(paged) < 6:
                marker = f"&marker={paged[-1]['id']}" if paged else ""
                page = (await api("GET", f"/v2.0/networks?{query}&fields=id&limit=1{marker}")).json[
                    "networks"
                ]
                assert len(page) == 1
                paged += page
            assert paged == whole

    tell(story, tmp_path, kind)
