"""The list language of the network API: filters, fields, sorts, pages, tags."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.unit.web.widgets import Client, widget_app

WIDGETS = [
    {"name": "a", "size": 3, "address": "10.0.0.1", "tags": ["red", "blue"]},
    {"name": "b", "size": 1, "enabled": False, "tags": ["red"]},
    {"name": "c", "size": 3, "address": "2001:DB8::1"},
    {"name": "d", "size": 2, "description": "x"},
    {"name": "e", "size": 3, "tags": ["blue", "green"]},
]


def tell(folder: Path, story: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with widget_app(folder) as app:
            api = Client(app)
            made = await api("POST", "/widgets", {"widgets": WIDGETS})
            assert made.status == 201
            await story(api)

    asyncio.run(main())


def names(reply: Any) -> str:
    assert reply.status == 200, reply.body
    return "".join(one["name"] for one in reply.json["widgets"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=a", "a"),
        ("name=a&name=c", "ac"),
        ("name=a&size=1", ""),
        ("size=3&enabled=true", "ace"),
        ("enabled=False", "b"),
        ("enabled=0&enabled=1", "abcde"),
        ("address=2001:db8:0::1", "c"),
        ("address=", "bde"),
        ("description=x", "d"),
        ("name=%00", None),
        ("size=99999999999999999999999", None),
        ("enabled=maybe", None),
        ("created_at=yesterday", None),
        ("tags=red", "ab"),
        ("tags=red,blue", "a"),
        ("tags=red&tags=blue", "a"),
        ("tags-any=blue,green", "ae"),
        ("not-tags=red,blue", "bcde"),
        ("not-tags=", "abcde"),
        ("not-tags-any=red,blue", "cd"),
        ("sort_key=name&sort_dir=desc", "edcba"),
        ("sort_key=size&sort_dir=asc&sort_key=name&sort_dir=desc", "bdeca"),
        ("sort_key=name", None),
        ("sort_key=parts&sort_dir=asc", None),
        ("sort_key=name&sort_dir=up", None),
        ("limit=-1", None),
        ("limit=ten", None),
        ("limit=999999999999999999999999&sort_key=name&sort_dir=asc", "abcde"),
        ("colour=red", None),
        ("parts=1", None),
        ("marker=nobody&limit=1", "missing"),
    ],
)
def test_a_query(tmp_path: Path, query: str, expected: str | None) -> None:
    async def story(api: Client) -> None:
        reply = await api("GET", f"/widgets?{query}")
        if expected is None:
            assert reply.status == 400 and reply.json["NeutronError"]["message"]
        elif expected == "missing":
            assert reply.status == 404
        else:
            got = names(reply)
            assert (got if "sort" in query else "".join(sorted(got))) == expected

    tell(tmp_path, story)


def test_the_words_of_refused_queries(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        async def message(query: str) -> tuple[str, str]:
            error = (await api("GET", f"/widgets?{query}")).json["NeutronError"]
            return error["type"], error["message"]

        assert await message("colour=red&shape=round") == (
            "HTTPBadRequest",
            "['colour', 'shape'] is invalid attribute for filtering",
        )
        assert await message("limit=-1") == (
            "BadRequest",
            "Bad limit request: Limit must be an integer 0 or greater and not '-1'.",
        )
        assert await message("enabled=maybe") == (
            "InvalidInput",
            "Invalid input for operation: 'maybe' cannot be converted to boolean.",
        )

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "order",
    [
        "sort_key=name&sort_dir=asc",
        "sort_key=size&sort_dir=desc",
        "sort_key=address&sort_dir=asc",
        "sort_key=address&sort_dir=desc&sort_key=size&sort_dir=asc",
        "",
    ],
)
def test_pages_forth_and_back_hold_each_once(tmp_path: Path, order: str) -> None:
    async def story(api: Client) -> None:
        everything = names(await api("GET", f"/widgets?{order}"))
        reply = await api("GET", f"/widgets?limit=2&{order}")
        pages = [reply]
        while True:
            links = {link["rel"]: link["href"] for link in reply.json.get("widgets_links", [])}
            if "next" not in links:
                break
            href = urlsplit(links["next"])
            assert (href.netloc, href.path) == ("cloud:8080", "/widgets/v2.0/widgets")
            reply = await api("GET", f"/widgets?{href.query}")
            pages.append(reply)
        assert "".join(map(names, pages)) == everything
        # and back again: the page before the last
        href = urlsplit(
            next(link["href"] for link in pages[-1].json["widgets_links"] if link["rel"] == "previous")
        )
        assert "page_reverse=True" in href.query
        assert names(await api("GET", f"/widgets?{href.query}")) == names(pages[-2])

    tell(tmp_path, story)


def test_a_row_deleted_between_pages_shifts_nothing(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        order = "sort_key=name&sort_dir=asc"
        first = (await api("GET", f"/widgets?limit=2&{order}")).json["widgets"]
        await api("DELETE", f"/widgets/{first[0]['id']}")
        after = await api("GET", f"/widgets?limit=9&marker={first[1]['id']}&{order}")
        assert names(after) == "cde"

    tell(tmp_path, story)


def test_fields(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        reply = await api("GET", "/widgets?fields=name&fields=tenant_id&fields=nonsense&name=a")
        (one,) = reply.json["widgets"]
        assert set(one) == {"name", "project_id", "tenant_id"}
        reply = await api("GET", "/widgets?fields=tags&name=a")
        assert reply.json == {"widgets": [{"tags": ["blue", "red"]}]}
        assert (await api("GET", "/widgets?fields=nonsense&name=a")).json == {"widgets": [{}]}

    tell(tmp_path, story)


def test_a_bound_on_pages(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path, page_limit=2) as app:
            api = Client(app)
            await api("POST", "/widgets", {"widgets": WIDGETS})
            for query in ("", "?limit=5"):
                reply = await api("GET", f"/widgets{query}")
                assert len(reply.json["widgets"]) == 2 and reply.json["widgets_links"]

    asyncio.run(main())


def test_statements_do_not_grow_with_rows(tmp_path: Path) -> None:
    async def main() -> None:
        async with widget_app(tmp_path) as app:
            api = Client(app)
            counted: list[int] = []
            read = app.store.read

            async def counting(work: Any, *args: Any) -> Any:
                def unit(tx: Any, *rest: Any) -> Any:
                    made = work(tx, *rest)
                    counted.append(tx.statements)
                    return made

                return await read(unit, *args)

            app.store.read = counting  # type: ignore[method-assign, assignment]
            for _ in range(3):
                await api("POST", "/widgets", {"widgets": WIDGETS * 20})
                await api("GET", "/widgets")
            # the rows and their tags
            assert counted == [2, 2, 2]

    asyncio.run(main())
