"""Fetch JSON from identity providers, and from nowhere else.

The addresses are those that administrators gave, and those that a provider's own document names. HTTPS only,
unless a setting names the issuer; no redirects; no address that only this host or a cloud's metadata service
has; answers are bounded in size and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pileus.core.errors import Unavailable
from pileus.web.outgoing import Address, connector_to

MOST_BYTES = 1 << 20
WITHIN_S = 10.0


class ProviderUnavailable(Unavailable):
    """An identity provider does not answer, or not as one (503). The reason is for the log."""

    message = "The identity provider does not answer as it should. Try again later."

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Fetcher:
    """Fetches; ``plain`` are beginnings of URLs that may be HTTP and lie on this host."""

    def __init__(self, plain: tuple[str, ...] = ()) -> None:
        self._plain = tuple(one.rstrip("/") for one in plain)

    def may_be_plain(self, url: str) -> bool:
        """Whether a setting lets this URL be HTTP."""
        return any(url == one or url.startswith(f"{one}/") for one in self._plain)

    async def get(self, url: str) -> dict[str, Any]:
        """GET a JSON object. Raises ProviderUnavailable."""
        return await self._ask("GET", url, None, None)

    async def post(self, url: str, form: Mapping[str, str], client: tuple[str, str] | None) -> dict[str, Any]:
        """POST a form, as a client, and get a JSON object. Raises ProviderUnavailable."""
        return await self._ask("POST", url, form, client)

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None, client: tuple[str, str] | None
    ) -> dict[str, Any]:
        import aiohttp  # 60 ms, which a cloud without federation does not spend

        plain = self.may_be_plain(url)
        parts = urlsplit(url)
        if parts.scheme != "https" and not (plain and parts.scheme == "http"):
            raise ProviderUnavailable(f"{url} is not HTTPS")
        if parts.hostname is None or parts.username is not None:
            raise ProviderUnavailable(f"{url} is no plain address")
        try:
            connector = await connector_to(parts.hostname, parts.port or 443, partial(_may_ask, plain=plain))
            timeout = aiohttp.ClientTimeout(total=WITHIN_S)
            headers = {} if client is None else {"Authorization": aiohttp.encode_basic_auth(*client)}
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
                session.request(method, url, data=form, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise ProviderUnavailable(f"{url} answers {answer.status}")
                content = await answer.content.read(MOST_BYTES + 1)
                while len(content) <= MOST_BYTES and not answer.content.at_eof():
                    content += await answer.content.read(MOST_BYTES + 1 - len(content))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ProviderUnavailable(f"{url}: {error!r}") from None
        if len(content) > MOST_BYTES:
            raise ProviderUnavailable(f"{url} answers too much")
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProviderUnavailable(f"{url}: {error}") from None
        if not isinstance(found, dict):
            raise ProviderUnavailable(f"{url} answers no object")
        return found


def _may_ask(address: Address, *, plain: bool) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return plain or not address.is_loopback
