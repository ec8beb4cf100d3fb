"""Types of replies that several nouns of identity give."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Type
from pileus.web.request import Request

TEXT = types.string(None)
TEXT_OR_NONE = types.nullable(TEXT)
LINKS = types.dict_of({"self": TEXT}, required=("self",), additional=types.anything)
PAGE_LINKS = types.dict_of(
    {"next": TEXT_OR_NONE, "self": TEXT, "previous": TEXT_OR_NONE}, required=("next", "self", "previous")
)


def shape(fields: dict[str, Type], optional: dict[str, Type] | None = None) -> Type:
    """An object that has all of the ``fields``, may have the ``optional`` ones, and no others."""
    return types.dict_of({**fields, **(optional or {})}, required=tuple(fields))


def listed(name: str, item: Type) -> Type:
    """A list under its name, with the links of its page."""
    return shape({name: types.list_of(item), "links": PAGE_LINKS})


REFERENCE = shape({"id": TEXT, "name": TEXT})
"""Something named by id and name."""


def own_link(request: Request) -> dict[str, str]:
    """The link of a document to itself."""
    return {"self": request.path_url}


def page_links(request: Request) -> dict[str, Any]:
    """The links of a list that is one page, with the request's query."""
    query = request.scope["query_string"].decode("latin-1")
    here = f"{request.path_url}?{query}" if query else request.path_url
    return {"next": None, "self": here, "previous": None}


def one_page_links(request: Request) -> dict[str, Any]:
    """The links of a list that is one page, whatever the query was."""
    return {"next": None, "self": request.path_url, "previous": None}
