"""The tags sub-resource, and quotas under a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.unit.web.widgets import P1, WIDGET_QUOTA, Client, widget_app

from pileus.resource.quota import quota_read, quota_reset, quota_set, quota_usage


def tell(folder: Path, story: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with widget_app(folder) as app:
            await story(Client(app))

    asyncio.run(main())


def test_tags(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        made = (await api("POST", "/widgets", {"widget": {"size": 1}})).json["widget"]
        path = f"/widgets/{made['id']}/tags"

        async def tags() -> Any:
            reply = await api("GET", path)
            assert reply.status == 200
            return reply.json["tags"]

        replaced = await api("PUT", path, {"tags": ["b", "a"]})
        assert (replaced.status, replaced.json) == (200, {"tags": ["a", "b"]})
        assert (await api("PUT", f"{path}/c")).status == 201
        assert (await api("PUT", f"{path}/c")).status == 201
        assert await tags() == ["a", "b", "c"]
        assert (await api("GET", f"{path}/c")).status == 204
        missing = await api("GET", f"{path}/z")
        assert (
            missing.status == 404 and missing.json["NeutronError"]["message"] == "Tag z could not be found."
        )
        assert (await api("DELETE", f"{path}/a")).status == 204
        assert (await api("DELETE", f"{path}/a")).status == 404
        assert (await api("POST", path, {"tags": ["n"]})).status == 200
        assert await tags() == ["b", "c", "n"]
        for body in ({"tags": [1]}, {"tags": ["x", "x"]}, {"tag": []}, ["a"], {"tags": [""]}):
            assert (await api("PUT", path, body)).status == 400, body
        assert (await api("PUT", path, {"tags": ["x" * 256]})).status == 400
        assert (await api.as_("bob")("PUT", f"{path}/d")).status == 404
        assert (await api.as_("reader")("PUT", f"{path}/d")).status == 403
        assert (await api("GET", f"/widgets/{made['id']}")).json["widget"]["revision_number"] == 5
        assert (await api("DELETE", path)).status == 204
        assert await tags() == []

    tell(tmp_path, story)


def test_a_crowd_fills_a_quota_exactly(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        await api.app.store.write(quota_set, P1, "widgets", {"widget": 10})
        replies = await asyncio.gather(
            *(api("POST", "/widgets", {"widgets": [{"size": 1}] * (1 + number % 2)}) for number in range(16))
        )
        assert sorted({reply.status for reply in replies}) == [201, 409]
        made = sum(len(reply.json["widgets"]) for reply in replies if reply.status == 201)
        while (await api("POST", "/widgets", {"widget": {"size": 1}})).status == 201:
            made += 1
        assert made == 10
        refused = next(reply for reply in replies if reply.status == 409)
        assert refused.json["NeutronError"] == {
            "type": "OverQuota",
            "message": "Quota exceeded for resources: ['widget'].",
            "detail": "",
        }
        store = api.app.store
        assert await store.read(quota_usage, P1, [WIDGET_QUOTA]) == {"widget": 10}
        assert await store.read(quota_read, [P1], [WIDGET_QUOTA]) == {P1: {"widget": 10}}
        assert await store.write(quota_reset, P1, "widgets") == 1
        assert await store.read(quota_read, [P1], [WIDGET_QUOTA]) == {P1: {"widget": 500}}
        assert (await api("POST", "/widgets", {"widget": {"size": 1}})).status == 201

    tell(tmp_path, story)


def test_no_limit_counts_nothing(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        await api.app.store.write(quota_set, P1, "widgets", {"widget": -1})
        many = {"widgets": [{"size": 1}] * 600}
        assert (await api("POST", "/widgets", many)).status == 201

    tell(tmp_path, story)
