"""Pages of network lists: links in both directions, also from behind the last page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
