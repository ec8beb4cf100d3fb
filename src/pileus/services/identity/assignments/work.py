"""The list of role assignments: every grant, or with ``effective`` what the grants amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Select, select

from pileus.core.errors import Invalid
from pileus.services.identity.common.errors import ProjectNotFound
from pileus.services.identity.rules.projects import children_of, subtree
from pileus.services.identity.rules.roles import RoleGraph, closure
from pileus.services.identity.standing.grants import Grant, TargetKind
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.groups import group_members, groups
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.roles import roles
from pileus.services.identity.tables.users import users
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request


class Filters(msgspec.Struct, frozen=True):
    """The filters of a list."""

    role_id: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    include_names: bool = False
    include_subtree: bool = False


class Assignment(msgspec.Struct, frozen=True):
    """A grant, or one that follows from it: through the group that holds it, through the prior role, from
    the project or domain above (``origin``) that it is inherited from."""

    grant: Grant
    via_group: str | None = None
    prior_role: str | None = None
    origin: Grant | None = None


class Names(msgspec.Struct, frozen=True):
    """Names and domains by id, for ``include_names``."""

    names: Mapping[str, str]
    domains: Mapping[str, str | None]


_GRANTS = select(grants).order_by(
    grants.c.actor_kind,
    grants.c.actor_id,
    grants.c.target_kind,
    grants.c.target_id,
    grants.c.role_id,
    grants.c.inherited,
)
_TREE = select(projects.c.id, projects.c.parent_id).order_by(projects.c.id)
_MEMBERS = select(group_members.c.group_id, group_members.c.user_id).order_by(group_members.c.user_id)


def read_filters(request: Request) -> Filters:
    """The filters in the query. Raises Invalid where they exclude each other."""
    given = request.parameter
    inherited_to = given("scope.OS-INHERIT:inherited_to")
    filters = Filters(
        role_id=given("role.id"),
        user_id=given("user.id"),
        group_id=given("group.id"),
        project_id=given("scope.project.id"),
        domain_id=given("scope.domain.id"),
        system=given("scope.system") is not None,
        inherited=None if inherited_to is None else inherited_to == "projects",
        effective=_flag(given("effective")),
        include_names=_flag(given("include_names")),
        include_subtree=_flag(given("include_subtree")),
    )
    if filters.project_id is not None and filters.domain_id is not None:
        raise Invalid("Specify a domain or project, not both")
    if filters.system and filters.domain_id is not None:
        raise Invalid("Specify system or domain, not both")
    if filters.system and filters.project_id is not None:
        raise Invalid("Specify system or project, not both")
    if filters.user_id is not None and filters.group_id is not None:
        raise Invalid("Specify a user or group, not both")
    if filters.effective and filters.group_id is not None:
        raise Invalid("Combining effective and group filter will always result in an empty list.")
    if filters.effective and filters.inherited and filters.domain_id is not None:
        raise Invalid(
            "Combining effective, domain and inherited filters will always result in an empty list."
        )
    if filters.include_subtree and filters.project_id is None:
        raise Invalid("scope.project.id must be specified if include_subtree is also specified")
    return filters


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() not in ("0", "false")


def assignments_read(
    tx: Tx, filters: Filters, only_domain: str | None
) -> tuple[list[Assignment], Names | None]:
    """The assignments, in a constant number of statements; ``only_domain`` narrows them to those on a
    domain and its projects."""
    children = children_of((row.id, row.parent_id) for row in tx.rows(_TREE)) if _needs_tree(filters) else {}
    wanted = _wanted_projects(filters, children)
    found = [Assignment(Grant(*tuple(row))) for row in tx.rows(_statement(tx, filters, wanted, only_domain))]
    if filters.effective:
        members: dict[str, list[str]] = {}
        for row in tx.rows(_MEMBERS):
            members.setdefault(row.group_id, []).append(row.user_id)
        found = [
            one
            for one in effective_assignments(found, members, role_graph(tx), children)
            if filters.user_id in (None, one.grant.actor_id)
            and filters.role_id in (None, one.grant.role_id)
            and (wanted is None or one.grant.target_id in wanted)
        ]
    return found, _names(tx) if filters.include_names else None


def _needs_tree(filters: Filters) -> bool:
    return filters.effective or filters.include_subtree


def _wanted_projects(filters: Filters, children: Mapping[str, list[str]]) -> set[str] | None:
    """The projects that are asked about, or None where that is no question."""
    if filters.project_id is None:
        return None
    return {filters.project_id, *(subtree(children, filters.project_id) if filters.include_subtree else ())}


def _statement(tx: Tx, filters: Filters, wanted: set[str] | None, only_domain: str | None) -> Select[Any]:
    """The grants from which the answer is made; for ``effective`` more than the answer is about."""
    statement = _GRANTS
    if wanted is not None:
        there = (grants.c.target_kind == "project") & column_in(tx, grants.c.target_id, sorted(wanted))
        statement = statement.where(there | grants.c.inherited.is_(True) if filters.effective else there)
    if filters.domain_id is not None:
        statement = statement.where(grants.c.target_kind == "domain", grants.c.target_id == filters.domain_id)
        if filters.effective:
            statement = statement.where(grants.c.inherited.is_(False))
    if filters.system:
        statement = statement.where(grants.c.target_kind == "system")
    if filters.inherited is not None:
        statement = statement.where(grants.c.inherited.is_(filters.inherited))
    if filters.group_id is not None:
        statement = statement.where(grants.c.actor_kind == "group", grants.c.actor_id == filters.group_id)
    if filters.user_id is not None and not filters.effective:
        statement = statement.where(grants.c.actor_kind == "user", grants.c.actor_id == filters.user_id)
    if filters.role_id is not None and not filters.effective:
        statement = statement.where(grants.c.role_id == filters.role_id)
    if only_domain is not None:
        inside = select(projects.c.id).where(projects.c.domain_id == only_domain)
        statement = statement.where((grants.c.target_id == only_domain) | grants.c.target_id.in_(inside))
    return statement


def effective_assignments(
    direct: Iterable[Assignment],
    members: Mapping[str, Iterable[str]],
    graph: RoleGraph,
    children: Mapping[str, Iterable[str]],
) -> list[Assignment]:
    """Groups replaced by their members, inherited grants by those in the projects below, implied roles
    added, domain-specific roles left out; each once, by its shortest way."""
    found: dict[tuple[str, str, str, str], tuple[tuple[bool, bool], Assignment]] = {}
    for one in direct:
        grant = one.grant
        through = grant.actor_id if grant.actor_kind == "group" else None
        users_ = list(members.get(grant.actor_id, ())) if through else [grant.actor_id]
        reached = closure(graph, [grant.role_id])
        for kind, target_id in _targets(grant, children):
            for user_id in users_:
                for role_id, prior in reached.items():
                    if role_id in graph.domain_specific:
                        continue
                    key = (user_id, kind, target_id, role_id)
                    way = (prior is not None, grant.inherited)
                    if key not in found or way < found[key][0]:
                        amounts = Grant("user", user_id, kind, target_id, role_id)
                        origin = grant if grant.inherited else None
                        found[key] = way, Assignment(amounts, through, prior, origin)
    return [assignment for _, assignment in found.values()]


def _targets(grant: Grant, children: Mapping[str, Iterable[str]]) -> list[tuple[TargetKind, str]]:
    """Where a grant counts."""
    if not grant.inherited:
        return [(grant.target_kind, grant.target_id)]
    return [("project", below) for below in subtree(children, grant.target_id)]


def _names(tx: Tx) -> Names:
    names: dict[str, str] = {}
    domains: dict[str, str | None] = {}
    for table in (projects, users, groups, roles):
        for row in tx.rows(select(table.c.id, table.c.name, table.c.domain_id)):
            names[row.id] = row.name
            domains[row.id] = row.domain_id
    return Names(names, domains)


def domain_of_project(tx: Tx, project_id: str) -> str | None:
    """The domain of a project. Raises ProjectNotFound."""
    row = tx.first(select(projects.c.domain_id).where(projects.c.id == project_id))
    if row is None:
        raise ProjectNotFound(id=project_id)
    return None if row.domain_id is None else str(row.domain_id)
