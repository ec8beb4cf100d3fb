"""The versions of the API, the import methods, and the usage of a project.

Versions are named for what they brought (Image API v2, "API versions"): those are listed whose additions are
here, so not 2.8, 2.10, 2.11, 2.13 and 2.14 (several stores, caches) nor 2.16 on (caches, locations).
"""

from __future__ import annotations

from functools import partial

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.services.image.config import IMPORT_METHODS, ImageConfig
from pileus.services.image.quotas import usage
from pileus.web.dialects import ApiVersion
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY, Route

VERSIONS = tuple(
    ApiVersion(f"v2.{minor}", "/v2", "CURRENT" if minor == 15 else "SUPPORTED")
    for minor in (15, 12, 9, 7, 6, 5, 4, 3, 2, 1, 0)
)


async def list_versions(request: Request) -> Reply:
    """``GET /versions``: the document of the root, with 200 in the place of 300."""
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


_TEXT = types.string(None)
_LINK = types.dict_of({"rel": _TEXT, "href": _TEXT}, required=("rel", "href"))
_VERSION = types.dict_of(
    {"id": _TEXT, "status": _TEXT, "links": types.list_of(_LINK)},
    required=("id", "status", "links"),
    additional=types.anything,
)
_VERSIONS_REPLY = types.dict_of({"versions": types.list_of(_VERSION)}, required=("versions",))
_METHODS = types.dict_of({"description": _TEXT, "type": _TEXT, "value": types.list_of(_TEXT)})
_IMPORT_REPLY = types.dict_of({"import-methods": _METHODS}, required=("import-methods",))
_COUNT = types.dict_of({"limit": types.integer(-1), "usage": types.integer(0)}, required=("limit", "usage"))
_USAGE_REPLY = types.dict_of({"usage": types.dict_of({}, additional=_COUNT)}, required=("usage",))
_STORES_REPLY = types.dict_of({"stores": types.list_of(types.anything)}, required=("stores",))


def noun(config: ImageConfig) -> Noun:
    """Make the noun."""

    def versions(path: str, handler: Handler, status: int) -> Route:
        return Route(
            "GET",
            path,
            handler,
            authenticated=False,
            status=status,
            reply=_VERSIONS_REPLY,
            summary="Show the versions",
        )

    info = "/v2/info"
    return Noun(
        name="discovery",
        routes=(
            versions("", list_choices, 300),
            versions("/versions", list_versions, 200),
            versions("/v2", list_choices, 300),
            Route(
                "GET",
                f"{info}/import",
                show_import,
                rule=ANYBODY,
                reply=_IMPORT_REPLY,
                summary="Show the import methods",
            ),
            Route(
                "GET",
                f"{info}/stores",
                show_stores,
                rule=ANYBODY,
                reply=_STORES_REPLY,
                summary="Refused: there is one store",
            ),
            Route(
                "GET",
                f"{info}/usage",
                usage_handler(config),
                rule=ANYBODY,
                reply=_USAGE_REPLY,
                summary="Show limits and usage",
            ),
        ),
    )
