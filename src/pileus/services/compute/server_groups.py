"""Server groups: servers that shall be together or apart. Source: Compute API reference, "Server groups"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.event import event
from pileus.resource.quota import UNLIMITED
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import NAME, at_least, body_of, enforce, flag, since
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.paging import offset, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.quotas.counting import limits_read, usage_with_groups
from pileus.services.compute.replies import COUNT, TEXT, UUID, always, named, named_list
from pileus.services.compute.tables.servers import server_groups, servers
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_RULE = "os_compute_api:os-server-groups:"
_HARD = ("anti-affinity", "affinity")
_SOFT = (*_HARD, "soft-anti-affinity", "soft-affinity")


class ServerGroupNotFound(NotFound):
    message = "Instance group {id} could not be found."


def _create_body(version: Version) -> Type:
    policy = types.enum(*(_SOFT if at_least(version, "2.15") else _HARD))
    if at_least(version, "2.64"):
        limits = types.dict_of({"max_server_per_host": types.integer(1)})
        fields = {"name": NAME, "policy": policy, "rules": limits}
        required: tuple[str, ...] = ("name", "policy")
    else:
        fields = {"name": NAME, "policies": types.list_of(policy, minimum=1, maximum=1)}
        required = ("name", "policies")
    return types.dict_of(
        {"server_group": types.dict_of(fields, required=required)}, required=("server_group",)
    )


def _shown(version: Version) -> Type:
    fields = {"id": UUID, "name": TEXT, "members": types.list_of(UUID)}
    policy = types.enum(*_SOFT)
    if at_least(version, "2.64"):
        fields |= {"policy": policy, "rules": always({}, {"max_server_per_host": COUNT})}
    else:
        fields |= {"policies": types.list_of(policy), "metadata": always({})}
    if at_least(version, "2.13"):
        fields |= {"project_id": TEXT, "user_id": TEXT}
    return always(fields)


def _view(request: Request, row: Any, members: list[str]) -> dict[str, Any]:
    view: dict[str, Any] = {"id": row["id"], "name": row["name"], "members": members}
    if since(request, "2.64"):
        view |= {"policy": row["policy"], "rules": row["rules"]}
    else:
        view |= {"policies": [row["policy"]], "metadata": {}}
    if since(request, "2.13"):
        view |= {"project_id": row["project_id"], "user_id": row["user_id"]}
    return view


def _members(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if ids:
        for row in tx.rows(
            select(servers.c.group_id, servers.c.id)
            .where(servers.c.group_id.in_(ids), servers.c.deleted_at.is_(None))
            .order_by(servers.c.created_at, servers.c.id)
        ):
            found.setdefault(row.group_id, []).append(row.id)
    return found


def _create(tx: Tx, context: Context, row: dict[str, Any]) -> None:
    project_id = row["project_id"]
    tx.lock(f"quota:{project_id}:server_groups")
    limits = limits_read(tx, project_id, row["user_id"])
    for bounds, user_id in ((limits.project, None), (limits.user, row["user_id"])):
        most = bounds.get("server_groups", UNLIMITED)
        if most != UNLIMITED and usage_with_groups(tx, project_id, user_id).server_groups >= most:
            raise QuotaError("Quota exceeded, too many server groups.")
    tx.insert(server_groups, [row])
    tx.emit(event(context, "server_group.create", row["id"], project_id, name=row["name"]))


async def create_group(request: Request) -> Reply:
    """Create a group."""
    context = request.context
    enforce(request, {"project_id": context.project_id})
    asked = body_of(request)["server_group"]
    policy = asked.get("policy") or asked["policies"][0]
    limits = asked.get("rules") or {}
    if limits and policy != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    row = {
        "id": new_id(),
        "project_id": context.project_id or "",
        "user_id": context.user_id or "",
        "name": asked["name"],
        "policy": policy,
        "rules": limits,
        "created_at": context.now,
    }
    await request.write(_create, context, row)
    return Reply.json({"server_group": _view(request, row, [])})


def _list(tx: Tx, everyone: bool, project_id: str) -> tuple[list[Any], dict[str, list[str]]]:
    statement = select(server_groups).order_by(server_groups.c.created_at, server_groups.c.id)
    if not everyone:
        statement = statement.where(server_groups.c.project_id == project_id)
    rows = [dict(row._mapping) for row in tx.rows(statement)]
    return rows, _members(tx, [row["id"] for row in rows])


async def list_groups(request: Request) -> Reply:
    """List the project's groups, or for administrators all."""
    context = request.context
    enforce(request, {"project_id": context.project_id})
    everyone = flag(request, "all_projects") and request.access.allows(_RULE + "index:all_projects")
    rows, members = await request.read(_list, everyone, context.project_id or "")
    start = offset(request)
    shown = rows[start : start + page_size(request)] if request.parameter("limit") else rows[start:]
    return Reply.json({"server_groups": [_view(request, row, members.get(row["id"], [])) for row in shown]})


def _find(tx: Tx, request: Request) -> tuple[dict[str, Any], list[str]]:
    key = request.path["id"]
    row = tx.first(select(server_groups).where(server_groups.c.id == key))
    if row is None or not request.access.allows(_RULE + "show", {"project_id": row.project_id}):
        raise ServerGroupNotFound(id=key)
    enforce(request, {"project_id": row.project_id})
    return dict(row._mapping), _members(tx, [key]).get(key, [])


async def show_group(request: Request) -> Reply:
    """Show one group."""
    row, members = await request.read(_find, request)
    return Reply.json({"server_group": _view(request, row, members)})


def _delete(tx: Tx, request: Request) -> None:
    row, _ = _find(tx, request)
    tx.execute(servers.update().where(servers.c.group_id == row["id"]).values(group_id=None))
    tx.execute(delete(server_groups).where(server_groups.c.id == row["id"]))
    tx.emit(event(request.context, "server_group.delete", row["id"], row["project_id"]))


async def delete_group(request: Request) -> Reply:
    """Delete a group; its servers stay where they are."""
    await request.write(_delete, request)
    return Reply.empty()


_ALL, _ONE = "/v2.1/os-server-groups", "/v2.1/os-server-groups/{id}"
_GROUP = ByVersion(lambda version: named("server_group", _shown(version)))
_GROUPS = ByVersion(lambda version: named_list("server_groups", _shown(version)))

SERVER_GROUPS = Noun(
    name="server_group",
    rules=rules(
        {
            "os-server-groups:create": ADMIN_OR_MEMBER,
            "os-server-groups:delete": ADMIN_OR_MEMBER,
            "os-server-groups:index": ADMIN_OR_READER,
            "os-server-groups:index:all_projects": ADMIN,
            "os-server-groups:show": ADMIN_OR_READER,
        }
    ),
    extensions=(Extension("os-server-groups", "ServerGroups", "Server group support."),),
    routes=(
        Route("GET", _ALL, list_groups, rule=_RULE + "index", reply=_GROUPS, summary="List server groups"),
        Route(
            "POST",
            _ALL,
            create_group,
            rule=_RULE + "create",
            body=ByVersion(_create_body),
            reply=_GROUP,
            summary="Create a server group",
        ),
        Route("GET", _ONE, show_group, rule=_RULE + "show", reply=_GROUP, summary="Show a server group"),
        Route(
            "DELETE", _ONE, delete_group, rule=_RULE + "delete", status=204, summary="Delete a server group"
        ),
    ),
)
