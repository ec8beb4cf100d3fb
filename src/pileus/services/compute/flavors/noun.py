"""Flavors: sizes of servers. Source: Compute API reference, "Flavors"."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, judging, wrapped
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
from pileus.web.crud import Crud, Filter, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request
from pileus.web.routes import ByVersion

_UPDATE = wrapped("flavor", {"description": DESCRIPTION}, ("description",))


def _least(name: str, column: ColumnElement[int]) -> Filter:
    """The filter of flavors that have at least so much."""

    def condition(texts: Sequence[str]) -> ColumnElement[bool]:
        try:
            number = int(texts[-1][:40])
        except ValueError:
            raise BadRequest(f"Invalid {name} filter [{texts[-1]}]") from None
        return column >= max(-LARGEST, min(number, LARGEST))  # no flavor is beyond, and no column takes more

    return condition


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    """The flavors that administrators ask for by ``is_public``: of everybody, or of their own project."""
    asked = request.parameter("is_public")
    if not is_admin(request.access) or (asked is not None and asked.lower() == "none"):
        return ()
    try:
        public = asked is None or types.boolean.parse(asked)
    except BadValue:
        raise BadRequest(f"Invalid is_public filter [{asked}]") from None
    return [work.mine(request.context) if public else flavors.c.is_public.is_(False)]


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

_FLAVORS = Crud(
    resource=FLAVOR,
    create=work.flavor_create,
    update=work.flavor_update,
    delete=work.flavor_delete,
    judge=judging(),
    visible=lambda request: [work.visible(request.access)],
    list_where=_asked,
    filters={"minRam": _least("minRam", flavors.c.ram), "minDisk": _least("minDisk", flavors.c.disk)},
    detail=True,
    shown={"list": ("id", "name", "description")},
    bodies={"update": _UPDATE},
    replies={"list": ByVersion(_brief_reply), "detail": _MANY, "create": _ONE, "get": _ONE, "update": _ONE},
    statuses={"delete": 202},
    versions={"update": ("2.55", "")},
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
    routes=crud_routes(_FLAVORS, "/v2.1/flavors"),
)
