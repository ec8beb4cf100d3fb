"""Server groups: servers that shall be together or apart. Source: Compute API reference, "Server groups"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension, Resource, Values, fresh_id, request_time
from pileus.resource.event import event
from pileus.resource.listing import Listing
from pileus.resource.quota import UNLIMITED
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.api import NAME, at_least, enforce, flag, wrapped
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.paging import offset, page_size
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.quotas.counting import limits_read, usage_with_groups
from pileus.services.compute.replies import COUNT, TEXT, UUID, always, named, named_list
from pileus.services.compute.tables.servers import server_groups, servers
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request
from pileus.web.routes import ByVersion

_HARD = ("anti-affinity", "affinity")
_SOFT = (*_HARD, "soft-anti-affinity", "soft-affinity")


class ServerGroupNotFound(NotFound):
    message = "Instance group {id} could not be found."


def _one_policy(body: dict[str, Any]) -> dict[str, Any]:
    """The list of one policy that old versions take, as the policy."""
    group = body["server_group"]
    return {"server_group": {"name": group["name"], "policy": group["policies"][0]}}


def _create_body(version: Version) -> Type:
    policy = types.enum(*(_SOFT if at_least(version, "2.15") else _HARD))
    if at_least(version, "2.64"):
        limits = types.dict_of({"max_server_per_host": types.integer(1)})
        return wrapped("server_group", {"name": NAME, "policy": policy, "rules": limits}, ("name", "policy"))
    policies = types.list_of(policy, minimum=1, maximum=1)
    body = wrapped("server_group", {"name": NAME, "policies": policies}, ("name", "policies"))
    return types.normalised(body, _one_policy)


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


def _members(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in tx.rows(
        select(servers.c.group_id, servers.c.id)
        .where(column_in(tx, servers.c.group_id, ids), servers.c.deleted_at.is_(None))
        .order_by(servers.c.created_at, servers.c.id)
    ):
        found.setdefault(row.group_id, []).append(row.id)
    return found


_SINCE_2_64, _UNTIL_2_63 = ("2.64", ""), ("", "2.63")

SERVER_GROUP = Resource(
    "server_group",
    table=server_groups,
    collection="os-server-groups",
    wording=NOVA,
    not_found=ServerGroupNotFound,
    attributes=(
        Attribute("id", types.uuid, default=fresh_id),
        Attribute("name", NAME, create=True),
        Attribute("members", types.list_of(types.uuid), loader=_members, empty=[]),
        Attribute("policy", types.enum(*_SOFT), create=True, versions=_SINCE_2_64),
        Attribute("rules", types.anything, default={}, create=True, versions=_SINCE_2_64),
        Attribute(
            "policies",
            Type("policies", list, {"type": "array"}, show=lambda policy: [policy]),
            column=server_groups.c.policy,
            default=lambda context, values: values["policy"],
            versions=_UNTIL_2_63,
        ),
        Attribute("metadata", types.anything, compute=lambda values: {}, versions=_UNTIL_2_63),
        Attribute(
            "project_id",
            types.string(),
            default=lambda context, values: context.project_id or "",
            versions=("2.13", ""),
        ),
        Attribute(
            "user_id",
            types.string(),
            default=lambda context, values: context.user_id or "",
            versions=("2.13", ""),
        ),
        Attribute("created_at", types.timestamp, default=request_time, visible=False),
    ),
    default_sort=(("created_at", False), ("id", False)),
    description="Servers that shall be together or apart.",
)


def server_group_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write groups. Raises QuotaError, or BadRequest for rules that the policy does not have."""
    for spec in specs:
        if spec["rules"] and spec["policy"] != "anti-affinity":
            raise BadRequest("Only anti-affinity policy supports rules.")
        project_id = spec["project_id"]
        tx.lock(f"quota:{project_id}:server_groups")
        limits = limits_read(tx, project_id, spec["user_id"])
        for bounds, user_id in ((limits.project, None), (limits.user, spec["user_id"])):
            most = bounds.get("server_groups", UNLIMITED)
            if most != UNLIMITED and usage_with_groups(tx, project_id, user_id).server_groups >= most:
                raise QuotaError("Quota exceeded, too many server groups.")
        SERVER_GROUP.insert(tx, context, [spec])
        tx.emit(event(context, "server_group.create", spec["id"], project_id, name=spec["name"]))
    return specs


def server_group_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete groups; their servers stay where they are."""
    ids = [one["id"] for one in originals]
    tx.execute(servers.update().where(column_in(tx, servers.c.group_id, ids)).values(group_id=None))
    SERVER_GROUP.remove(tx, originals)
    tx.emit_many([event(context, "server_group.delete", one["id"], one["project_id"]) for one in originals])


def _judge_list(request: Request) -> None:
    enforce(request, {"project_id": request.context.project_id})


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    """The project's own, or for administrators those of all projects."""
    if flag(request, "all_projects") and request.access.allows(f"{SERVER_GROUP.rule('list')}:all_projects"):
        return ()
    return [server_groups.c.project_id == (request.context.project_id or "")]


def _listing(request: Request) -> Listing:
    """Pages by numbers, without links to others."""
    limit = page_size(request) if request.parameter("limit") else None
    return Listing(limit=limit, offset=offset(request), paged=False)


_GROUP = ByVersion(lambda version: named("server_group", _shown(version)))
_GROUPS = ByVersion(lambda version: named_list("server_groups", _shown(version)))

_CRUD = Crud(
    resource=SERVER_GROUP,
    create=server_group_create,
    delete=server_group_delete,
    list_judge=_judge_list,
    list_where=_asked,
    listing=_listing,
    bodies={"create": ByVersion(_create_body)},
    replies={"list": _GROUPS, "create": _GROUP, "get": _GROUP},
)

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
    routes=crud_routes(_CRUD, "/v2.1/os-server-groups"),
)
