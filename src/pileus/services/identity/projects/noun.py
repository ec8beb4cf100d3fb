"""Projects: routes and rules."""

from __future__ import annotations

import dataclasses
import functools

from pileus.services.identity.common.policy import ADMIN, READ, domain_reader, rules
from pileus.services.identity.projects.cascading import CASCADE_ROUTES
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.hierarchy import show_project
from pileus.services.identity.projects.tags import TAG_ROUTES
from pileus.services.identity.projects.work import project_create
from pileus.web.crud import crud_routes
from pileus.web.noun import Noun

_IN_PROJECTS_DOMAIN = "domain_id:%(target.project.domain_id)s and not None:%(target.project.domain_id)s"
_READ = f"{READ} or (role:reader and {_IN_PROJECTS_DOMAIN}) or project_id:%(target.project.id)s"
_WRITE = f"{ADMIN} or (role:manager and {_IN_PROJECTS_DOMAIN})"

_RULES = rules(
    {
        "get_project": _READ,
        "list_projects": domain_reader("target.domain_id"),
        "create_project": _WRITE,
        "update_project": _WRITE,
        "delete_project": _WRITE,
        "list_project_tags": _READ,
        "get_project_tag": _READ,
        "update_project_tags": _WRITE,
        "create_project_tag": _WRITE,
        "delete_project_tags": _WRITE,
        "delete_project_tag": _WRITE,
    }
)


def noun(deepest: int) -> Noun:
    """Make the noun; ``deepest`` is how many projects may be below each other."""
    declared = dataclasses.replace(PROJECTS, create=functools.partial(project_create, deepest=deepest))
    return Noun(
        name="project",
        routes=(
            *(
                dataclasses.replace(route, handler=show_project) if route.action == "get" else route
                for route in crud_routes(declared, "/v3/projects")
            ),
            *CASCADE_ROUTES,
            *TAG_ROUTES,
        ),
        rules=_RULES,
    )
