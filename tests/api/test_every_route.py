"""Every route of the whole server, asked oddly: no answer is a 500, with and without a token."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pileus.app.prepare import prepare
from pileus.app.processes.server import Server
from pileus.app.sections import ServerSection
from pileus.app.settings import Settings
from pileus.app.state import StateFolder

UNKNOWN = "10000000-0000-4000-8000-000000000001"
EDGES = ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-00:01", "0001-01-01", "9999-12-31T23:59:59Z")
TIMES = ("changes-since", "changes-before", "start", "end", "created_at", "updated_at", "launched_at",
         "expires_at", "password_expires_at", "timestamp")  # fmt: skip
QUERIES = (
    "&".join(f"a{number}=" for number in range(1001)),
    "&".join("fixed_ips=ip_address%3D10.0.0.1" for _ in range(700)),
    "&".join(f"id={UNKNOWN}" for _ in range(900)),
    "&".join("tags=a" for _ in range(900)),
    "tags=" + ",".join(f"a{number}" for number in range(3000)),
    "&".join(f"fixed_ips=ip_address_substr%3D10.{number}" for number in range(990)),
    "sort_key=id&" * 200,
    "limit=1%00",
    "na%00me=x",
    "name=%ff%fe&%=%&%zz=%u1234",
    "name=\udcff\udcfe",
    "limit=" + "9" * 5000,
    "limit=-1&page_reverse=%E2%80%AE&marker=%ED%A0%80",
    "marker=" + "x" * 5000,
    "name=" + "%F0%9F%98%80" * 300,
    "=&&==&;",
    *("&".join(f"{name}={edge}" for name in TIMES) for edge in EDGES),
    *("&".join(f"{name}=gt:{edge}" for name in TIMES) for edge in EDGES),
    *(f"{name}={edge}" for name in ("changes-since", "start", "created_at", "launched_at") for edge in EDGES),
)
BODIES = (
    b"[" * 500 + b"]" * 500,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b"[" * 100_000,
    b"1" + b"0" * 4000,
    b"1" + b"0" * 5000,
    b"1e400",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b'"\\ud800"',
    b'{"\\ud800": 1}',
    b'{"a": "\xed\xa0\x80"}',
    b"\x1f\x8b\x08\x00",
    b"",
    b"null",
    b"NaN",
)
VALUES = (
    1 << 70, -(1 << 70), 10**4000, 1.5e308, "\x00", "\ufffe", "😀" * 100, "x" * 70_000, [[[[[[[[]]]]]]]],
    {"\x00": "\x00"}, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-00:01", True, None, [None], {"": {}},
)  # fmt: skip
SEGMENTS = ("\x00", "\ufffd", "x" * 5000, "..", "%2e%2e", "😀", "'--", " ", "a\nb", UNKNOWN)


class Call(NamedTuple):
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Api:
    """The whole server as one ASGI application, and an administrator's token."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.token = b""

    async def __call__(self, call: Call, *, token: bool = True) -> tuple[int, dict[bytes, bytes], bytes]:
        messages: list[dict[str, Any]] = []
        headers = {b"host": b"cloud", b"content-type": b"application/json", **dict(call.headers)}
        if token:
            headers[b"x-auth-token"] = self.token
        scope = {
            "type": "http", "method": call.method, "scheme": "http", "path": call.path,
            "server": ("cloud", 80), "client": ("192.0.2.1", 1),
            "query_string": call.query.encode("utf-8", "surrogateescape"),
            "headers": list(headers.items()),
        }  # fmt: skip
        bodies = iter([{"type": "http.request", "body": call.body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in bodies:
                return message
            await asyncio.Event().wait()  # it stays until it is answered
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self.server(scope, receive, send)
        answered = b"".join(message.get("body", b"") for message in messages[1:])
        return messages[0]["status"], dict(messages[0]["headers"]), answered

    async def log_in(self) -> None:
        password = self.server.folder.admin_password.read_text()
        domain = {"name": "Default"}
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "admin", "domain": domain, "password": password}},
                },
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        asked = Call("POST", "/identity/v3/auth/tokens", body=json.dumps(body).encode())
        status, headers, text = await self(asked, token=False)
        assert status == 201, text
        self.token = headers[b"x-subject-token"]


@contextlib.asynccontextmanager
async def whole_server(folder: Path) -> AsyncIterator[Api]:
    state = StateFolder(folder)
    settings = Settings(server=ServerSection(user="root"))  # whoever runs this: nobody is dropped to
    server = Server(state, settings, {}, prepare(state, settings, ()))
    await server.start()
    try:
        api = Api(server)
        await api.log_in()
        yield api
    finally:
        await server.close()


def filled(path: str, segment: str) -> str:
    """A route's path with its parameters filled."""
    return "/".join(segment if part.startswith("{") else part for part in path.split("/"))


def calls(method: str, path: str) -> Iterator[Call]:
    """What one route is asked."""
    plain = filled(path, UNKNOWN)
    if method == "GET":
        for query in QUERIES if not path.endswith("}") else QUERIES[:1]:
            yield Call(method, plain, query)
    elif "auth/tokens" not in path:
        for body in BODIES:
            yield Call(method, plain, body=body)
        name = path.rstrip("/").split("/")[-1].replace("-", "_")
        for value in VALUES:
            inner = dict.fromkeys(("id", "name", "description", "size", "host", "expires_at", "tags"), value)
            yield Call(method, plain, body=json.dumps({name.removesuffix("s"): inner}).encode())
            yield Call(method, plain, body=json.dumps({name: value}).encode())
    if "{" in path:
        for segment in SEGMENTS:
            yield Call(method, filled(path, segment))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_odd_request_is_an_error_of_ours(method: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with whole_server(tmp_path) as api:
            found = []
            for service in api.server._app.services:
                paths = {service.prefix + route.path for route in service.routes if route.method == method}
                for path in sorted(paths):
                    for call in calls(method, path):
                        status, _, text = await api(call)
                        if status >= 500 and status != 501:
                            found.append(f"{status} {str(call)[:300]} {text[:200]!r}")
                    status, _, text = await api(Call(method, filled(path, UNKNOWN), QUERIES[0]), token=False)
                    assert 400 <= status < 500 or (method == "GET" and status < 400), (path, status, text)
            assert not found, "\n".join(found[:50])

    asyncio.run(story())
