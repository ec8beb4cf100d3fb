"""Requests to an app in this process: what all clouds of tests speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

from pileus.web.app import App


class Answer:
    """What came back. Of the properties each service's tests use those of its own form of errors."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    def __repr__(self) -> str:
        return f"<{self.status} {self.content[:2000]!r}>"

    def __eq__(self, other: object) -> bool:
        """Whether it says the same; request ids and times in headers differ."""
        if not isinstance(other, Answer):
            return NotImplemented
        return (self.status, self.content) == (other.status, other.content)

    __hash__ = None  # type: ignore[assignment]

    @property
    def body(self) -> bytes:
        return self.content

    @cached_property
    def json(self) -> Any:
        return json.loads(self.content) if self.content else None

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def error(self) -> str:
        """The type of a Neutron error."""
        return str(self.json["NeutronError"]["type"])

    @property
    def message(self) -> str:
        """The message of an error in the form of Keystone, Nova or Cinder."""
        return str(next(iter(self.json.values()))["message"])

    @property
    def token(self) -> str:
        return self.headers["x-subject-token"]


def encoded(body: Any) -> bytes:
    """A body as it is sent: bytes as they are, nothing for None, else JSON."""
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()


async def ask(
    app: App,
    method: str,
    address: str,
    headers: Mapping[str, str],
    parts: Iterable[bytes | None] = (b"",),
    *,
    leave_after: int | None = None,
) -> Answer:
    """Send one request, and wait for its reply; status 0 where there was none.

    The body comes in ``parts``, of which None hangs up; after ``leave_after`` parts of the reply the
    client is gone.
    """
    target = urlsplit(address)
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": unquote(target.path),
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    pieces = iter(parts)
    messages: list[dict[str, Any]] = []
    told_all = False
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal told_all
        if told_all:
            await left.wait()
            return {"type": "http.disconnect"}
        await asyncio.sleep(0)
        try:
            piece = next(pieces)
        except StopIteration:
            told_all = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        messages.append(dict(message))
        if leave_after is not None and len(messages) > leave_after:
            left.set()
            await asyncio.sleep(0.01)

    await app(scope, receive, send)
    if not messages:
        return Answer(0, {}, b"")
    found = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return Answer(messages[0]["status"], found, b"".join(one.get("body", b"") for one in messages[1:]))
