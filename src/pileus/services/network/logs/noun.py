"""Logs as a part of the API."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.logs import work
from pileus.services.network.logs.resource import LOG, RULES, SECURITY_GROUP
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_RULE = "get_loggable_resource"


async def list_loggable_resources(request: Request) -> Reply:
    """List the types of things that can be logged."""
    request.authorise(_RULE, {"project_id": request.context.project_id})
    return views_reply(request, "loggable_resources", [{"type": SECURITY_GROUP}], "type")


NOUN = Noun(
    name="log",
    routes=(
        *crud(LOG, "/v2.0/log/logs", create=work.log_create, update=work.log_update, delete=work.log_delete),
        Route(
            "GET",
            "/v2.0/log/loggable-resources",
            list_loggable_resources,
            rule=_RULE,
            reply=views_type("loggable_resources", types.dict_of({"type": types.string(36)})),
            summary="List loggable resources",
        ),
    ),
    rules=RULES,
    extensions=(
        Extension(
            "logging",
            "Logging API Extension",
            "Provides a logging API for resources such as security group and firewall.",
            "2017-01-01T10:00:00-00:00",
        ),
    ),
)
