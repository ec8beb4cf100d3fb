"""``/v3/projects/{id}/tags``: a project's tags, of which each change is one of the project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.options import ResourceUpdateForbidden, is_immutable
from pileus.services.identity.common.replies import LINKS, own_link, shape
from pileus.services.identity.projects.domains import judge_domain
from pileus.services.identity.projects.resource import MAX_TAGS, PROJECT, TAG, project_target
from pileus.services.identity.projects.work import project_update
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route


class ProjectTagNotFound(NotFound):
    """The project has no such tag (404)."""

    message = "Could not find project tag: {tag}."


_TAGS = types.list_of(TAG, unique=True, maximum=MAX_TAGS)
_BODY = types.dict_of({"tags": _TAGS}, required=("tags",), additional=types.anything)
_REPLY = shape({"tags": types.list_of(types.string(None)), "links": LINKS})


async def list_tags(request: Request) -> Reply:
    """GET /v3/projects/{id}/tags"""
    return _reply(request, (await request.read(_find, request))["tags"])


async def replace_tags(request: Request) -> Reply:
    """PUT /v3/projects/{id}/tags"""
    body = request.json()
    if not isinstance(body, dict) or "tags" not in body:
        raise request.dialect.no_object(PROJECT, body)
    return _reply(request, await request.write(_change, request, lambda _: _checked(request, body["tags"])))


async def remove_tags(request: Request) -> Reply:
    """DELETE /v3/projects/{id}/tags"""
    await request.write(_change, request, lambda _: [])
    return Reply.empty()


async def add_tag(request: Request) -> Reply:
    """PUT /v3/projects/{id}/tags/{tag}"""
    tag = request.path["tag"]
    await request.write(_change, request, lambda tags: _checked(request, [*tags, *({tag} - set(tags))]))
    return Reply.empty(201)


async def check_tag(request: Request) -> Reply:
    """GET or HEAD /v3/projects/{id}/tags/{tag}"""
    _require_tag(request, (await request.read(_find, request))["tags"])
    return Reply.empty()


async def remove_tag(request: Request) -> Reply:
    """DELETE /v3/projects/{id}/tags/{tag}"""
    tag = request.path["tag"]

    def without(tags: Sequence[str]) -> list[str]:
        _require_tag(request, tags)
        return [one for one in tags if one != tag]

    await request.write(_change, request, without)
    return Reply.empty()


def _find(tx: Tx, request: Request, *, lock: bool = False) -> Values:
    """The project of the path, after the rule of the route was asked. Raises Forbidden, then NotFound."""
    found = fetch(tx, PROJECT, [request.path["id"]], lock=lock)
    rule = request.route.rule
    assert rule is not None
    request.authorise(rule, project_target(found[0] if found else None))
    if not found:
        raise PROJECT.not_found(request.path["id"])
    if found[0]["is_domain"] and lock:
        judge_domain(request, "update", found[0])
    return found[0]


def _change(tx: Tx, request: Request, change: Callable[[Sequence[str]], list[str]]) -> list[str]:
    project = _find(tx, request, lock=True)
    if is_immutable(project):
        verb = {"DELETE": "delete"}.get(request.method, "create" if "tag" in request.path else "update")
        raise ResourceUpdateForbidden(
            f"Cannot {verb} project tags for {project['id']}, project is immutable. "
            'Set "immutable" option to false before creating project tags.'
        )
    wanted = Values({"tags": change(project["tags"])})
    tags: list[str] = project_update(tx, request.context, [Update(project, wanted)])[0]["tags"]
    return tags


def _require_tag(request: Request, tags: Sequence[str]) -> None:
    if request.path["tag"] not in tags:
        raise ProjectTagNotFound(tag=request.path["tag"])


def _checked(request: Request, value: Any) -> list[str]:
    try:
        return list(_TAGS.parse(value))
    except types.BadValue as bad:
        raise request.dialect.bad_value("tags", value, bad) from None


def _reply(request: Request, tags: Sequence[str]) -> Reply:
    return Reply.json({"tags": tags, "links": own_link(request)})


_ALL, _ONE = "/v3/projects/{id}/tags", "/v3/projects/{id}/tags/{tag}"
_RULE = "identity:{}_project_{}".format

TAG_ROUTES = (
    Route(
        "GET", _ALL, list_tags, rule=_RULE("list", "tags"), reply=_REPLY, summary="List the tags of a project"
    ),
    Route(
        "PUT",
        _ALL,
        replace_tags,
        rule=_RULE("update", "tags"),
        body=_BODY,
        reply=_REPLY,
        summary="Replace the tags of a project",
    ),
    Route(
        "DELETE",
        _ALL,
        remove_tags,
        status=204,
        rule=_RULE("delete", "tags"),
        summary="Remove the tags of a project",
    ),
    Route(
        "PUT",
        _ONE,
        add_tag,
        status=201,
        rule=_RULE("create", "tag"),
        body=NO_BODY,
        reply=NO_BODY,
        summary="Add a tag to a project",
    ),
    Route("GET", _ONE, check_tag, status=204, rule=_RULE("get", "tag"), summary="Check a tag of a project"),
    Route(
        "DELETE",
        _ONE,
        remove_tag,
        status=204,
        rule=_RULE("delete", "tag"),
        summary="Remove a tag of a project",
    ),
)
