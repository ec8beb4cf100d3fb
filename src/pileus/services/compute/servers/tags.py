"""The tags of a server, since 2.26. Source: Compute API reference, "Server tags"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.event import event
from pileus.resource.tag_table import tags_load, tags_save
from pileus.resource.types import BadValue
from pileus.services.compute.api import root_url
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import TEXTS, named
from pileus.services.compute.servers.lookup import change, find_server
from pileus.services.compute.servers.requests import TAG, TAGS, TAGS_LIMIT
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import NO_BODY, Route

_BODY = types.dict_of({"tags": TAGS}, required=("tags",))
_RULE = "os_compute_api:os-server-tags:"


class ServerTagNotFound(NotFound):
    message = "Server {server_id} has no tag '{tag}'"


def _read(tx: Tx, request: Request) -> list[str]:
    server = find_server(tx, request)
    return tags_load(tx, [server["id"]]).get(server["id"], [])


def _write(tx: Tx, request: Request, made: Callable[[list[str]], list[str]]) -> tuple[list[str], list[str]]:
    """The tags before and after."""
    server = find_server(tx, request, lock=True)
    before = tags_load(tx, [server["id"]]).get(server["id"], [])
    after = sorted(set(made(before)))
    if len(after) > TAGS_LIMIT:
        raise BadRequest(f"The number of tags exceeded the per-server limit {TAGS_LIMIT}")
    if after != before:
        tags_save(tx, request.context, {server["id"]: after})
        change(tx, request.context, server)
        tx.emit(
            event(
                request.context,
                "server.update",
                server["id"],
                server["project_id"],
                host=server["host"],
                changed=["tags"],
            )
        )
    return before, after


def _tag(request: Request) -> str:
    try:
        return str(TAG.parse(request.path["tag"]))
    except BadValue as bad:
        raise request.dialect.bad_value("tag", request.path["tag"], bad) from None


async def list_tags(request: Request) -> Reply:
    """List a server's tags."""
    return Reply.json({"tags": await request.read(_read, request)})


async def replace_tags(request: Request) -> Reply:
    """Replace all tags by these."""
    wanted = declared_body(request)["tags"]
    _, after = await request.write(_write, request, lambda _: wanted)
    return Reply.json({"tags": after})


async def remove_tags(request: Request) -> Reply:
    """Remove all tags."""
    await request.write(_write, request, lambda _: [])
    return Reply.empty()


async def check_tag(request: Request) -> Reply:
    """Answer 204 where the server has the tag, 404 where not."""
    tag = request.path["tag"]
    if tag not in await request.read(_read, request):
        raise ServerTagNotFound(server_id=request.path["id"], tag=tag)
    return Reply.empty()


async def add_tag(request: Request) -> Reply:
    """Add a tag: 201 for a new one, 204 for one that is there."""
    tag = _tag(request)
    before, _ = await request.write(_write, request, lambda now: [*now, tag])
    reply = Reply.empty(204 if tag in before else 201)
    return reply.header(
        "location", f"{root_url(request)}/servers/{request.path['id']}/tags/{quote(tag, safe='')}"
    )


async def remove_tag(request: Request) -> Reply:
    """Remove one tag."""
    tag = request.path["tag"]

    def without(now: list[str]) -> list[str]:
        if tag not in now:
            raise ServerTagNotFound(server_id=request.path["id"], tag=tag)
        return [one for one in now if one != tag]

    await request.write(_write, request, without)
    return Reply.empty()


def _route(
    method: str, path: str, handler: Handler, rule: str, summary: str, status: int = 200, **more: Any
) -> Route:
    return Route(
        method,
        path,
        handler,
        rule=_RULE + rule,
        status=status,
        summary=summary,
        versions=("2.26", ""),
        **more,
    )


_ALL, _ONE = "/v2.1/servers/{id}/tags", "/v2.1/servers/{id}/tags/{tag}"
_TAGS = named("tags", TEXTS)

SERVER_TAGS = Noun(
    name="server_tag",
    rules=rules(
        {
            "os-server-tags:index": ADMIN_OR_READER,
            "os-server-tags:show": ADMIN_OR_READER,
            "os-server-tags:update": ADMIN_OR_MEMBER,
            "os-server-tags:update_all": ADMIN_OR_MEMBER,
            "os-server-tags:delete": ADMIN_OR_MEMBER,
            "os-server-tags:delete_all": ADMIN_OR_MEMBER,
        }
    ),
    routes=(
        _route("GET", _ALL, list_tags, "index", "List a server's tags", reply=_TAGS),
        _route("PUT", _ALL, replace_tags, "update_all", "Replace a server's tags", body=_BODY, reply=_TAGS),
        _route("DELETE", _ALL, remove_tags, "delete_all", "Remove a server's tags", 204),
        _route("GET", _ONE, check_tag, "show", "Check a server's tag", 204),
        _route("PUT", _ONE, add_tag, "update", "Add a tag to a server", 201, body=NO_BODY, reply=NO_BODY),
        _route("DELETE", _ONE, remove_tag, "delete", "Remove a tag of a server", 204),
    ),
)
