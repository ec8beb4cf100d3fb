"""The tags of a server, since 2.26. Source: Compute API reference, "Server tags"."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.tag_table import tags_load, tags_save
from pileus.resource.types import BadValue
from pileus.services.compute.declared import body_of, root_url
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.events import event
from pileus.services.compute.servers.finding import change, find_server
from pileus.services.compute.servers.requests import TAG, TAGS, TAGS_LIMIT
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

_BODY = types.dict_of({"tags": TAGS}, required=("tags",))
_RULE = "os_compute_api:os-server-tags:"


class ServerTagNotFound(NotFound):
    message = "Server {server_id} has no tag '{tag}'"


def _read(tx: Tx, request: Request, rule: str) -> list[str]:
    server = find_server(tx, request, rule=_RULE + rule)
    return tags_load(tx, [server["id"]]).get(server["id"], [])


def _write(
    tx: Tx, request: Request, rule: str, made: Callable[[list[str]], list[str]]
) -> tuple[list[str], list[str]]:
    """The tags before and after."""
    server = find_server(tx, request, rule=_RULE + rule, lock=True)
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
    """All of them."""
    return Reply.json({"tags": await request.read(_read, request, "index")})


async def replace_tags(request: Request) -> Reply:
    """These and no others."""
    wanted = body_of(request, _BODY)["tags"]
    _, after = await request.write(_write, request, "update_all", lambda _: wanted)
    return Reply.json({"tags": after})


async def remove_tags(request: Request) -> Reply:
    """None."""
    await request.write(_write, request, "delete_all", lambda _: [])
    return Reply.empty()


async def check_tag(request: Request) -> Reply:
    """204 where the server has it, 404 where not."""
    tag = request.path["tag"]
    if tag not in await request.read(_read, request, "show"):
        raise ServerTagNotFound(server_id=request.path["id"], tag=tag)
    return Reply.empty()


async def add_tag(request: Request) -> Reply:
    """201 for a new one, 204 for one that is there."""
    tag = _tag(request)
    before, _ = await request.write(_write, request, "update", lambda now: [*now, tag])
    reply = Reply.empty(204 if tag in before else 201)
    return reply.header(
        "location", f"{root_url(request)}/servers/{request.path['id']}/tags/{quote(tag, safe='')}"
    )


async def remove_tag(request: Request) -> Reply:
    """Take one away."""
    tag = request.path["tag"]

    def without(now: list[str]) -> list[str]:
        if tag not in now:
            raise ServerTagNotFound(server_id=request.path["id"], tag=tag)
        return [one for one in now if one != tag]

    await request.write(_write, request, "delete", without)
    return Reply.empty()


def _route(method: str, path: str, handler: Handler, status: int, summary: str) -> Route:
    return Route(method, path, handler, status=status, summary=summary, versions=("2.26", ""))


_PATH = "/v2.1/servers/{id}/tags"
ROUTES = (
    _route("GET", _PATH, list_tags, 200, "List a server's tags"),
    _route("PUT", _PATH, replace_tags, 200, "Replace a server's tags"),
    _route("DELETE", _PATH, remove_tags, 204, "Remove a server's tags"),
    _route("GET", f"{_PATH}/{{tag}}", check_tag, 204, "Check a server's tag"),
    _route("PUT", f"{_PATH}/{{tag}}", add_tag, 201, "Add a tag to a server"),
    _route("DELETE", f"{_PATH}/{{tag}}", remove_tag, 204, "Remove a tag of a server"),
)
