"""Group types and their specs, since 3.11. Source: Block Storage API reference, "Group types"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values, fresh_id, request_time
from pileus.resource.event import event
from pileus.resource.replies import FLAG, TEXT, TEXT_BY_KEY, TEXT_OR_NULL, UUID, always, named
from pileus.resource.replies import named_list as listed
from pileus.resource.rows import fetch
from pileus.resource.types import BadValue
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import METADATA, NAME, enforce, merged, wrapped
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, EVERYBODY, is_admin, rules
from pileus.services.volume.tables.groups import volume_group_types, volume_groups
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_RULE, _SPECS_RULE, _SEE = "group:group_types:", "group:group_types_specs:", "group:access_group_types_specs"
_READ = "group:group_types:get"
_WINDOW = ("3.11", "")
_c = volume_group_types.c


class GroupTypeNotFound(NotFound):
    message = "Group type {id} could not be found."


class GroupTypeExists(Conflict):
    message = "Group Type {name} already exists."


class GroupTypeInUse(BadRequest):
    message = "Target group type is still in use."


class GroupSpecNotFound(NotFound):
    message = "Group Type {id} has no specs with key {key}."


class NoDefaultGroupType(NotFound):
    message = "Default group type can not be found."


GROUP_TYPE = Resource(
    "group_type",
    collection="group_types",
    table=volume_group_types,
    wording=CINDER,
    not_found=GroupTypeNotFound,
    rules={
        "create": _RULE + "create",
        "get": _READ,
        "list": _READ,
        "update": _RULE + "update",
        "delete": _RULE + "delete",
    },
    attributes=(
        Attribute("id", types.uuid, default=fresh_id, sort=True),
        Attribute("name", NAME, create=True, update=True, required=True, sort=True, filter=True),
        Attribute("description", TEXT_TYPE, create=True, update=True, sort=True),
        Attribute("is_public", types.boolean, default=True, create=True, update=True),
        Attribute("group_specs", METADATA, default={}, create=True),
        Attribute("created_at", types.timestamp_plain, default=request_time, visible=False, sort=True),
        Attribute("updated_at", types.nullable(types.timestamp_plain), visible=False, sort=True),
    ),
    default_sort=(("created_at", True),),
    description="Say how the volumes of groups belong together.",
)


def visible(request: Request) -> Sequence[ColumnElement[bool]]:
    """The types that the caller may see: public ones, all for an administrator."""
    return [] if is_admin(request.access) else [_c.is_public]


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    asked = request.parameter("is_public")
    if not is_admin(request.access) or (asked is not None and asked.lower() == "none"):
        return ()
    try:
        return [_c.is_public.is_(asked is None or types.boolean.parse(asked))]
    except BadValue:
        raise BadRequest(f"Invalid is_public filter [{asked}]") from None


def group_type_named(tx: Tx, request: Request, name: str) -> Values:
    """A type by its id or its name, if the caller may see it. Raises GroupTypeNotFound."""
    found = fetch(tx, GROUP_TYPE, None, [or_(_c.id == name, _c.name == name), *visible(request)])
    if not found:
        raise GroupTypeNotFound(id=name)
    return min(found, key=lambda one: one["id"] != name)


def _create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    for spec in specs:
        spec["updated_at"] = None
        spec.setdefault("description", None)
    try:
        with tx.savepoint():
            GROUP_TYPE.insert(tx, context, specs)
    except Duplicate:
        raise GroupTypeExists(name=specs[0]["name"]) from None
    tx.emit_many([event(context, "group_type.create", one["id"], None, name=one["name"]) for one in specs])
    return specs


def _update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    if any(not one.changes for one in updates):
        raise BadRequest("Specify group type name, description or a combination thereof.")
    try:
        with tx.savepoint():
            changed = GROUP_TYPE.change(tx, context, updates)
    except Duplicate:
        raise GroupTypeExists(name=updates[0].changes["name"]) from None
    tx.emit_many([event(context, "group_type.update", one["id"], None) for one in changed])
    return changed


def _delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    used = volume_groups.c.group_type_id.in_([one["id"] for one in originals])
    if tx.first(select(volume_groups.c.id).where(used).limit(1)) is not None:
        raise GroupTypeInUse
    GROUP_TYPE.remove(tx, originals)
    tx.emit_many([event(context, "group_type.delete", one["id"], None) for one in originals])


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    if not request.access.allows(_SEE):
        view.pop("group_specs", None)
    return view


# -- specs


def _find(tx: Tx, request: Request, *, lock: bool = False) -> Values:
    found = fetch(tx, GROUP_TYPE, [request.path["id"]], visible(request), lock=lock)
    if not found:
        raise GroupTypeNotFound(id=request.path["id"])
    return found[0]


def _specs(tx: Tx, request: Request) -> dict[str, str]:
    return dict(_find(tx, request)["group_specs"])


def _set(tx: Tx, request: Request, added: Mapping[str, str], removed: str | None = None) -> None:
    found = _find(tx, request, lock=True)
    specs = dict(found["group_specs"])
    if removed is not None and specs.pop(removed, None) is None:
        raise GroupSpecNotFound(id=found["id"], key=removed)
    GROUP_TYPE.change(tx, request.context, [Update(found, Values({"group_specs": merged(specs, added)}))])
    tx.emit(event(request.context, "group_type.update", found["id"], None))


async def list_specs(request: Request) -> Reply:
    """List a group type's specs."""
    enforce(request)
    return Reply.json({"group_specs": await request.read(_specs, request)})


async def create_specs(request: Request) -> Reply:
    """Set some."""
    enforce(request)
    specs = declared_body(request)["group_specs"]
    await request.write(_set, request, specs)
    return Reply.json({"group_specs": specs}, 202)


async def show_spec(request: Request) -> Reply:
    """Show one of them."""
    enforce(request)
    specs, key = await request.read(_specs, request), request.path["key"]
    if key not in specs:
        raise GroupSpecNotFound(id=request.path["id"], key=key)
    return Reply.json({key: specs[key]})


async def update_spec(request: Request) -> Reply:
    """Set the one that stands in the path and in the body."""
    enforce(request)
    specs = declared_body(request)
    if set(specs) != {request.path["key"]}:
        several = request.path["key"] in specs
        text = "Request body contains too many items" if several else "Request body and URI mismatch"
        raise BadRequest(text)
    await request.write(_set, request, specs)
    return Reply.json(specs)


async def delete_spec(request: Request) -> Reply:
    """Take one away."""
    enforce(request)
    await request.write(_set, request, {}, request.path["key"])
    return Reply.empty(202)


async def show_default(request: Request) -> Reply:
    """Say that groups have no type unless one is named."""
    enforce(request)
    raise NoDefaultGroupType


_SHOWN = always(
    {"id": UUID, "name": TEXT, "description": TEXT_OR_NULL, "is_public": FLAG}, {"group_specs": TEXT_BY_KEY}
)
_ONE_TYPE = named("group_type", _SHOWN)
_CREATE_BODY = wrapped(
    "group_type",
    {"name": NAME, "description": TEXT_TYPE, "group_specs": METADATA, "is_public": types.boolean},
    ("name",),
)
_UPDATE_BODY = wrapped("group_type", {"name": NAME, "description": TEXT_TYPE, "is_public": types.boolean})

GROUP_TYPES_CRUD = Crud(
    resource=GROUP_TYPE,
    create=_create,
    update=_update,
    delete=_delete,
    visible=visible,
    list_where=_asked,
    view=_view,
    bodies={"create": _CREATE_BODY, "update": _UPDATE_BODY},
    replies={
        **dict.fromkeys(("create", "get", "update"), _ONE_TYPE),
        "list": listed("group_types", _SHOWN, links="group_types_links"),
    },
    statuses={"create": 202, "delete": 202},
    may_change_nothing=True,
)
_ALL, _ONE = "/v3/group_types/{id}/group_specs", "/v3/group_types/{id}/group_specs/{key}"
_REPLY = named("group_specs", TEXT_BY_KEY)


def _route(method: str, path: str, handler: Any, rule: str, summary: str, **more: Any) -> Route:
    rule = _SPECS_RULE + rule
    return Route(method, path, handler, rule=rule, summary=summary, versions=_WINDOW, **more)


GROUP_TYPES = Noun(
    name="group_type",
    rules=rules(
        {
            _READ: EVERYBODY,
            _SEE: ADMIN,
            **{_RULE + name: ADMIN for name in ("create", "update", "delete")},
            **{_SPECS_RULE + name: ADMIN for name in ("get", "get_all", "create", "update", "delete")},
        }
    ),
    routes=(
        *crud_routes(GROUP_TYPES_CRUD, "/v3/group_types", versions=_WINDOW, statements={"list": 2}),
        Route(
            "GET",
            "/v3/group_types/default",
            show_default,
            rule=_READ,
            versions=_WINDOW,
            reply=_ONE_TYPE,
            summary="Show the default group type",
        ),
        _route("GET", _ALL, list_specs, "get_all", "List the specs of a group type", reply=_REPLY),
        _route(
            *("POST", _ALL, create_specs, "create", "Set specs of a group type"),
            body=types.dict_of({"group_specs": METADATA}, required=("group_specs",)),
            reply=_REPLY,
            status=202,
        ),
        _route("GET", _ONE, show_spec, "get", "Show a spec of a group type", reply=TEXT_BY_KEY),
        _route(
            *("PUT", _ONE, update_spec, "update", "Set a spec of a group type"),
            body=METADATA,
            reply=TEXT_BY_KEY,
        ),
        _route(
            *("DELETE", _ONE, delete_spec, "delete", "Remove a spec of a group type"),
            reply=NO_BODY,
            status=202,
        ),
    ),
)
