"""Fetch an image's data by HTTP, in pieces as they come.

Each address on the way is judged anew, a redirect's too. What comes is bounded by who takes it; a source that
stands still is given up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from pileus.core.errors import Fault, Invalid, Kind
from pileus.services.image.config import ImageConfig
from pileus.services.image.imports.methods import may_ask, split_uri
from pileus.web.outgoing import AddressRefused, connector_to

_PIECE = 1 << 18
_REDIRECTS = 5
_CONNECT_S, _SILENT_S = 15, 60
_DOCUMENT_BYTES = 1 << 20


class FetchFailed(Fault):
    """The data can't be had from where it was said to be."""

    kind = Kind.INVALID


class Fetcher(Protocol):
    """Where the bytes of imports come from."""

    def pieces(self, uri: str) -> AsyncGenerator[bytes, None]:
        """The content at an address that a user named. Raises FetchFailed."""

    def trusted(self, url: str, token: str) -> AsyncGenerator[bytes, None]:
        """The content at an address of the catalog's, with a token. Raises FetchFailed."""


class HttpFetcher:
    """Fetches from the network."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    async def pieces(self, uri: str) -> AsyncGenerator[bytes, None]:
        """The content at an address that a user named. Raises FetchFailed."""
        for _ in range(_REDIRECTS + 1):
            try:
                parts = split_uri(uri, self._config)
                port = parts.port or {"http": 80, "https": 443}[parts.scheme]
                connector = await connector_to(
                    parts.hostname or "", port, partial(may_ask, config=self._config)
                )
            except Invalid as refused:
                raise FetchFailed(refused.text) from None
            except (AddressRefused, OSError, UnicodeError):
                raise FetchFailed(f"URI for web-download does not pass filtering: {uri}") from None
            following: str | None = None
            async with aclosing(_content(connector, uri, {})) as content:
                async for piece in content:
                    if isinstance(piece, str):
                        following = piece
                        break
                    yield piece
            if following is None:
                return
            uri = urljoin(uri, following)
        raise FetchFailed(f"There are more than {_REDIRECTS} redirects")

    async def trusted(self, url: str, token: str) -> AsyncGenerator[bytes, None]:
        """The content at an address of the catalog's, with a token. Raises FetchFailed."""
        import aiohttp

        if urlsplit(url).scheme not in ("http", "https"):
            raise FetchFailed(f"{url} is not HTTP")
        async with aclosing(_content(aiohttp.TCPConnector(), url, {"X-Auth-Token": token})) as content:
            async for piece in content:
                if isinstance(piece, str):
                    raise FetchFailed(f"{url} is somewhere else")
                yield piece


async def document(pieces: AsyncIterator[bytes]) -> dict[str, Any]:
    """A JSON object that comes in pieces. Raises FetchFailed."""
    content = b""
    async for piece in pieces:
        content += piece
        if len(content) > _DOCUMENT_BYTES:
            raise FetchFailed("The answer is too long")
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise FetchFailed("The answer is no JSON") from None
    if not isinstance(found, dict):
        raise FetchFailed("The answer is no JSON object")
    return found


async def _content(connector: Any, url: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes | str, None]:
    """The body in pieces; or, as a text, where the source says that it is."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S)
    # The bytes are hashed as they lie at the source, so none is unpacked on the way.
    asked = {"Accept-Encoding": "identity", **headers}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, trust_env=False, auto_decompress=False
            ) as session,
            session.get(url, headers=asked, allow_redirects=False) as answer,
        ):
            if answer.status in (301, 302, 303, 307, 308) and "location" in answer.headers:
                yield answer.headers["location"]
                return
            if answer.status != 200:
                raise FetchFailed(f"{url} answers {answer.status}")
            async for piece in answer.content.iter_chunked(_PIECE):
                yield piece
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(f"{url} can't be fetched: {type(error).__name__}") from None
