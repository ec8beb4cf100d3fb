"""The same stories on SQLite, PostgreSQL and MariaDB: what SQL says differently must come out alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests import databases
from tests.unit.web.widgets import P1, Client, widget_app, widgets

from pileus.resource.quota import quota_limits, quota_reset, quota_set
from pileus.resource.tag_table import resource_tags
from pileus.store import migrations

ADDRESSES = ["10.0.0.2", None, "10.0.0.10", None, "fd00::1", "10.0.0.9"]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_life_on_each_database(kind: str, tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        many = [
            {"name": f"n{number}", "size": 1 + number % 5, "address": address, "tags": ["t", f"t{number}"]}
            for number, address in enumerate(ADDRESSES * 20)
        ]
        made = await api("POST", "/widgets", {"widgets": many})
        assert made.status == 201, made.body
        listed = (await api("GET", "/widgets?fields=tags&fields=name")).json["widgets"]
        assert len(listed) == 120
        assert all(one["tags"] == ["t", f"t{one['name'][1:]}"] for one in listed)

        order = "sort_key=address&sort_dir=desc&sort_key=size&sort_dir=asc"
        reply = await api("GET", f"/widgets?limit=50&{order}")
        seen = []
        while True:
            seen += [(one["address"], one["id"]) for one in reply.json["widgets"]]
            links = {link["rel"]: link["href"] for link in reply.json.get("widgets_links", [])}
            if "next" not in links:
                break
            reply = await api("GET", f"/widgets?{urlsplit(links['next']).query}")
        assert len(seen) == len(set(seen)) == 120
        assert [address for address, _ in seen] == (
            ["fd00::1"] * 20 + ["10.0.0.9"] * 20 + ["10.0.0.2"] * 20 + ["10.0.0.10"] * 20 + [None] * 40
        )

        assert len((await api("GET", "/widgets?tags=t,t7")).json["widgets"]) == 1
        assert len((await api("GET", "/widgets?not-tags=t,t7")).json["widgets"]) == 119
        assert len((await api("GET", "/widgets?created_at=2026-01-01T00:00:00Z")).json["widgets"]) == 120
        assert len((await api("GET", "/widgets?address=&name=n1")).json["widgets"]) == 1
        assert (await api("GET", "/widgets?name=N1")).json["widgets"] == []

        key = seen[0][1]
        changed = await api(
            "PUT", f"/widgets/{key}", {"widget": {"parts": [{"é": 1}], "enabled": False}}, {"If-Match": "*"}
        )
        assert changed.status == 200, changed.body
        assert (await api("GET", f"/widgets/{key}")).json == changed.json
        assert (await api("DELETE", f"/widgets/{key}")).status == 204

    async def crowd(api: Client) -> None:
        before = len((await api("GET", "/widgets?fields=id")).json["widgets"])
        await api.app.store.write(quota_set, P1, "widgets", {"widget": before + 5})
        await api.app.store.write(quota_set, P1, "widgets", {"widget": before + 6})
        replies = await asyncio.gather(*(api("POST", "/widgets", {"widget": {"size": 1}}) for _ in range(16)))
        assert sorted(reply.status for reply in replies) == [201] * 6 + [409] * 10
        assert await api.app.store.write(quota_reset, P1, "widgets") == 1

    async def main(url: str) -> None:
        async with widget_app(tmp_path, url=url) as app:
            await story(Client(app))
            await crowd(Client(app))

    with databases.fresh(kind, tmp_path) as url:
        migrations.prepare(url)
        with migrations.connected(url) as connection:
            widgets.metadata.create_all(connection, tables=[widgets, resource_tags, quota_limits])
            connection.commit()
        asyncio.run(main(url))
