"""What this API is: its versions, how images may come in, what a project may have.

Versions are named for what they brought (Image API v2, "API versions"): those are listed whose additions are
here, so not 2.8 and 2.10 to 2.14 (several stores, tasks, caches) nor 2.16 on (caches, locations).
"""

from __future__ import annotations

from functools import partial

from pileus.core.errors import NotFound
from pileus.services.image.config import ImageConfig
from pileus.services.image.data.handlers import IMPORT_METHODS
from pileus.services.image.quotas import usage
from pileus.web.dialects import ApiVersion
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request

VERSIONS = tuple(
    ApiVersion(f"v2.{minor}", "/v2", "CURRENT" if minor == 15 else "SUPPORTED")
    for minor in (15, 9, 7, 6, 5, 4, 3, 2, 1, 0)
)


async def list_versions(request: Request) -> Reply:
    """``GET /versions``: what the root answers with 300, with 200."""
    _, document = request.dialect.versions_document(request, VERSIONS, request.service_url)
    return Reply.json(document)


async def list_choices(request: Request) -> Reply:
    """``GET /`` and ``GET /v2``: choose one."""
    status, document = request.dialect.versions_document(request, VERSIONS, request.service_url)
    return Reply.json(document, status)


async def show_import(request: Request) -> Reply:
    """``GET /v2/info/import``"""
    methods = {
        "description": "Import methods available.",
        "type": "array",
        "value": list(IMPORT_METHODS),
    }
    return Reply.json({"import-methods": methods})


async def show_stores(request: Request) -> Reply:
    """``GET /v2/info/stores``: there is one store, which has no name."""
    raise NotFound("Multi backend is not supported at this site.")


def usage_handler(config: ImageConfig) -> Handler:
    """``GET /v2/info/usage``"""

    async def show_usage(request: Request) -> Reply:
        found = await request.read(partial(usage, config=config), request.context.project_id)
        return Reply.json({"usage": found})

    return show_usage
