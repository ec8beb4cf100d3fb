"""The five standard routes of a resource, out of its declaration and three units of work.

The units' form, batch first (one request for one thing is a batch of one)::

    def widget_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]
    def widget_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]
    def widget_delete(tx: Tx, context: Context, originals: list[Values]) -> None

``specs`` have every attribute (defaults, id and times are filled in); an
``Update`` is the values before and the changes wanted; both return what the
view is to show. The originals were read FOR UPDATE in the same transaction,
through the caller's visibility, and ``If-Match`` and the policy were asked:
the unit is left with the noun's own rules. What a view shows and no spec holds
(a joined column, a value of the database's) the create unit puts into what it
returns; ``fetch(tx, RESOURCE, ids)`` reads all of it where that is simpler.
``insert_plain``, ``change_plain`` and ``remove_plain`` make such units for a noun
that has no rules of its own.

Policy: creating asks ``create_x`` and ``create_x:attribute`` for each guarded
attribute given; what the caller may not see (``get_x``) is not found, and what
he sees and may not change is forbidden.

An API that differs says so by options, which are those of :class:`Crud`. What is no standard route of a
resource that has such options uses its declaration too (``find_judged``, ``list_reply``)::

    USERS = Crud(resource=USER, create=user_create, judge=judge, filters=USER_FILTERS)
    ROUTES = (*crud_routes(USERS, "/v3/users"), Route("GET", "/v3/groups/{id}/users", list_members))
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.core.context import Context
from pileus.resource.declaration import Resource, Update, Values
from pileus.store.tx import Tx
from pileus.web.crud.changing import delete_handler, update_handler
from pileus.web.crud.creating import create_handler
from pileus.web.crud.declared import Change, Create, Crud, Delete, Filter, Guard, Judge, Patch, Prepare
from pileus.web.crud.finding import (
    crud_reply,
    find,
    find_judged,
    get_handler,
    one_reply,
    shown_reply,
    target_of,
)
from pileus.web.crud.listing import crud_list_handler, list_handler, list_page, list_reply
from pileus.web.request import Handler
from pileus.web.routes import Route

__all__ = [
    "Change",
    "Create",
    "Crud",
    "Delete",
    "Filter",
    "Guard",
    "Judge",
    "Patch",
    "Prepare",
    "change_plain",
    "crud",
    "crud_reply",
    "crud_routes",
    "find",
    "find_judged",
    "insert_plain",
    "list_handler",
    "list_page",
    "list_reply",
    "one_reply",
    "remove_plain",
    "shown_reply",
    "target_of",
]


def crud(
    resource: Resource,
    path: str,
    *,
    create: Create | None = None,
    update: Change | None = None,
    delete: Delete | None = None,
    list_: bool = True,
    get: bool = True,
    create_status: int | None = None,
    versions: tuple[str, str] = ("", ""),
    statements: Mapping[str, int] | None = None,
) -> tuple[Route, ...]:
    """Make the routes below ``path`` (``/v2.0/ports``) for the units that are given, without options.

    ``statements`` bounds the SQL statements of each action (``list create get update delete``).
    """
    declared = Crud(resource=resource, create=create, update=update, delete=delete)
    return crud_routes(
        declared,
        path,
        list_=list_,
        get=get,
        create_status=create_status,
        versions=versions,
        statements=statements,
    )


def crud_routes(
    declared: Crud,
    path: str,
    *,
    list_: bool = True,
    get: bool = True,
    create_status: int | None = None,
    versions: tuple[str, str] = ("", ""),
    statements: Mapping[str, int] | None = None,
) -> tuple[Route, ...]:
    """Make the routes of a declaration below ``path``.

    Parameters in ``path`` that are named as attributes (``/policies/{policy_id}/rules``) filter
    reads and are set on create.
    """
    resource = declared.resource
    one = f"{path}/{{{declared.parameter or resource.key}}}"
    routes = []

    def add(method: str, at: str, handler: Handler, action: str, status: int, summary: str) -> None:
        kind = "list" if action == "detail" else action
        routes.append(
            Route(
                method,
                at,
                handler,
                resource=resource,
                action=kind,
                status=status,
                versions=declared.versions.get(action, versions),
                body=declared.bodies.get(action),
                reply=declared.replies.get(action),
                summary=summary.format(resource.name.replace("_", " ")),
                rule=resource.rule(kind),
                statements=(statements or {}).get(action),
            )
        )

    if list_:
        add("GET", path, crud_list_handler(declared), "list", 200, "List {}")
    if declared.detail:
        add("GET", f"{path}/detail", crud_list_handler(declared, "detail"), "detail", 200, "List {} in full")
    if declared.create:
        status = create_status or declared.statuses.get("create", resource.wording.create_status)
        add("POST", path, create_handler(declared, status), "create", status, "Create {}")
    if get:
        add("GET", one, get_handler(declared), "get", 200, "Show {}")
    if declared.update:
        status = declared.statuses.get("update", 200)
        add(resource.wording.update_method, one, update_handler(declared), "update", status, "Update {}")
    if declared.delete:
        add(
            "DELETE",
            one,
            delete_handler(declared),
            "delete",
            declared.statuses.get("delete", 204),
            "Delete {}",
        )
    return tuple(routes)


def insert_plain(resource: Resource) -> Create:
    """A create unit that writes the rows."""

    def unit(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
        return resource.insert(tx, context, specs)

    return unit


def change_plain(resource: Resource) -> Change:
    """An update unit that writes the changes."""

    def unit(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
        return resource.change(tx, context, updates)

    return unit


def remove_plain(resource: Resource) -> Delete:
    """A delete unit that deletes the rows."""

    def unit(tx: Tx, context: Context, originals: list[Values]) -> None:
        resource.remove(tx, originals)

    return unit
