"""``GET /v3/projects/{id}`` with what is above and below it (``openstack project show --parents``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.rules.projects import (
    ancestors,
    children_of,
    nested_above,
    nested_below,
    subtree,
)
from pileus.services.identity.standing.grants import targets_of
from pileus.services.identity.tables.projects import projects
from pileus.store.tx import Tx
from pileus.web.crud import find_judged, shown_reply
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show

_TREE = select(projects.c.id, projects.c.parent_id).order_by(projects.c.id)


async def show_project(request: Request) -> Reply:
    """GET /v3/projects/{id}: ``parents_as_ids`` and ``subtree_as_ids`` give trees, ``…_as_list`` the projects
    in which the caller has a role."""
    project = await request.read(find_judged, request, PROJECTS, "get")
    asked = {name for name in _PARAMETERS if request.parameter(name) not in (None, "0")}
    if not asked:
        return shown_reply(request, PROJECT, project)
    for kind in ("parents", "subtree"):
        if {f"{kind}_as_list", f"{kind}_as_ids"} <= asked:
            raise ValidationError(
                f"Cannot use {kind}_as_list and {kind}_as_ids query params at the same time."
            )
    parents = dict(await request.read(_tree))
    children = children_of(parents.items())
    view: dict[str, Any] = show(request, PROJECT, [project])[0]
    key = project["id"]
    if "parents_as_ids" in asked:
        view["parents"] = nested_above(parents, key)
    if "subtree_as_ids" in asked:
        view["subtree"] = nested_below(children, key)
    if "parents_as_list" in asked:
        view["parents"] = await _listed(request, ancestors(parents, key))
    if "subtree_as_list" in asked:
        view["subtree"] = await _listed(request, subtree(children, key))
    return Reply.json({PROJECT.name: view})


_PARAMETERS = ("parents_as_list", "parents_as_ids", "subtree_as_list", "subtree_as_ids")


def _tree(tx: Tx) -> list[tuple[str, str | None]]:
    return [(row.id, row.parent_id) for row in tx.rows(_TREE)]


async def _listed(request: Request, ids: Sequence[str]) -> list[dict[str, Any]]:
    found: list[Values] = []
    if ids:
        his = [targets_of("project", request.context.user_id), projects.c.is_domain.is_(False)]
        found = await request.read(fetch, PROJECT, list(ids), his)
    by_id = {one["id"]: one for one in found}
    views = show(request, PROJECT, [by_id[key] for key in ids if key in by_id])
    return [{PROJECT.name: view} for view in views]
