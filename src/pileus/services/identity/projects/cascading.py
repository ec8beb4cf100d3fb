"""``/v3/projects/{id}/cascade``: a project and all below it are switched or deleted at once.

Source: Keystone's specification "Project cascade operations" (Mitaka).
"""

from __future__ import annotations

from pileus.resource.declaration import Values
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.projects.work import project_delete_branch, project_switch_branch
from pileus.store.tx import Tx
from pileus.web.crud import find_judged, shown_reply
from pileus.web.parse import parse_update
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


async def switch_branch(request: Request) -> Reply:
    """PATCH /v3/projects/{id}/cascade"""
    changes = parse_update(PROJECT, request)

    def unit(tx: Tx) -> Values:
        project = find_judged(tx, request, PROJECTS, "update", lock=True)
        return project_switch_branch(tx, request.context, project, changes)

    return shown_reply(request, PROJECT, await request.write(unit))


async def delete_branch(request: Request) -> Reply:
    """DELETE /v3/projects/{id}/cascade"""

    def unit(tx: Tx) -> None:
        project = find_judged(tx, request, PROJECTS, "delete", lock=True)
        project_delete_branch(tx, request.context, project)

    await request.write(unit)
    return Reply.empty()


_PATH = "/v3/projects/{id}/cascade"

CASCADE_ROUTES = (
    Route(
        "PATCH",
        _PATH,
        switch_branch,
        resource=PROJECT,
        action="update",
        rule=PROJECT.rule("update"),
        summary="Enable or disable a project and all below it",
    ),
    Route(
        "DELETE",
        _PATH,
        delete_branch,
        status=204,
        rule=PROJECT.rule("delete"),
        summary="Delete a project and all below it",
    ),
)
