"""The head of a request: where it was sent, with what headers and query, from whom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource.versions import Version
from pileus.resource.wording import Wording
from pileus.web.reading import read_query
from pileus.web.settings import WebSettings

_GLOBAL_ID = re.compile(r"req-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Head:
    """``path`` holds the values of the path's parameters, ``prefix`` is the service's, ``wording`` its words.

    ``version`` is the negotiated microversion, None where the service has none.
    """

    __slots__ = ("_headers", "_query", "path", "prefix", "scope", "settings", "version", "wording")

    def __init__(
        self,
        scope: Mapping[str, Any],
        settings: WebSettings,
        prefix: str,
        wording: Wording,
        path: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        version: Version | None,
    ) -> None:
        self.scope = scope
        self.settings = settings
        self.prefix = prefix
        self.wording = wording
        self.path = path
        self.version = version
        self._headers = headers
        self._query: list[tuple[str, str]] | None = None

    @property
    def caller(self) -> Context | None:
        """Who asks, once that is known."""
        return None

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def header(self, name: str) -> str | None:
        """A header's value, by name in any case; of repeated ones the last."""
        value = self._headers.get(name.lower().encode("ascii"))
        return None if value is None else value.decode("latin-1")

    def raw_header(self, name: bytes) -> bytes | None:
        """A header's value as it came; ``name`` in small letters."""
        return self._headers.get(name)

    @property
    def global_id(self) -> str | None:
        """The caller's id of the whole that this is part of (``X-OpenStack-Request-ID``), if well formed."""
        text = self.header("x-openstack-request-id")
        return text if text is not None and _GLOBAL_ID.fullmatch(text) else None

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs, repeated names and empty values kept; raises the dialect's Invalid."""
        if self._query is None:
            text = self.scope["query_string"]
            try:
                self._query = read_query(text) if text else []
            except ValueError as error:
                raise self.wording.bad_part("query", str(error)) from None
        return self._query

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        found = None
        for key, value in self.query:
            if key == name:
                found = value
        return found

    @property
    def base_url(self) -> str:
        """Where the client found this server: scheme and host, without a slash at the end."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        forwarded_host, forwarded_scheme = self.settings.proxies.forwarded(self.scope)
        host = forwarded_host or self.header("host")
        if host is None:
            address = self.scope.get("server") or ("localhost", 80)
            host = f"{address[0]}:{address[1]}"
        return f"{forwarded_scheme or self.scope.get('scheme', 'http')}://{host}"

    @property
    def client_address(self) -> str:
        """The address of whoever asks, also behind a trusted proxy; empty for the Unix socket.

        Clients are counted by ``web.client.share_of(address)``.
        """
        return self.settings.proxies.client_address(self.scope)

    @property
    def service_url(self) -> str:
        """The base of this service's paths."""
        return self.base_url + self.prefix

    @property
    def path_url(self) -> str:
        """This request's address without its query."""
        return self.base_url + str(self.scope["path"])
