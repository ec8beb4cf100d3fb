"""Lists of a project's things: whose they are, and which filters they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource.declaration import Resource
from pileus.services.volume.api import flag, since
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import is_admin
from pileus.web.dialects.paged import LANGUAGE
from pileus.web.request import Request

_WORDS = LANGUAGE | {"all_tenants", "with_count"}


def of_project(request: Request, project_column: ColumnElement[Any]) -> Sequence[ColumnElement[bool]]:
    """Narrow a list to the caller's own project, unless an administrator asks for all (``all_tenants``)."""
    if is_admin(request.access) and flag(request, "all_tenants"):
        return ()
    return [project_column == request.context.project_id]


def refuse_unknown(request: Request, resource: Resource, also: frozenset[str] = frozenset()) -> None:
    """Raise BadRequest for filters that a list does not know, since 3.31; before they meant nothing."""
    if not since(request, "3.31"):
        return
    unknown = []
    for name, _ in request.query:
        attribute = resource.resolve(name)
        if name not in _WORDS | also and (attribute is None or not attribute.filter):
            unknown.append(name)
    if unknown:
        raise BadRequest(f"Invalid filters {', '.join(unknown)} are found in query options.")
