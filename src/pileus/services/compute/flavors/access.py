"""Access of projects to private flavors. Source: Compute API reference, "Flavors access"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.actions import action_route
from pileus.services.compute.api import enforce, since
from pileus.services.compute.flavors import work
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import TEXT, always, named_list
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, Route

_PROJECT = types.dict_of({"tenant": types.string(255, minimum=1)}, required=("tenant",))
_REPLY = named_list("flavor_access", always({"flavor_id": TEXT, "tenant_id": TEXT}))
_RULE = "os_compute_api:os-flavor-access"


async def list_access(request: Request) -> Reply:
    """List the projects of a private flavor."""
    enforce(request)
    access = await request.read(work.access_list, request.access, request.path["id"])
    return Reply.json({"flavor_access": access})


async def add_access(request: Request, argument: Any) -> Reply:
    """Give a flavor to a project (``addTenantAccess``)."""
    enforce(request)
    access = await request.write(
        work.access_add, request.access, request.path["id"], argument["tenant"], since(request, "2.7")
    )
    return Reply.json({"flavor_access": access})


async def remove_access(request: Request, argument: Any) -> Reply:
    """Take a flavor from a project (``removeTenantAccess``)."""
    enforce(request)
    access = await request.write(work.access_remove, request.access, request.path["id"], argument["tenant"])
    return Reply.json({"flavor_access": access})


FLAVOR_ACCESS = Noun(
    name="flavor_access",
    rules=rules(
        {
            "os-flavor-access": ADMIN,
            "os-flavor-access:add_tenant_access": ADMIN,
            "os-flavor-access:remove_tenant_access": ADMIN,
        }
    ),
    extensions=(Extension("os-flavor-access", "FlavorAccess", "Flavor access support."),),
    routes=(
        Route(
            "GET",
            "/v2.1/flavors/{id}/os-flavor-access",
            list_access,
            rule=_RULE,
            reply=_REPLY,
            summary="List the projects of a private flavor",
        ),
        action_route(
            "/v2.1/flavors/{id}/action",
            {
                "addTenantAccess": Action(
                    _PROJECT,
                    add_access,
                    rule=_RULE + ":add_tenant_access",
                    reply=_REPLY,
                    status=200,
                    summary="Give a flavor to a project",
                ),
                "removeTenantAccess": Action(
                    _PROJECT,
                    remove_access,
                    rule=_RULE + ":remove_tenant_access",
                    reply=_REPLY,
                    status=200,
                    summary="Take a flavor from a project",
                ),
            },
            status=200,
            summary="Give a flavor to a project, or take it away",
        ),
    ),
)
