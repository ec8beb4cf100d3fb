"""Handlers that are not the five standard ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pileus.resource.declaration import Resource
from pileus.resource.wordings.neutron import HTTPBadRequest
from pileus.services.network.common.policy import is_admin
from pileus.services.network.common.view_lists import list_views
from pileus.services.network.security_groups.resource import SECURITY_GROUP, SECURITY_GROUP_RULE
from pileus.services.network.security_groups.work import default_group_exists, ensure_default_group
from pileus.web.crud import list_handler
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request

_PROJECT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def create_agent(request: Request) -> Reply:
    """Refused: agents come into being by reporting."""
    request.authorise("create_agent")
    raise HTTPBadRequest("Agents can't be created by request: they appear when they report.")


_list_groups = list_handler(SECURITY_GROUP)
_list_rules = list_handler(SECURITY_GROUP_RULE)


async def list_security_groups(request: Request) -> Reply:
    """A project that looks at its groups sees its default one, also when it looks for the first time."""
    await _ensure_default(request)
    return await _list_groups(request)


async def list_security_group_rules(request: Request) -> Reply:
    """The same for rules."""
    await _ensure_default(request)
    return await _list_rules(request)


async def _ensure_default(request: Request) -> None:
    """Make the caller's default group where there is none, or that of the project that an administrator
    asks for."""
    asked = [text for name, text in request.query if name in ("project_id", "tenant_id")]
    project_id = request.context.project_id
    if asked and is_admin(request.context):
        project_id = asked[0] if _PROJECT_ID.fullmatch(asked[0]) else None
    if project_id and not await request.read(default_group_exists, project_id):
        await request.write(ensure_default_group, request.context, project_id)


async def list_service_providers(request: Request) -> Reply:
    """Providers of services that networks can be given by others: there are none."""
    return Reply.json({"service_providers": list_views(request, [], "name")})


def version_root(resources: Sequence[Resource]) -> Handler:
    """A handler of ``GET /v2.0``: the collections that are there."""

    async def show_version(request: Request) -> Reply:
        entries = [
            {
                "name": resource.name,
                "collection": resource.plural,
                "links": [{"rel": "self", "href": f"{request.service_url}/v2.0/{resource.collection}"}],
            }
            for resource in resources
        ]
        return Reply.json({"resources": entries})

    return show_version
