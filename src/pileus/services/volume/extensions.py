"""``GET /v3/extensions``, and the filters that lists know (``/v3/resource_filters``)."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import TEXT, TEXTS, always, named, named_list
from pileus.services.volume.policy import EVERYBODY, rules
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, Route

_EXTENSION = always(
    {
        "alias": TEXT,
        "name": TEXT,
        "description": TEXT,
        "updated": TEXT,
        "links": types.list_of(types.anything, maximum=0),
    }
)

FILTERS = {
    "volume": (
        *("name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id"),
        *("size", "image_metadata", "created_at", "updated_at", "consumes_quota"),
    ),
    "snapshot": (
        *("name", "status", "volume_id", "metadata", "availability_zone", "created_at", "updated_at"),
        "consumes_quota",
    ),
    "backup": ("name", "status", "volume_id"),
    "attachment": ("volume_id", "status", "instance_id", "attach_status"),
    "group": ("name", "status", "availability_zone", "group_type", "project_id"),
    "group_snapshot": ("name", "status", "group_id", "project_id"),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "pool": ("name", "volume_type"),
    "volume_type": ("is_public",),
}
"""The filters of lists by the names of the API's things, as everybody may use them."""


def _view(extension: Extension) -> dict[str, Any]:
    return {
        "alias": extension.alias,
        "name": extension.name,
        "description": extension.description,
        "updated": "2016-01-01T00:00:00+00:00",
        "links": [],
    }


class ExtensionNotFound(NotFound):
    message = "The resource could not be found."


async def list_extensions(request: Request) -> Reply:
    """List those that the service's nouns bring."""
    found = sorted(request.service.extensions, key=lambda extension: extension.alias)
    return Reply.json({"extensions": [_view(extension) for extension in found]})


async def show_extension(request: Request) -> Reply:
    """Show one, by alias."""
    for extension in request.service.extensions:
        if extension.alias == request.path["alias"]:
            return Reply.json({"extension": _view(extension)})
    raise ExtensionNotFound


async def list_filters(request: Request) -> Reply:
    """List the filters of each kind of thing, or of one ``resource``."""
    request.authorise("volume_extension:list_filters")
    wanted = request.parameter("resource")
    return Reply.json(
        {
            "resource_filters": [
                {"resource": name, "filters": list(filters)}
                for name, filters in sorted(FILTERS.items())
                if wanted in (None, name)
            ]
        }
    )


EXTENSIONS = Noun(
    name="extension",
    rules=rules({"volume_extension:list_filters": EVERYBODY}),
    routes=(
        Route(
            "GET",
            "/v3/extensions",
            list_extensions,
            rule=ANYBODY,
            reply=named_list("extensions", _EXTENSION),
            summary="List extensions",
        ),
        Route(
            "GET",
            "/v3/extensions/{alias}",
            show_extension,
            rule=ANYBODY,
            reply=named("extension", _EXTENSION),
            summary="Show an extension",
        ),
        Route(
            "GET",
            "/v3/resource_filters",
            list_filters,
            rule="volume_extension:list_filters",
            versions=("3.33", ""),
            reply=named_list("resource_filters", always({"resource": TEXT, "filters": TEXTS})),
            summary="List the filters of lists",
        ),
    ),
)
