"""Flavors: sizes of servers. Source: Compute API reference, "Flavors"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import true

from pileus.resource import types
from pileus.resource.declaration import Extension, Update, Values
from pileus.resource.listing import Listing, bound
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.services.compute.api import COMPUTE, at_least, body_of, enforce, wrapped
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.flavors import work
from pileus.services.compute.flavors.resource import DESCRIPTION, FLAVOR, LARGEST
from pileus.services.compute.policy import ADMIN, EVERYBODY, is_admin, rules
from pileus.services.compute.replies import (
    COUNT,
    FLAG,
    LINKS,
    NUMBER,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    always,
    named,
    named_list,
)
from pileus.services.compute.tables.flavors import flavors
from pileus.store.tx import Tx
from pileus.web.crud import create_handler, list_page
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ANYBODY, NO_BODY, ByVersion, Route
from pileus.web.view import show

_BRIEF = ["id", "name", "description"]
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
    visible = work.visible(request.access)
    listing.visible = [visible]
    asked = request.parameter("is_public")
    if not is_admin(request.access):
        listing.where.append(visible)
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
    """List ids and names."""
    listing = _listing(request)
    listing.fields = _BRIEF
    return Reply.chunks(await request.read(list_page, request, FLAVOR, listing))


async def list_flavors_detail(request: Request) -> Reply:
    """List flavors with all their values."""
    views = await request.read(list_page, request, FLAVOR, _listing(request))
    return Reply.chunks(views)


def _view(request: Request, flavor: Values) -> dict[str, Any]:
    return show(request, FLAVOR, [flavor])[0]


async def show_flavor(request: Request) -> Reply:
    """Show one flavor."""
    found = await request.read(work.flavor_find, request.access, request.path["id"])
    return Reply.json({"flavor": _view(request, found)})


_create = create_handler(FLAVOR, work.flavor_create, 200)


async def create_flavor(request: Request) -> Reply:
    """Create a flavor."""
    return await _create(request)


async def update_flavor(request: Request) -> Reply:
    """Change a flavor's description; nothing else of it ever changes."""
    enforce(request)
    wanted = body_of(request)["flavor"]["description"]
    changed = await request.write(_change, request, wanted)
    return Reply.json({"flavor": _view(request, changed)})


def _change(tx: Tx, request: Request, description: str | None) -> Values:
    flavor = work.flavor_find(tx, request.access, request.path["id"], lock=True)
    return work.flavor_update(tx, request.context, [Update(flavor, Values({"description": description}))])[0]


async def delete_flavor(request: Request) -> Reply:
    """Delete a flavor: 202, though it is gone."""
    enforce(request)
    await request.write(_delete, request)
    return Reply.empty(202)


def _delete(tx: Tx, request: Request) -> None:
    work.flavor_delete(
        tx, request.context, [work.flavor_find(tx, request.access, request.path["id"], lock=True)]
    )


def _shown(version: Version) -> Type:
    """A flavor as it is shown."""
    swap = COUNT if at_least(version, "2.75") else types.one_of(COUNT, types.enum(""))
    fields = {
        "id": TEXT,
        "name": TEXT,
        "ram": COUNT,
        "vcpus": COUNT,
        "disk": COUNT,
        "swap": swap,
        "OS-FLV-EXT-DATA:ephemeral": COUNT,
        "rxtx_factor": NUMBER,
        "OS-FLV-DISABLED:disabled": FLAG,
        "os-flavor-access:is_public": FLAG,
        "links": LINKS,
    }
    if at_least(version, "2.55"):
        fields["description"] = TEXT_OR_NULL
    if at_least(version, "2.61"):
        fields["extra_specs"] = TEXT_BY_KEY
    return always(fields)


def _brief_reply(version: Version) -> Type:
    fields = {"id": TEXT, "name": TEXT, "links": LINKS}
    if at_least(version, "2.55"):
        fields["description"] = TEXT_OR_NULL
    return named_list("flavors", always(fields), links="flavors_links")


_ONE = ByVersion(lambda version: named("flavor", _shown(version)))
_MANY = ByVersion(lambda version: named_list("flavors", _shown(version), links="flavors_links"))


def _route(
    method: str, path: str, handler: Handler, action: str, summary: str, status: int = 200, **more: Any
) -> Route:
    more.setdefault("rule", FLAVOR.rule(action))
    return Route(
        method, path, handler, resource=FLAVOR, action=action, status=status, summary=summary, **more
    )


FLAVORS = Noun(
    name="flavor",
    rules=rules(
        {
            "flavors": EVERYBODY,
            "os-flavor-manage:create": ADMIN,
            "os-flavor-manage:update": ADMIN,
            "os-flavor-manage:delete": ADMIN,
        }
    ),
    extensions=(
        Extension("OS-FLV-DISABLED", "FlavorDisabled", "Support to show the disabled status of a flavor."),
        Extension("OS-FLV-EXT-DATA", "FlavorExtraData", "Provide additional data for flavors."),
        Extension("os-flavor-manage", "FlavorManage", "Flavor create/delete API support."),
        Extension("os-flavor-swap", "FlavorSwap", "Support to show the swap status of a flavor."),
    ),
    routes=(
        Route(
            "GET",
            "/v2.1/flavors",
            list_flavors,
            rule=FLAVOR.rule("list"),
            reply=ByVersion(_brief_reply),
            summary="List flavors",
        ),
        _route(
            "GET",
            "/v2.1/flavors/detail",
            list_flavors_detail,
            "list",
            "List flavors with their values",
            reply=_MANY,
        ),
        _route("POST", "/v2.1/flavors", create_flavor, "create", "Create flavor", reply=_ONE),
        # Nova asks no rule of who looks at a flavor
        _route("GET", "/v2.1/flavors/{id}", show_flavor, "get", "Show flavor", rule=ANYBODY, reply=_ONE),
        _route(
            "PUT",
            "/v2.1/flavors/{id}",
            update_flavor,
            "update",
            "Change a flavor's description",
            body=_UPDATE,
            reply=_ONE,
            versions=("2.55", ""),
        ),
        _route("DELETE", "/v2.1/flavors/{id}", delete_flavor, "delete", "Delete flavor", 202, reply=NO_BODY),
    ),
)
