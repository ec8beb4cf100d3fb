"""Settings of the web room, with their bounds said in words."""

from __future__ import annotations

import msgspec

from pileus.web.bodies import BodyLimits
from pileus.web.client import Proxies


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``bodies`` bounds bodies of requests.

    ``page_limit`` bounds a page of every list where the caller asked for more or for no limit;
    None leaves it to each service's own habit. ``public_url`` (scheme, host, port) stands in links
    where a proxy hides the address that clients use and sends no X-Forwarded-Host. ``proxies`` are those
    whose X-Forwarded headers count, and ``certificate_header``, which holds a client's certificate.
    """

    bodies: BodyLimits = BodyLimits()
    page_limit: int | None = None
    public_url: str = ""
    proxies: Proxies = Proxies()
    certificate_header: str = ""
