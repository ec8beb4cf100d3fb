"""Extra specs of flavors. Source: Compute API reference, "Flavors extra-specs"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import BadValue, Type
from pileus.services.compute.api import enforce, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.flavors import work
from pileus.services.compute.policy import ADMIN, ADMIN_OR_READER, rules
from pileus.services.compute.replies import TEXT_BY_KEY, named
from pileus.services.compute.rules.extra_specs import BadExtraSpec, check_extra_spec
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_KEY = types.string(255, minimum=1, pattern=r"[a-zA-Z0-9-_:. ]{1,255}")
_TEXT = types.string(255)


def _parse_specs(value: Any) -> dict[str, str]:
    """Extra specs as Nova's schema has them: short keys of few characters, short text; numbers are taken."""
    if not isinstance(value, dict):
        raise BadValue("not a dictionary", f"{value!r} is not of type 'object'", value=value)
    parsed = {}
    for key, text in value.items():
        if isinstance(text, int | float) and not isinstance(text, bool):
            text = str(text)
        try:
            _KEY.parse(key)
            parsed[key] = _TEXT.parse(text)
        except BadValue as bad:
            bad.path = (key,)
            raise
    return parsed


_SPECS = Type(
    "extra specs",
    _parse_specs,
    {"type": "object", "additionalProperties": {"type": ["string", "number"], "maxLength": 255}},
)
_ALL_SPECS = types.dict_of({"extra_specs": _SPECS}, required=("extra_specs",))


def _check(request: Request, specs: dict[str, str]) -> None:
    """BadRequest for a spec in a known namespace that means nothing there; since 2.86."""
    if not since(request, "2.86"):
        return
    for key, text in specs.items():
        try:
            check_extra_spec(key, text)
        except BadExtraSpec as bad:
            raise BadRequest(str(bad)) from None


async def list_specs(request: Request) -> Reply:
    """List a flavor's extra specs."""
    enforce(request, {"project_id": request.context.project_id})
    specs = await request.read(work.specs_read, request.access, request.path["id"])
    return Reply.json({"extra_specs": specs})


async def create_specs(request: Request) -> Reply:
    """Set some."""
    enforce(request)
    specs = declared_body(request)["extra_specs"]
    _check(request, specs)
    await request.write(work.specs_change, request.access, request.path["id"], specs)
    return Reply.json({"extra_specs": specs})


async def show_spec(request: Request) -> Reply:
    """Show one of them."""
    enforce(request, {"project_id": request.context.project_id})
    key = request.path["key"]
    specs = await request.read(work.specs_read, request.access, request.path["id"])
    if key not in specs:
        raise work.FlavorExtraSpecsNotFound(flavor_id=request.path["id"], key=key)
    return Reply.json({key: specs[key]})


async def update_spec(request: Request) -> Reply:
    """Set the one that stands in the path and in the body."""
    enforce(request)
    key = request.path["key"]
    specs = declared_body(request)
    _check(request, specs)
    if set(specs) != {key}:
        raise BadRequest(
            "Request body and URI mismatch" if len(specs) == 1 else "Request body contains too many items"
        )
    await request.write(work.specs_change, request.access, request.path["id"], specs)
    return Reply.json(specs)


async def delete_spec(request: Request) -> Reply:
    """Take one away."""
    enforce(request)
    await request.write(work.specs_change, request.access, request.path["id"], {}, [request.path["key"]])
    return Reply.empty(200)


_ALL, _ONE = "/v2.1/flavors/{id}/os-extra_specs", "/v2.1/flavors/{id}/os-extra_specs/{key}"
_RULE = "os_compute_api:os-flavor-extra-specs:"
_REPLY = named("extra_specs", TEXT_BY_KEY)

FLAVOR_EXTRA_SPECS = Noun(
    name="flavor_extra_spec",
    rules=rules(
        {
            "os-flavor-extra-specs:index": ADMIN_OR_READER,
            "os-flavor-extra-specs:show": ADMIN_OR_READER,
            "os-flavor-extra-specs:create": ADMIN,
            "os-flavor-extra-specs:update": ADMIN,
            "os-flavor-extra-specs:delete": ADMIN,
        }
    ),
    extensions=(Extension("os-flavor-extra-specs", "FlavorExtraSpecs", "Flavors extra specs support."),),
    routes=(
        Route("GET", _ALL, list_specs, rule=_RULE + "index", reply=_REPLY, summary="List extra specs"),
        Route(
            "POST",
            _ALL,
            create_specs,
            rule=_RULE + "create",
            body=_ALL_SPECS,
            reply=_REPLY,
            summary="Set extra specs",
        ),
        Route("GET", _ONE, show_spec, rule=_RULE + "show", reply=TEXT_BY_KEY, summary="Show an extra spec"),
        Route(
            "PUT",
            _ONE,
            update_spec,
            rule=_RULE + "update",
            body=_SPECS,
            reply=TEXT_BY_KEY,
            summary="Set an extra spec",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_spec,
            rule=_RULE + "delete",
            reply=NO_BODY,
            summary="Remove an extra spec",
        ),
    ),
)
