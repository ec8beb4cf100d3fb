"""``GET /v2.1/extensions``: what is there of the API, kept for clients that look first."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.api import enforce
from pileus.services.compute.policy import EVERYBODY, rules
from pileus.services.compute.replies import TEXT, always, named, named_list
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_RULE = "os_compute_api:extensions"
_EXTENSION = always(
    {
        "alias": TEXT,
        "name": TEXT,
        "description": TEXT,
        "namespace": TEXT,
        "updated": TEXT,
        "links": types.list_of(types.anything, maximum=0),
    }
)


def _view(extension: Extension) -> dict[str, Any]:
    return {
        "alias": extension.alias,
        "name": extension.name,
        "description": extension.description,
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }


class ExtensionNotFound(NotFound):
    message = "The resource could not be found."


async def list_extensions(request: Request) -> Reply:
    """List those that the service's nouns bring."""
    enforce(request)
    found = sorted(request.service.extensions, key=lambda extension: extension.alias)
    return Reply.json({"extensions": [_view(extension) for extension in found]})


async def show_extension(request: Request) -> Reply:
    """Show one, by alias."""
    enforce(request)
    for extension in request.service.extensions:
        if extension.alias == request.path["alias"]:
            return Reply.json({"extension": _view(extension)})
    raise ExtensionNotFound


EXTENSIONS = Noun(
    name="extension",
    rules=rules({"extensions": EVERYBODY}),
    routes=(
        Route(
            "GET",
            "/v2.1/extensions",
            list_extensions,
            rule=_RULE,
            reply=named_list("extensions", _EXTENSION),
            summary="List extensions",
        ),
        Route(
            "GET",
            "/v2.1/extensions/{alias}",
            show_extension,
            rule=_RULE,
            reply=named("extension", _EXTENSION),
            summary="Show an extension",
        ),
    ),
)
