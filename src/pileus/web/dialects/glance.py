"""Glance's dialect: bare resources, ``first`` and ``next`` beside lists, 25 a page. Source: Image API v2."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from pileus.core.errors import Fault, Kind
from pileus.resource.declaration import Resource
from pileus.resource.listing import Listing
from pileus.resource.wordings.glance import GlanceWording
from pileus.web.accept import HTML, JSON, preferred
from pileus.web.dialects import STATUS, TITLES
from pileus.web.dialects.paged import PagedDialect
from pileus.web.head import Head
from pileus.web.reply import Reply


class GlanceDialect(GlanceWording, PagedDialect):
    """The Image API v2."""

    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 413}
    default_limit = 25

    def error(self, status: int, fault: Fault, request_id: str) -> Any:
        title = TITLES[status]
        if fault.kind is Kind.UNAUTHENTICATED:
            return {"error": {"code": status, "title": title, "message": fault.text}}
        return {"message": fault.text, "code": f"{status} {title}", "title": title}

    def error_reply(self, status: int, fault: Fault, request_id: str, accept: str) -> Reply:
        """HTML unless JSON is asked for, plain text for who takes neither; Glance's clients read these."""
        wanted = preferred(accept, (HTML, JSON))
        if wanted == JSON or fault.kind is Kind.UNAUTHENTICATED:
            return super().error_reply(status, fault, request_id, accept)
        title = f"{status} {TITLES[status]}"
        if wanted == HTML:
            text = (
                f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n"
                f"  {html.escape(fault.text)}<br /><br />\n </body>\n</html>"
            )
            return Reply(status, text.encode(), [(b"content-type", b"text/html; charset=UTF-8")])
        plain = f"{title}\n\n{fault.text}\n\n   "
        return Reply(status, plain.encode(), [(b"content-type", b"text/plain; charset=UTF-8")])

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        kept = [(name, text) for name, text in head.query if name != "marker"]
        path = str(head.scope["path"])[len(head.prefix) :]
        links: dict[str, Any] = {"first": f"{path}?{urlencode(kept)}" if kept else path}
        if more and keys:
            links["next"] = f"{path}?{urlencode([*kept, ('marker', keys[-1])])}"
        links["schema"] = f"/v2/schemas/{resource.plural}"
        return links


GLANCE_API = GlanceDialect()
