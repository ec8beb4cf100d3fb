"""Access of projects to private volume types. Source: Block Storage API reference, "Volume type access"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import TEXT, UUID, always, named_list
from pileus.services.volume.api import enforce
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.types import work
from pileus.web.actions import action_route
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, Route

_PROJECT = types.dict_of({"project": types.string(255, minimum=1)}, required=("project",))
_RULE = "volume_extension:volume_type_access"


async def list_access(request: Request) -> Reply:
    """List the projects of a private type."""
    enforce(request)
    access = await request.read(work.access_list, request.access, request.path["id"])
    return Reply.json({"volume_type_access": access})


async def add_access(request: Request, argument: Any) -> Reply:
    """Give a type to a project."""
    enforce(request)
    await request.write(work.access_add, request.access, request.path["id"], argument["project"])
    return Reply.empty(202)


async def remove_access(request: Request, argument: Any) -> Reply:
    """Take a type from a project."""
    enforce(request)
    await request.write(work.access_remove, request.access, request.path["id"], argument["project"])
    return Reply.empty(202)


TYPE_ACCESS = Noun(
    name="volume_type_access",
    rules=rules(
        {
            _RULE: ADMIN,
            _RULE + ":addProjectAccess": ADMIN,
            _RULE + ":removeProjectAccess": ADMIN,
            _RULE + ":get_all_for_type": ADMIN,
        }
    ),
    extensions=(Extension("os-volume-type-access", "VolumeTypeAccess", "Volume type access support."),),
    routes=(
        Route(
            "GET",
            "/v3/types/{id}/os-volume-type-access",
            list_access,
            rule=_RULE + ":get_all_for_type",
            reply=named_list("volume_type_access", always({"volume_type_id": UUID, "project_id": TEXT})),
            summary="List the projects of a private volume type",
        ),
        action_route(
            "/v3/types/{id}/action",
            {
                "addProjectAccess": Action(
                    _PROJECT,
                    add_access,
                    rule=_RULE + ":addProjectAccess",
                    reply=NO_BODY,
                    summary="Give a volume type to a project",
                ),
                "removeProjectAccess": Action(
                    _PROJECT,
                    remove_access,
                    rule=_RULE + ":removeProjectAccess",
                    reply=NO_BODY,
                    summary="Take a volume type from a project",
                ),
            },
            summary="Give a volume type to a project, or take it away",
        ),
    ),
)
