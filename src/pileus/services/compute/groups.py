"""Server groups: servers that shall be together or apart. Source: Compute API reference, "Server groups"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.quota import UNLIMITED
from pileus.resource.types import Type
from pileus.resource.versions import Version, parse
from pileus.services.compute.declared import NAME, body_of, by_version, flag, since
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.events import event
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, is_admin, rules
from pileus.services.compute.quotas import limits_read, usage_with_groups
from pileus.services.compute.servers.tables import server_groups, servers
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULES = rules(
    {
        "os-server-groups:create": ADMIN_OR_MEMBER,
        "os-server-groups:delete": ADMIN_OR_MEMBER,
        "os-server-groups:index": ADMIN_OR_READER,
        "os-server-groups:index:all_projects": ADMIN,
        "os-server-groups:show": ADMIN_OR_READER,
    }
)

_HARD = ("anti-affinity", "affinity")
_SOFT = (*_HARD, "soft-anti-affinity", "soft-affinity")


class ServerGroupNotFound(NotFound):
    message = "Instance group {id} could not be found."


@by_version
def _create_type(version: Version) -> Type:
    policy = types.enum(*(_SOFT if version >= parse("2.15") else _HARD))
    if version >= parse("2.64"):
        rules_of = types.dict_of({"max_server_per_host": types.integer(1)})
        fields = {"name": NAME, "policy": policy, "rules": rules_of}
        required: tuple[str, ...] = ("name", "policy")
    else:
        fields = {"name": NAME, "policies": types.list_of(policy, minimum=1, maximum=1)}
        required = ("name", "policies")
    return types.dict_of(
        {"server_group": types.dict_of(fields, required=required)}, required=("server_group",)
    )


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
    """A new group."""
    context = request.context
    request.authorise("os_compute_api:os-server-groups:create", {"project_id": context.project_id})
    asked = body_of(request, _create_type(request))["server_group"]
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
    """The project's groups, or for administrators all."""
    context = request.context
    request.authorise("os_compute_api:os-server-groups:index", {"project_id": context.project_id})
    everyone = flag(request, "all_projects") and is_admin(context.roles, context.is_admin)
    rows, members = await request.read(_list, everyone, context.project_id or "")
    limit, offset = request.parameter("limit"), request.parameter("offset")
    start = request.dialect.limit(offset) if offset else 0  # type: ignore[attr-defined]
    size = request.dialect.limit(limit) if limit else len(rows)  # type: ignore[attr-defined]
    shown = rows[start : start + size]
    return Reply.json({"server_groups": [_view(request, row, members.get(row["id"], [])) for row in shown]})


def _find(tx: Tx, request: Request, rule: str) -> tuple[dict[str, Any], list[str]]:
    key = request.path["id"]
    row = tx.first(select(server_groups).where(server_groups.c.id == key))
    if row is None or not request.access.allows(
        "os_compute_api:os-server-groups:show", {"project_id": row.project_id}
    ):
        raise ServerGroupNotFound(id=key)
    request.authorise(f"os_compute_api:os-server-groups:{rule}", {"project_id": row.project_id})
    return dict(row._mapping), _members(tx, [key]).get(key, [])


async def show_group(request: Request) -> Reply:
    """One group."""
    row, members = await request.read(_find, request, "show")
    return Reply.json({"server_group": _view(request, row, members)})


def _delete(tx: Tx, request: Request) -> None:
    row, _ = _find(tx, request, "delete")
    tx.execute(servers.update().where(servers.c.group_id == row["id"]).values(group_id=None))
    tx.execute(delete(server_groups).where(server_groups.c.id == row["id"]))
    tx.emit(event(request.context, "server_group.delete", row["id"], row["project_id"]))


async def delete_group(request: Request) -> Reply:
    """Delete a group; its servers stay where they are."""
    await request.write(_delete, request)
    return Reply.empty()


_ALL, _ONE = "/v2.1/os-server-groups", "/v2.1/os-server-groups/{id}"
ROUTES = (
    Route("GET", _ALL, list_groups, summary="List server groups"),
    Route("POST", _ALL, create_group, summary="Create a server group"),
    Route("GET", _ONE, show_group, summary="Show a server group"),
    Route("DELETE", _ONE, delete_group, status=204, summary="Delete a server group"),
)
