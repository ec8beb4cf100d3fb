"""Extra specs of volume types. Source: Block Storage API reference, "Volume types"."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.resource.replies import TEXT_BY_KEY, named
from pileus.resource.types import Type, dict_of
from pileus.services.volume.api import METADATA, enforce
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, EVERYBODY, rules
from pileus.services.volume.types import work
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_ALL_SPECS = dict_of({"extra_specs": METADATA}, required=("extra_specs",))
_SPECS: Type = METADATA


async def list_specs(request: Request) -> Reply:
    """List a type's extra specs."""
    enforce(request)
    specs = await request.read(work.specs_read, request.access, request.path["id"])
    return Reply.json({"extra_specs": specs})


async def create_specs(request: Request) -> Reply:
    """Set some."""
    enforce(request)
    specs = declared_body(request)["extra_specs"]
    await request.write(work.specs_change, request.access, request.path["id"], specs)
    return Reply.json({"extra_specs": specs})


async def show_spec(request: Request) -> Reply:
    """Show one of them."""
    enforce(request)
    key = request.path["key"]
    specs = await request.read(work.specs_read, request.access, request.path["id"])
    if key not in specs:
        raise work.ExtraSpecNotFound(id=request.path["id"], key=key)
    return Reply.json({key: specs[key]})


async def update_spec(request: Request) -> Reply:
    """Set the one that stands in the path and in the body."""
    enforce(request)
    specs = declared_body(request)
    if request.path["key"] not in specs:
        raise BadRequest("Request body and URI mismatch")
    if len(specs) > 1:
        raise BadRequest("Request body contains too many items")
    await request.write(work.specs_change, request.access, request.path["id"], specs)
    return Reply.json(specs)


async def delete_spec(request: Request) -> Reply:
    """Take one away."""
    enforce(request)
    await request.write(work.specs_change, request.access, request.path["id"], {}, [request.path["key"]])
    return Reply.empty(202)


_ALL, _ONE = "/v3/types/{id}/extra_specs", "/v3/types/{id}/extra_specs/{key}"
_RULE = "volume_extension:types_extra_specs:"
_REPLY = named("extra_specs", TEXT_BY_KEY)

TYPE_EXTRA_SPECS = Noun(
    name="volume_type_extra_spec",
    rules=rules(
        {
            _RULE + "index": EVERYBODY,
            _RULE + "show": EVERYBODY,
            _RULE + "read_sensitive": ADMIN,
            _RULE + "create": ADMIN,
            _RULE + "update": ADMIN,
            _RULE + "delete": ADMIN,
        }
    ),
    extensions=(Extension("os-types-extra-specs", "TypesExtraSpecs", "Type extra specs support."),),
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
            status=202,
            summary="Remove an extra spec",
        ),
    ),
)
