"""A declared resource over HTTP: made, shown, listed, changed, deleted, and what is refused on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.unit.web.widgets import P1, P2, Client, widget_app

Story = Callable[[Client], Awaitable[None]]


def tell(folder: Path, story: Story) -> None:
    async def main() -> None:
        async with widget_app(folder) as app:
            await story(Client(app))

    asyncio.run(main())


def test_the_life_of_a_widget(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        made = await api("POST", "/widgets", {"widget": {"name": "one", "size": 3, "tags": ["b", "a"]}})
        assert made.status == 201
        widget = made.json["widget"]
        assert widget["project_id"] == widget["tenant_id"] == P1
        assert widget["enabled"] is True and widget["parts"] == [] and widget["address"] is None
        assert widget["created_at"] == "2026-01-01T00:00:00Z" and widget["revision_number"] == 1
        assert "widget:host" not in widget
        path = f"/widgets/{widget['id']}"

        shown = await api("GET", path)
        assert shown.json == {"widget": {**widget, "tags": ["a", "b"]}}
        assert (await api("GET", f"{path}?fields=id&fields=tags")).json == {
            "widget": {"id": widget["id"], "tags": ["a", "b"]}
        }
        listed = await api("GET", "/widgets?tenant_id=" + P1)
        assert listed.json == {"widgets": [shown.json["widget"]]}

        changed = await api("PUT", path, {"widget": {"name": "two", "parts": [{"a": 1}]}})
        assert changed.status == 200
        assert changed.json["widget"]["name"] == "two" and changed.json["widget"]["revision_number"] == 2
        assert (await api("GET", path)).json == changed.json

        gone = await api("DELETE", path)
        assert (gone.status, gone.body) == (204, b"") and "content-length" not in gone.headers
        missing = await api("GET", path)
        assert missing.status == 404
        assert missing.json == {
            "NeutronError": {
                "type": "WidgetNotFound",
                "message": f"Widget {widget['id']} could not be found.",
                "detail": "",
            }
        }

    tell(tmp_path, story)


def test_people_see_their_own(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        admin, bob, reader = api.as_("admin"), api.as_("bob"), api.as_("reader")
        body = {"widget": {"size": 1, "widget:host": "h1", "project_id": P1}}
        refused = await api("POST", "/widgets", body)
        assert refused.status == 403
        assert refused.json["NeutronError"]["type"] == "PolicyNotAuthorized"
        assert (
            refused.json["NeutronError"]["message"]
            == "(rule:create_widget and rule:create_widget:widget:host) is disallowed by policy"
        )
        made = (await admin("POST", "/widgets", body)).json["widget"]
        assert made["widget:host"] == "h1"
        path = f"/widgets/{made['id']}"
        assert "widget:host" not in (await api("GET", path)).json["widget"]
        assert (await bob("GET", path)).status == 404
        assert (await bob("GET", "/widgets")).json == {"widgets": []}
        assert len((await reader("GET", "/widgets")).json["widgets"]) == 1
        # who does not see it does not find it; who sees it is told that he may not
        assert (await bob("DELETE", path)).status == 404
        assert (await reader("DELETE", path)).status == 403
        stolen = await bob("POST", "/widgets", {"widget": {"size": 1, "project_id": P1}})
        assert stolen.status == 400
        assert (await api.as_(None)("GET", path)).status == 401
        assert (await api.as_("mallory")("GET", path)).status == 401
        assert (await bob("POST", "/widgets", {"widget": {"size": 1, "project_id": P2}})).status == 201

    tell(tmp_path, story)


def test_many_at_once_are_one_unit(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        many = {"widgets": [{"size": 1, "name": f"n{number}"} for number in range(20)]}
        made = await api("POST", "/widgets", many)
        assert made.status == 201 and [one["name"] for one in made.json["widgets"]][:2] == ["n0", "n1"]
        many["widgets"][5]["size"] = 99
        refused = await api("POST", "/widgets", many)
        assert refused.status == 400
        assert (
            refused.json["NeutronError"]["message"]
            == "Invalid input for size. Reason: '99' is too large - must be no larger than '10'."
        )
        assert len((await api("GET", "/widgets")).json["widgets"]) == 20

    tell(tmp_path, story)
