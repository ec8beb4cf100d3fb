"""The API itself: what ``GET /v2.0`` shows, the extensions, and those that concern all nouns."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, Route

ROOT = "/v2.0"
EXTENSIONS = (
    Extension(
        "empty-string-filtering",
        "Empty String Filtering Extension",
        "Allow filtering by attributes with empty string value",
        "2018-04-09T10:00:00-00:00",
    ),
    Extension(
        "filter-validation",
        "Filter parameters validation",
        "Provides validation on filter parameters.",
        "2018-03-21T10:00:00-00:00",
    ),
    Extension(
        "pagination",
        "Pagination support",
        "Extension that indicates that pagination is enabled.",
        "2016-06-12T00:00:00-00:00",
    ),
    Extension(
        "project-id",
        "project_id field enabled",
        "Extension that indicates that project_id field is enabled.",
        "2016-09-09T09:09:09-09:09",
    ),
    Extension(
        "revision-if-match",
        "If-Match constraints based on revision_number",
        "Extension indicating that If-Match based on revision_number is supported.",
        "2016-12-11T00:00:00-00:00",
    ),
    Extension(
        "sort-key-validation",
        "Sort keys validation",
        "Provides validation on sort keys.",
        "2018-07-04T10:00:00-00:00",
    ),
    Extension(
        "sorting",
        "Sorting support",
        "Extension that indicates that sorting is enabled.",
        "2016-06-12T00:00:00-00:00",
    ),
    Extension(
        "standard-attr-description",
        "standard-attr-description",
        "Extension to add descriptions to standard attributes",
        "2016-02-10T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-revisions",
        "Resource revision numbers",
        "This extension will display the revision number of neutron resources.",
        "2016-04-11T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-tag",
        "Tag support for resources with standard attribute",
        "Enables to set tag on resources with standard attribute.",
        "2017-01-01T00:00:00-00:00",
    ),
    Extension(
        "standard-attr-timestamp",
        "Resource timestamps",
        "Adds created_at and updated_at fields to resources with standard attributes.",
        "2016-09-12T10:00:00-00:00",
    ),
    Extension(
        "tag-creation",
        "Tag creation extension",
        "Allow to create multiple tags for a resource",
        "2024-07-23T10:00:00-00:00",
    ),
)
_TEXT = types.string(None)
_ROOT = types.dict_of(
    {
        "resources": types.list_of(
            types.dict_of({"name": _TEXT, "collection": _TEXT, "links": types.list_of(types.anything)})
        )
    }
)
_EXTENSION = types.dict_of(
    {
        "alias": _TEXT,
        "name": _TEXT,
        "description": _TEXT,
        "updated": types.timestamp,
        "links": types.list_of(types.anything),
    }
)


class ExtensionNotFound(NotFound):
    message = "Extension with alias {alias} does not exist"


async def show_root(request: Request) -> Reply:
    """Show the collections that are there."""
    paths = {route.path for route in request.service.routes}
    # Of two declarations of one table (QoS policies and seed 004's face of them) the first is told.
    by_table = {id(one.table): one for one in reversed(request.service.resources)}
    entries = [
        {
            "name": resource.name,
            "collection": resource.plural,
            "links": [{"rel": "self", "href": f"{request.service_url}{ROOT}/{resource.collection}"}],
        }
        for resource in request.service.resources
        if by_table[id(resource.table)] is resource and f"{ROOT}/{resource.collection}" in paths
    ]
    return Reply.json({"resources": entries})


def _view(extension: Extension) -> dict[str, object]:
    return {
        "alias": extension.alias,
        "name": extension.name,
        "description": extension.description,
        "updated": extension.updated,
        "links": list(extension.links),
    }


async def list_extensions(request: Request) -> Reply:
    """List the extensions that the nouns bring."""
    views = [_view(one) for one in request.service.extensions]
    return views_reply(request, "extensions", views, "alias")


async def show_extension(request: Request) -> Reply:
    """Show one extension."""
    alias = request.path["alias"]
    for one in request.service.extensions:
        if one.alias == alias:
            return Reply.json({"extension": _view(one)})
    raise ExtensionNotFound(alias=alias)


NOUN = Noun(
    name="api",
    routes=(
        Route("GET", ROOT, show_root, authenticated=False, reply=_ROOT, summary="List collections"),
        Route(
            "GET",
            f"{ROOT}/extensions",
            list_extensions,
            rule=ANYBODY,
            reply=views_type("extensions", _EXTENSION),
            summary="List extensions",
        ),
        Route(
            "GET",
            f"{ROOT}/extensions/{{alias}}",
            show_extension,
            rule=ANYBODY,
            reply=types.dict_of({"extension": _EXTENSION}),
            summary="Show extension",
        ),
    ),
    extensions=EXTENSIONS,
)
