"""Who may see a namespace: everybody a public one, a project its own, an administrator all.

One that the caller may not see is not found.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select

from pileus.core.errors import Forbidden
from pileus.services.image.images.access import is_admin
from pileus.services.image.metadefs.errors import NamespaceNotFound
from pileus.services.image.metadefs.tables import metadef_namespaces
from pileus.services.image.policy import ADMIN
from pileus.store.tx import Tx
from pileus.web.request import Request

READER = f"{ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"


def target(namespace: Row[Any]) -> dict[str, Any]:
    """The target of policy rules for a namespace and what is in it."""
    return {"owner": namespace.owner, "project_id": namespace.owner, "visibility": namespace.visibility}


def own_target(request: Request) -> dict[str, Any]:
    """The target of what is asked of no namespace."""
    return {"project_id": request.context.project_id, "visibility": "public"}


def seen(request: Request) -> list[ColumnElement[bool]]:
    """The condition that a namespace is for this caller to see."""
    if is_admin(request):
        return []
    columns = metadef_namespaces.c
    sees: list[ColumnElement[bool]] = [columns.visibility == "public"]
    if request.context.project_id is not None:
        sees.append(columns.owner == request.context.project_id)
    return [or_(*sees)]


def find_namespace(tx: Tx, request: Request, rule: str, *, lock: bool = False) -> Row[Any]:
    """The namespace that the path names. Raises NamespaceNotFound, or what ``rule`` refuses."""
    name = request.path["namespace"]
    statement = select(metadef_namespaces).where(metadef_namespaces.c.namespace == name, *seen(request))
    found = tx.first(statement.with_for_update() if lock else statement)
    if found is None:
        raise NamespaceNotFound(namespace_name=name)
    try:
        request.authorise(rule, target(found))
    except Forbidden:
        if rule == "get_metadef_namespace":
            raise NamespaceNotFound(namespace_name=name) from None
        raise
    return found
