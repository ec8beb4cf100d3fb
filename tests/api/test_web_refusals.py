"""What comes from outside and is wrong: a clear 4xx in the service's shape, never a 500."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.widgets import Client, widget_app

from pileus.web.bodies import BodyLimits

DEEP = b'{"widget":{"size":1,"parts":' + b"[" * 5000 + b"]" * 5000 + b"}}"


def tell(folder: Path, story: Callable[[Client], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        async with widget_app(folder, **settings) as app:
            await story(Client(app))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Body contains invalid data"),
        (b"{", "Body contains invalid data"),
        (b'{"widget": {"size": 1}', "Body contains invalid data"),
        (b"\xff\xfe", "Body contains invalid data"),
        (b'{"widget": {"size": 1, "name": "\xff"}}', "Body contains invalid data"),
        (b'{"widget": {"size": 1, "name": "\\ud800"}}', "Body contains invalid data"),
        (DEEP, "Body contains invalid data"),
        (b"[]", "Body contains invalid data"),
        (b"3", "Body contains invalid data"),
        (b"{}", "Resource body required"),
        (b'{"gadget": {}}', "Unable to find 'widget' in request body"),
        (b'{"widget": []}', "Object 'widget' contains invalid data"),
        (b'{"widget": null}', "Object 'widget' contains invalid data"),
        (b'{"widgets": []}', "Resources required"),
        (b'{"widgets": {}}', "Resources required"),
        (b'{"widgets": [3]}', "Resources required"),
        (b'{"widget": {}}', "Failed to parse request. Required attribute 'size' not specified"),
        (b'{"widget": {"size": 1, "shape": 1, "colour": 2}}', "Unrecognized attribute(s) 'shape, colour'"),
        (b'{"widget": {"size": 1, "id": "x"}}', "Attribute 'id' not allowed in POST"),
        (b'{"widget": {"size": "big"}}', "Invalid input for operation: 'big' is not an integer."),
        (b'{"widget": {"size": null}}', "Invalid input for operation: 'None' is not an integer."),
        (b'{"widget": {"size": true}}', "Invalid input for operation: 'True' is not an integer."),
        (
            b'{"widget": {"size": 0}}',
            "Invalid input for size. Reason: '0' is too small - must be at least '1'.",
        ),
        (
            b'{"widget": {"size": 1e400}}',
            "Body contains invalid data",
        ),
        (
            b'{"widget": {"size": 1, "name": 5}}',
            "Invalid input for name. Reason: '5' is not a valid string.",
        ),
        (
            b'{"widget": {"size": 1, "address": "10.0.0.256"}}',
            "Invalid input for address. Reason: '10.0.0.256' is not a valid IP address.",
        ),
        (
            b'{"widget": {"size": 1, "enabled": "perhaps"}}',
            "Invalid input for operation: 'perhaps' cannot be converted to boolean.",
        ),
        (
            b'{"widget": {"size": 1, "tags": ["a", "a"]}}',
            "Invalid input for tags. Reason: Duplicate items in the list: 'a'.",
        ),
        (
            b'{"widget": {"size": 1, "project_id": "p", "tenant_id": "q"}}',
            "Bad body request: 'project_id' and 'tenant_id' do not match.",
        ),
    ],
)
def test_a_body(tmp_path: Path, body: bytes, message: str) -> None:
    async def story(api: Client) -> None:
        reply = await api("POST", "/widgets", raw=body)
        assert reply.status == 400, reply.body
        error = reply.json["NeutronError"]
        assert error["message"].startswith(message), error
        assert set(error) == {"type", "message", "detail"}

    tell(tmp_path, story)


def test_an_update_of_what_is_fixed(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        made = (await api("POST", "/widgets", {"widget": {"size": 1}})).json["widget"]
        reply = await api("PUT", f"/widgets/{made['id']}", {"widget": {"size": 2}})
        assert reply.status == 400
        assert reply.json["NeutronError"]["message"] == "Cannot update read-only attribute size"

    tell(tmp_path, story)


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_is_bounded(tmp_path: Path, size: int, announced: bool) -> None:
    async def story(api: Client) -> None:
        start = b'{"widget":{"size":1,"name":"'
        body = start + b"n" * 100 + b'"}}' + b" " * (size - len(start) - 103)
        headers = {} if announced else {"content-length": "", "transfer-encoding": "chunked"}
        reply = await api("POST", "/widgets", raw=body, headers=headers)
        assert reply.status == (201 if size == 1000 else 413)

    tell(tmp_path, story, bodies=BodyLimits(largest_bytes=1000))


def test_paths_and_verbs(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        for path in ("/nothing", "/widgets/x/y/z", "/widgets//tags", "/widgets/a\x00b"):
            missing = await api("GET", path)
            assert missing.status == 404, path
            assert "NeutronError" in missing.json
        wrong = await api("PATCH", "/widgets")
        assert wrong.status == 405 and wrong.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        options = await api("OPTIONS", "/widgets/x")
        assert (options.status, options.headers["allow"]) == (200, "DELETE, GET, HEAD, OPTIONS, PUT")
        assert options.headers["content-length"] == "0"
        shown = await api("GET", "/widgets")
        head = await api("HEAD", "/widgets/")
        assert head.body == b"" and head.headers["content-length"] == str(len(shown.body))
        assert (await api("GET", "/widgets/not-a-uuid")).status == 404

    tell(tmp_path, story)


def test_if_match(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        made = (await api("POST", "/widgets", {"widget": {"size": 1}})).json["widget"]
        path = f"/widgets/{made['id']}"

        async def put(condition: str) -> Any:
            return await api("PUT", path, {"widget": {"name": "n"}}, {"If-Match": condition})

        assert (await put("revision_number=1")).json["widget"]["revision_number"] == 2
        stale = await put('"revision_number=1"')
        assert stale.status == 412
        assert stale.json["NeutronError"]["type"] == "RevisionNumberConstraintFailed"
        assert stale.json["NeutronError"]["message"] == "Constrained to 1, but current revision is 2"
        assert (await put("revision_number=x")).status == 400
        assert (await put("revision_number=1,revision_number=2")).status == 400
        assert (await api("DELETE", path, None, {"If-Match": "revision_number=7"})).status == 412
        assert (await api("DELETE", path, None, {"If-Match": "revision_number=2"})).status == 204

    tell(tmp_path, story)


def test_request_ids(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        seen = {
            (await api("GET", path)).headers["x-openstack-request-id"]
            for path in ("/widgets", "/nothing", "/widgets/x")
        }
        assert len(seen) == 3 and all(one.startswith("req-") and len(one) == 40 for one in seen)

    tell(tmp_path, story)


def test_an_unexpected_failure_says_nothing_of_itself(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        async def broken(*_: object) -> None:
            raise RuntimeError("the secret of the house")

        api.app.store.read = broken  # type: ignore[method-assign,assignment]
        reply = await api("GET", "/widgets")
        assert reply.status == 500 and b"secret" not in reply.body
        assert reply.json["NeutronError"]["type"] == "HTTPInternalServerError"
        assert reply.headers["x-openstack-request-id"]

    tell(tmp_path, story)


def test_a_client_that_hangs_up_early(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/widgets/v2.0/widgets",
            "query_string": b"",
            "headers": [(b"x-auth-token", b"alice"), (b"content-length", b"100")],
        }
        messages = [
            {"type": "http.request", "body": b'{"widget"', "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await api.app(scope, receive, send)
        assert sent == []

    tell(tmp_path, story)


def test_a_cancelled_request_leaves_a_whole_widget_or_none(tmp_path: Path) -> None:
    async def story(api: Client) -> None:
        for turns in range(0, 60, 3):
            task = asyncio.ensure_future(api("POST", "/widgets", {"widget": {"size": 1, "tags": ["t"]}}))
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.sleep(turns / 30_000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # writes are in order: when this one is committed, those before it are decided
        await api("POST", "/widgets", {"widget": {"size": 1, "tags": ["t"]}})
        widgets = (await api("GET", "/widgets")).json["widgets"]
        assert widgets and all(one["tags"] == ["t"] for one in widgets)

    tell(tmp_path, story)
