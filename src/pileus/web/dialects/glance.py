"""Glance's dialect: bare resources, ``first`` and ``next`` beside lists, 25 a page. Source: Image API v2."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from pileus.core.errors import Fault, Forbidden, Invalid, Kind
from pileus.web.accept import HTML, JSON, preferred
from pileus.web.dialects import STATUS, TITLES
from pileus.web.dialects.paged import PagedDialect
from pileus.web.reply import Reply

if TYPE_CHECKING:
    from pileus.web.listing import Listing
    from pileus.web.request import Request
    from pileus.web.resource import Resource


class GlanceDialect(PagedDialect):
    """The Image API v2."""

    name = "glance"
    statuses: ClassVar[Mapping[Kind, int]] = {**STATUS, Kind.OVER_QUOTA: 413}
    wrapped = False
    update_method = "PATCH"
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

    def rule_name(self, resource: Resource, action: str) -> str:
        verb = {"create": "add", "update": "modify", "list": "get"}.get(action, action)
        name = resource.plural if action == "list" else resource.name
        return f"{verb}_{name}"

    def refused(self, rules: Sequence[str], reason: str) -> Fault:
        return Forbidden(f"You are not authorized to complete {rules[-1]} action.")

    def unreadable(self, reason: str) -> Fault:
        return Invalid(f"Malformed JSON in request body: {reason}")

    def no_object(self, resource: Resource, body: Any) -> Fault:
        return Invalid(f"Provided object does not match schema '{resource.name}': it is no object")

    def bad_input(self, name: str, value: Any, sentence: str) -> Fault:
        return Invalid(f"Provided object does not match schema: {sentence}: {name}")

    def read_only(self, resource: Resource, name: str, action: str, body: Any) -> Fault:
        return Forbidden(f"Attribute '{name}' is read-only.")

    def list_links(
        self, request: Request, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        kept = [(name, text) for name, text in request.query if name != "marker"]
        path = str(request.scope["path"])[len(request.service.prefix) :]
        links: dict[str, Any] = {"first": f"{path}?{urlencode(kept)}" if kept else path}
        if more and keys:
            links["next"] = f"{path}?{urlencode([*kept, ('marker', keys[-1])])}"
        links["schema"] = f"/v2/schemas/{resource.plural}"
        return links


GLANCE = GlanceDialect()
