"""Behind the real HTTP server: lengths, pipelines, clients that go away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
from tests.unit.web.widgets import Client, widget_app

HEAD = "Host: cloud\r\nX-Auth-Token: alice\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One reply, by its Content-Length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(lines[0].split()[1]), headers, body


def serve(folder: Path, story: Callable[[Client, str], Awaitable[None]]) -> None:
    async def main() -> None:
        async with widget_app(folder) as app:
            path = str(folder / "http.sock")
            server = uvicorn.Server(uvicorn.Config(app, uds=path, log_config=None))
            task = asyncio.ensure_future(server.serve())
            try:
                while not server.started:
                    await asyncio.sleep(0.01)
                await story(Client(app), path)
            finally:
                server.should_exit = True
                await task

    asyncio.run(main())


def test_two_requests_in_one_packet_and_a_long_list(tmp_path: Path) -> None:
    async def story(api: Client, path: str) -> None:
        for _ in range(2):
            await api("POST", "/widgets", {"widgets": [{"size": 1, "name": "ü"}] * 240})
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(
            f"GET /widgets/v2.0/widgets HTTP/1.1\r\n{HEAD}\r\n"
            f"HEAD /widgets/v2.0/widgets HTTP/1.1\r\n{HEAD}\r\n".encode()
        )
        status, headers, body = await answer(reader)
        assert status == 200 and len(json.loads(body)["widgets"]) == 480
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert f"content-length: {headers['content-length']}" in lines
        # nothing but the next reply follows the head
        writer.write(f"DELETE /widgets/v2.0/widgets/x HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert (await answer(reader))[0] == 404
        writer.close()

    serve(tmp_path, story)


def test_clients_that_go_away_leave_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"widget": {"size": 1, "tags": ["t"]}}).encode()
    post = f"POST /widgets/v2.0/widgets HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
    get = f"GET /widgets/v2.0/widgets HTTP/1.1\r\n{HEAD}\r\n".encode()

    async def story(api: Client, path: str) -> None:
        await api("POST", "/widgets", {"widgets": [{"size": 1, "tags": ["t"]}] * 300})
        for request in (post, get):
            for cut in (10, len(request) // 2, len(request) - 1, len(request)):
                for wait in (0, 0.001, 0.003):
                    _, writer = await asyncio.open_unix_connection(path)
                    writer.write(request[:cut])
                    await asyncio.sleep(wait)
                    writer.transport.abort()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(get)
        status, _, listed = await answer(reader)
        assert status == 200
        assert all(one["tags"] == ["t"] for one in json.loads(listed)["widgets"])
        writer.close()

    with caplog.at_level(logging.WARNING):
        serve(tmp_path, story)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
