"""Settings of the web room, with their bounds said in words."""

from __future__ import annotations

import msgspec

from pileus.web.client import Proxies


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``max_body_bytes`` bounds a request's body (413 beyond it; not for uploads, which stream).

    ``page_limit`` bounds a page of every list where the caller asked for more or for no limit;
    None leaves it to each service's own habit. ``public_url`` (scheme, host, port) stands in links
    where a proxy hides the address that clients use and sends no X-Forwarded-Host. ``proxies`` are those
    whose X-Forwarded headers count.
    """

    max_body_bytes: int = 1_048_576
    page_limit: int | None = None
    public_url: str = ""
    proxies: Proxies = Proxies()
