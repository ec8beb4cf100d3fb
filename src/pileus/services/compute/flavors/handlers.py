"""Handlers of flavors that are not the standard ones."""

from __future__ import annotations

from typing import Any

from sqlalchemy import true

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Update, Values
from pileus.resource.listing import Listing, bound
from pileus.resource.types import BadValue
from pileus.services.compute.declared import COMPUTE, body_of, since, wrapped
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.flavors import work
from pileus.services.compute.flavors.resource import DESCRIPTION, FLAVOR, LARGEST
from pileus.services.compute.flavors.tables import flavors
from pileus.services.compute.policy import is_admin
from pileus.services.compute.rules.extra_specs import BadExtraSpec, check_extra_spec
from pileus.store.tx import Tx
from pileus.web.crud import create_handler, list_page
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

_BRIEF = ["id", "name", "description"]
_KEY = types.string(255, minimum=1, pattern=r"[a-zA-Z0-9-_:. ]{1,255}")
_ACCESS = types.dict_of({"tenant": types.string(255, minimum=1)}, required=("tenant",))
_UPDATE = wrapped("flavor", {"description": DESCRIPTION}, ("description",))


def _number(request: Request, name: str) -> int | None:
    text = request.parameter(name)
    if text is None:
        return None
    try:
        number = int(text[:40])
    except ValueError:
        raise BadRequest(f"Invalid {name} filter [{text}]") from None
    return max(-LARGEST, min(number, LARGEST))  # no flavor is beyond, and no column takes more


def _listing(request: Request) -> Listing:
    """Filters that are Nova's own: minRam, minDisk, and is_public for administrators."""
    listing = COMPUTE.listing(request, FLAVOR)
    for name, column in (("minRam", flavors.c.ram), ("minDisk", flavors.c.disk)):
        least = _number(request, name)
        if least is not None:
            listing.where.append(column >= least)
    context = request.context
    listing.visible = [work.visible(context)]
    asked = request.parameter("is_public")
    if not is_admin(context.roles, context.is_admin):
        listing.where.append(work.visible(context))
    elif asked is None:
        listing.where.append(work.mine(context))
    elif asked.lower() != "none":
        try:
            wanted = types.boolean.parse(asked)
        except BadValue:
            raise BadRequest(f"Invalid is_public filter [{asked}]") from None
        listing.where.append(flavors.c.is_public == wanted if not wanted else work.mine(context))
    else:
        listing.where.append(true())
    bound(listing, COMPUTE.default_limit, request.settings.page_limit or COMPUTE.max_limit)
    return listing


async def list_flavors(request: Request) -> Reply:
    """Ids and names."""
    listing = _listing(request)
    listing.fields = _BRIEF
    return Reply.chunks(await request.read(list_page, request, FLAVOR, listing))


async def list_flavors_detail(request: Request) -> Reply:
    """All of each."""
    views = await request.read(list_page, request, FLAVOR, _listing(request))
    return Reply.chunks(views)


def _view(request: Request, flavor: Values) -> dict[str, Any]:
    return show(request, FLAVOR, [flavor])[0]


async def show_flavor(request: Request) -> Reply:
    """One flavor."""
    found = await request.read(work.flavor_find, request.context, request.path["id"])
    return Reply.json({"flavor": _view(request, found)})


_create = create_handler(FLAVOR, work.flavor_create, 200)


async def create_flavor(request: Request) -> Reply:
    """A new flavor, for administrators."""
    return await _create(request)


async def update_flavor(request: Request) -> Reply:
    """A flavor's description; nothing else of it ever changes."""
    request.authorise("os_compute_api:os-flavor-manage:update")
    wanted = body_of(request, _UPDATE)["flavor"]["description"]
    changed = await request.write(_change, request, wanted)
    return Reply.json({"flavor": _view(request, changed)})


def _change(tx: Tx, request: Request, description: str | None) -> Values:
    flavor = work.flavor_find(tx, request.context, request.path["id"], lock=True)
    return work.flavor_update(tx, request.context, [Update(flavor, Values({"description": description}))])[0]


async def delete_flavor(request: Request) -> Reply:
    """Delete a flavor: 202, though it is gone."""
    request.authorise("os_compute_api:os-flavor-manage:delete")
    await request.write(_delete, request)
    return Reply.empty(202)


def _delete(tx: Tx, request: Request) -> None:
    work.flavor_delete(
        tx, request.context, [work.flavor_find(tx, request.context, request.path["id"], lock=True)]
    )


async def list_access(request: Request) -> Reply:
    """The projects of a private flavor."""
    request.authorise("os_compute_api:os-flavor-access")
    access = await request.read(work.access_list, request.context, request.path["id"])
    return Reply.json({"flavor_access": access})


async def act(request: Request) -> Reply:
    """addTenantAccess, removeTenantAccess."""
    body = request.json()
    if not isinstance(body, dict) or len(body) != 1:
        raise BadRequest("There must be exactly one action in the body.")
    (action,) = body
    if action == "addTenantAccess":
        request.authorise("os_compute_api:os-flavor-access:add_tenant_access")
        project_id = body_of(request, types.dict_of({action: _ACCESS}))[action]["tenant"]
        access = await request.write(
            work.access_add, request.context, request.path["id"], project_id, since(request, "2.7")
        )
    elif action == "removeTenantAccess":
        request.authorise("os_compute_api:os-flavor-access:remove_tenant_access")
        project_id = body_of(request, types.dict_of({action: _ACCESS}))[action]["tenant"]
        access = await request.write(work.access_remove, request.context, request.path["id"], project_id)
    else:
        raise BadRequest(f"There is no such action: {action}")
    return Reply.json({"flavor_access": access})


def _specs(request: Request, given: Any) -> dict[str, str]:
    """Extra specs as Nova's schema has them: short keys of few characters, short text."""
    if not isinstance(given, dict):
        raise request.dialect.bad_input("extra_specs", given, f"{given!r} is not of type 'object'")
    parsed = {}
    for key, value in given.items():
        try:
            _KEY.parse(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)
            parsed[key] = types.string(255).parse(value)
            if since(request, "2.86"):
                check_extra_spec(key, parsed[key])
        except BadValue as bad:
            raise request.dialect.bad_value(key, value, bad) from None
        except BadExtraSpec as bad:
            raise BadRequest(str(bad)) from None
    return parsed


async def list_specs(request: Request) -> Reply:
    """A flavor's extra specs."""
    request.authorise(
        "os_compute_api:os-flavor-extra-specs:index", {"project_id": request.context.project_id}
    )
    specs = await request.read(work.specs_read, request.context, request.path["id"])
    return Reply.json({"extra_specs": specs})


async def create_specs(request: Request) -> Reply:
    """Set some."""
    request.authorise("os_compute_api:os-flavor-extra-specs:create")
    body = request.json()
    if not isinstance(body, dict) or set(body) != {"extra_specs"}:
        raise Invalid("Invalid input: 'extra_specs' is a required property")
    specs = _specs(request, body["extra_specs"])
    await request.write(work.specs_change, request.context, request.path["id"], specs)
    return Reply.json({"extra_specs": specs})


async def show_spec(request: Request) -> Reply:
    """One of them."""
    request.authorise("os_compute_api:os-flavor-extra-specs:show", {"project_id": request.context.project_id})
    key = request.path["key"]
    specs = await request.read(work.specs_read, request.context, request.path["id"])
    if key not in specs:
        raise work.FlavorExtraSpecsNotFound(flavor_id=request.path["id"], key=key)
    return Reply.json({key: specs[key]})


async def update_spec(request: Request) -> Reply:
    """Set one that stands in the path and in the body."""
    request.authorise("os_compute_api:os-flavor-extra-specs:update")
    key = request.path["key"]
    specs = _specs(request, request.json())
    if set(specs) != {key}:
        raise BadRequest(
            "Request body and URI mismatch" if len(specs) == 1 else "Request body contains too many items"
        )
    await request.write(work.specs_change, request.context, request.path["id"], specs)
    return Reply.json(specs)


async def delete_spec(request: Request) -> Reply:
    """Take one away."""
    request.authorise("os_compute_api:os-flavor-extra-specs:delete")
    await request.write(work.specs_change, request.context, request.path["id"], {}, [request.path["key"]])
    return Reply.empty(200)


def _route(method: str, path: str, handler: Handler, action: str, status: int, summary: str) -> Route:
    return Route(
        method,
        path,
        handler,
        resource=FLAVOR,
        action=action,
        status=status,
        summary=summary,
        rule=FLAVOR.rule(action),
    )


ROUTES = (
    Route("GET", "/v2.1/flavors", list_flavors, summary="List flavors"),
    _route("GET", "/v2.1/flavors/detail", list_flavors_detail, "list", 200, "List flavors with their values"),
    _route("POST", "/v2.1/flavors", create_flavor, "create", 200, "Create flavor"),
    _route("GET", "/v2.1/flavors/{id}", show_flavor, "get", 200, "Show flavor"),
    Route(
        "PUT",
        "/v2.1/flavors/{id}",
        update_flavor,
        body=_UPDATE,
        versions=("2.55", ""),
        rule=FLAVOR.rule("update"),
        summary="Change a flavor's description",
    ),
    _route("DELETE", "/v2.1/flavors/{id}", delete_flavor, "delete", 202, "Delete flavor"),
    Route("POST", "/v2.1/flavors/{id}/action", act, summary="Give a flavor to a project, or take it away"),
    Route(
        "GET",
        "/v2.1/flavors/{id}/os-flavor-access",
        list_access,
        rule="os_compute_api:os-flavor-access",
        summary="List the projects of a private flavor",
    ),
    Route("GET", "/v2.1/flavors/{id}/os-extra_specs", list_specs, summary="List extra specs"),
    Route("POST", "/v2.1/flavors/{id}/os-extra_specs", create_specs, summary="Set extra specs"),
    Route("GET", "/v2.1/flavors/{id}/os-extra_specs/{key}", show_spec, summary="Show an extra spec"),
    Route("PUT", "/v2.1/flavors/{id}/os-extra_specs/{key}", update_spec, summary="Set an extra spec"),
    Route("DELETE", "/v2.1/flavors/{id}/os-extra_specs/{key}", delete_spec, summary="Remove an extra spec"),
)
