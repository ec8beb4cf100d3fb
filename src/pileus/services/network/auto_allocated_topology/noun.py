"""Topologies made on demand as a part of the API (extension ``auto-allocated-topology``)."""

from __future__ import annotations

from pileus.core.errors import Forbidden
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.auto_allocated_topology.work import (
    topology_check,
    topology_delete,
    topology_get,
)
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.network.config import NetworkConfig
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/auto-allocated-topology/{project_id}"
_CALLERS_OWN = "None"
"""In the place of a project's id: the caller's, as clients without one ask."""
_DRY_RUN = "dry-run"
_TEXT = types.string(36)
_REPLY = types.dict_of(
    {
        "auto_allocated_topology": types.dict_of(
            {"id": types.string(), "project_id": _TEXT, "tenant_id": _TEXT}
        )
    }
)


def _project(request: Request, rule: str) -> str:
    named = request.path["project_id"]
    project_id = (request.context.project_id or "") if named == _CALLERS_OWN else named
    if not project_id:
        raise BadRequest(resource="auto_allocate", msg="The request has no project")
    if not (request.context.is_admin or project_id == request.context.project_id):
        raise Forbidden()
    request.authorise(rule, {"project_id": project_id, "tenant_id": project_id})
    return project_id


def _shown(found: str, project_id: str) -> Reply:
    view = {"id": found, "project_id": project_id, "tenant_id": project_id}
    return Reply.json({"auto_allocated_topology": view})


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""

    async def show(request: Request) -> Reply:
        project_id = _project(request, "get_auto_allocated_topology")
        fields = [text for name, text in request.query if name == "fields" and text]
        if _DRY_RUN in fields:
            await request.read(topology_check)
            return _shown("dry-run=pass", project_id)
        if fields:
            raise BadRequest(resource="auto_allocate", msg="Unrecognized field")
        network_id = await request.write(topology_get, request.context, project_id, config)
        return _shown(network_id, project_id)

    async def delete(request: Request) -> Reply:
        project_id = _project(request, "delete_auto_allocated_topology")
        await request.write(topology_delete, request.context, project_id, config)
        return Reply.empty()

    return Noun(
        name="auto_allocated_topology",
        routes=(
            Route(
                "GET",
                PATH,
                show,
                rule="get_auto_allocated_topology",
                reply=_REPLY,
                summary="Show, or make, the network of a project",
            ),
            Route(
                "DELETE",
                PATH,
                delete,
                status=204,
                rule="delete_auto_allocated_topology",
                summary="Delete the network made for a project",
            ),
        ),
        rules=rules(
            {
                "get_auto_allocated_topology": ADMIN_OR_READER,
                "delete_auto_allocated_topology": ADMIN_OR_MEMBER,
            }
        ),
        extensions=(
            Extension(
                "auto-allocated-topology",
                "Auto Allocated Topology Services",
                "Auto Allocated Topology Services.",
                "2016-01-01T00:00:00-00:00",
            ),
        ),
    )
