"""The root of all services: a page that tells what this is, and whether it is healthy."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import pileus
from pileus.web.accept import HTML, JSON, PLAIN, preferred
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.service import Service

HEALTH = "/healthcheck"
OPENAPI = "/openapi.json"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Pileus</title></head>
<body>
<h1>Pileus {version}</h1>
<p>A private cloud that speaks the OpenStack APIs.</p>
<table>
<tr><th>Service</th><th>API</th></tr>
{rows}
</table>
<p><a href="{openapi}">All calls, as an OpenAPI document</a>. <a href="{health}">Health</a>.</p>
<p>Log in with any OpenStack client: <code>OS_AUTH_URL={auth_url}</code>. The documentation is in the folder
<code>docs</code> of the source.</p>
</body>
</html>
"""


_HEALTHY = b"<html>\n<head><title>Healthcheck Status</title></head>\n<body>\n<p>OK</p>\n</body>\n</html>\n"


def front_route(services: Sequence[Service]) -> Route:
    """``GET /``, open to everybody: HTML, or JSON for who asks for it."""

    async def handler(request: Request) -> Reply:
        base = request.base_url
        wanted = preferred(request.header("accept"), (HTML, JSON))
        if wanted == JSON:
            return Reply.json(_document(services, base))
        return Reply(200, _page(services, base).encode(), [(b"content-type", b"text/html; charset=utf-8")])

    return Route("GET", "/", handler, authenticated=False, summary="Tell what this is")


def health_route() -> Route:
    """``GET /healthcheck`` of one service, as oslo.middleware's answers while all is well."""
    return Route("GET", HEALTH, _healthy, authenticated=False, summary="Tell whether this serves")


async def _healthy(request: Request) -> Reply:
    if request.method == "HEAD":
        return Reply.empty()
    match preferred(request.header("accept"), (PLAIN, HTML, JSON)):
        case "application/json":
            return Reply.json({"detailed": False, "reasons": ["OK"]})
        case "text/html":
            return Reply(200, _HEALTHY, [(b"content-type", b"text/html; charset=utf-8")])
    return Reply(200, b"OK", [(b"content-type", b"text/plain; charset=utf-8")])


def _document(services: Sequence[Service], base: str) -> dict[str, Any]:
    return {
        "name": "Pileus",
        "version": pileus.__version__,
        "services": [
            {
                "type": one.type,
                "name": one.name,
                "description": one.description,
                "href": f"{base}{one.prefix}/",
            }
            for one in services
        ],
        "openapi": base + OPENAPI,
        "health": base + HEALTH,
    }


def _page(services: Sequence[Service], base: str) -> str:
    base = html.escape(base)
    identity = next((one.prefix for one in services if one.type == "identity"), "")
    rows = "\n".join(
        f"<tr><td>{html.escape(one.type)}: {html.escape(one.description or one.name)}</td>"
        f'<td><a href="{base}{one.prefix}/">{base}{one.prefix}/</a></td></tr>'
        for one in services
    )
    return _PAGE.format(
        version=html.escape(pileus.__version__),
        rows=rows,
        openapi=base + OPENAPI,
        health=base + HEALTH,
        auth_url=f"{base}{identity}/v3",
    )
