"""``GET /v3/role_assignments``: every grant, or with ``effective`` what the grants amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.core.errors import Invalid
from pileus.services.identity.grants import Grant, grants
from pileus.services.identity.groups import group_members, groups
from pileus.services.identity.projects import projects
from pileus.services.identity.roles import role_graph, roles
from pileus.services.identity.rules.roles import RoleGraph, closure
from pileus.services.identity.users import users
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request


class Filters(msgspec.Struct, frozen=True):
    """What a request narrows the list to."""

    role_id: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    effective: bool = False
    include_names: bool = False


class Assignment(msgspec.Struct, frozen=True):
    """A grant, or one that follows from it: through the group that holds it, through the prior role."""

    grant: Grant
    via_group: str | None = None
    prior_role: str | None = None


class Names(msgspec.Struct, frozen=True):
    """Names and domains by id, for ``include_names``."""

    names: Mapping[str, str]
    domains: Mapping[str, str | None]


_GRANTS = select(grants).order_by(
    grants.c.actor_kind, grants.c.actor_id, grants.c.target_kind, grants.c.target_id, grants.c.role_id
)
_MEMBERS = select(group_members.c.group_id, group_members.c.user_id).order_by(group_members.c.user_id)


def read_filters(request: Request) -> Filters:
    """The filters in the query. Raises Invalid where they exclude each other."""
    given = request.parameter
    filters = Filters(
        role_id=given("role.id"),
        user_id=given("user.id"),
        group_id=given("group.id"),
        project_id=given("scope.project.id"),
        domain_id=given("scope.domain.id"),
        system=given("scope.system") is not None,
        effective=_flag(given("effective")),
        include_names=_flag(given("include_names")),
    )
    if sum((filters.project_id is not None, filters.domain_id is not None, filters.system)) > 1:
        raise Invalid("Specify a domain or project, not both")
    if filters.user_id is not None and filters.group_id is not None:
        raise Invalid("Specify a user or group, not both")
    if filters.effective and filters.group_id is not None:
        raise Invalid("Combining effective and group filter will always result in an empty list.")
    if _flag(given("include_subtree")):
        raise Invalid("include_subtree is not supported")
    return filters


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() not in ("0", "false")


def assignments_read(
    tx: Tx, filters: Filters, only_domain: str | None
) -> tuple[list[Assignment], Names | None]:
    """The assignments; ``only_domain`` narrows them to those on a domain and its projects."""
    statement = _GRANTS
    if filters.project_id is not None:
        statement = statement.where(
            grants.c.target_kind == "project", grants.c.target_id == filters.project_id
        )
    if filters.domain_id is not None:
        statement = statement.where(grants.c.target_kind == "domain", grants.c.target_id == filters.domain_id)
    if filters.system:
        statement = statement.where(grants.c.target_kind == "system")
    if filters.group_id is not None:
        statement = statement.where(grants.c.actor_kind == "group", grants.c.actor_id == filters.group_id)
    if filters.user_id is not None and not filters.effective:
        statement = statement.where(grants.c.actor_kind == "user", grants.c.actor_id == filters.user_id)
    if filters.role_id is not None and not filters.effective:
        statement = statement.where(grants.c.role_id == filters.role_id)
    if only_domain is not None:
        inside = select(projects.c.id).where(projects.c.domain_id == only_domain)
        statement = statement.where((grants.c.target_id == only_domain) | grants.c.target_id.in_(inside))
    found = [Assignment(Grant(*tuple(row))) for row in tx.rows(statement)]
    if filters.effective:
        members: dict[str, list[str]] = {}
        for row in tx.rows(_MEMBERS):
            members.setdefault(row.group_id, []).append(row.user_id)
        found = [
            one
            for one in effective_assignments(found, members, role_graph(tx))
            if filters.user_id in (None, one.grant.actor_id) and filters.role_id in (None, one.grant.role_id)
        ]
    return found, _names(tx) if filters.include_names else None


def effective_assignments(
    direct: Iterable[Assignment], members: Mapping[str, Iterable[str]], graph: RoleGraph
) -> list[Assignment]:
    """Groups replaced by their members, implied roles added, domain-specific roles left out; each once."""
    found: dict[tuple[str, str, str, str], Assignment] = {}
    for one in direct:
        grant = one.grant
        through = grant.actor_id if grant.actor_kind == "group" else None
        for user_id in members.get(grant.actor_id, ()) if through else (grant.actor_id,):
            for role_id, prior in closure(graph, [grant.role_id]).items():
                if role_id in graph.domain_specific:
                    continue
                key = (user_id, grant.target_kind, grant.target_id, role_id)
                before = found.get(key)
                if before is None or (before.prior_role is not None and prior is None):
                    reached = Grant("user", user_id, grant.target_kind, grant.target_id, role_id)
                    found[key] = Assignment(reached, through, prior)
    return list(found.values())


def _names(tx: Tx) -> Names:
    names: dict[str, str] = {}
    domains: dict[str, str | None] = {}
    for table in (projects, users, groups, roles):
        for row in tx.rows(select(table.c.id, table.c.name, table.c.domain_id)):
            names[row.id] = row.name
            domains[row.id] = row.domain_id
    return Names(names, domains)


def assignment_view(one: Assignment, names: Names | None, base: str) -> dict[str, Any]:
    """One entry of the list. ``base`` is the address of ``/v3``."""
    grant = one.grant
    scope: dict[str, Any]
    if grant.target_kind == "system":
        scope, where = {"system": {"all": True}}, f"{base}/system"
    else:
        scope = {grant.target_kind: _ref(grant.target_id, names)}
        where = f"{base}/{grant.target_kind}s/{grant.target_id}"
    actor = f"groups/{one.via_group}" if one.via_group else f"{grant.actor_kind}s/{grant.actor_id}"
    links = {"assignment": f"{where}/{actor}/roles/{one.prior_role or grant.role_id}"}
    if one.via_group:
        links["membership"] = f"{base}/groups/{one.via_group}/users/{grant.actor_id}"
    if one.prior_role:
        links["prior_role"] = f"{base}/prior_role/{one.prior_role}/implies/{grant.role_id}"
    return {
        "links": links,
        "role": _ref(grant.role_id, names),
        "scope": scope,
        grant.actor_kind: _ref(grant.actor_id, names),
    }


def _ref(key: str, names: Names | None) -> dict[str, Any]:
    if names is None:
        return {"id": key}
    view: dict[str, Any] = {"id": key, "name": names.names.get(key, "")}
    domain_id = names.domains.get(key)
    if domain_id is not None:
        view["domain"] = {"id": domain_id, "name": names.names.get(domain_id, "")}
    return view


async def assignments_list(request: Request) -> Reply:
    """GET /v3/role_assignments"""
    filters = read_filters(request)
    context = request.context
    whole = request.access.allows("identity:list_role_assignments")
    if not whole:
        request.authorise("identity:list_role_assignments", {"target.domain_id": context.domain_id})
    only_domain = None if whole else context.domain_id
    found, names = await request.read(assignments_read, filters, only_domain)
    base = f"{request.service_url}/v3"
    query = request.scope["query_string"].decode("latin-1")
    here = f"{request.path_url}?{query}" if query else request.path_url
    return Reply.json(
        {
            "role_assignments": [assignment_view(one, names, base) for one in found],
            "links": {"next": None, "self": here, "previous": None},
        }
    )
