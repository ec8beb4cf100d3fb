"""QoS specs. Source: Block Storage API reference, "QoS specs"."""

from __future__ import annotations

import re
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.replies import LINKS, TEXT, TEXT_BY_KEY, UUID, always, named_list
from pileus.resource.types import BadValue, Type
from pileus.services.volume.api import NAME, enforce, flag, root_url
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.qos import work
from pileus.services.volume.qos.resource import QOS_SPECS, RULE
from pileus.services.volume.rules.limits import CONSUMERS
from pileus.web.body import declared_body
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_KEY = re.compile(r"[A-Za-z0-9_:. -]{1,255}")
_TEXT = types.string(255)


def _parse_keys(value: Any) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise BadValue("not a dictionary", f"{value!r} is not of type 'object'", value=value)
    parsed: dict[str, str | None] = {}
    for key, text in value.items():
        if not _KEY.fullmatch(key):
            raise BadValue("a bad key", f"{key!r} is not a key of QoS specs", value=key)
        try:
            parsed[key] = None if text is None else _TEXT.parse(text)
        except BadValue as bad:
            bad.path = (key,)
            raise
    return parsed


def _parse_new(value: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = _parse_keys(value)
    if "name" not in parsed:
        raise BadValue("has no name", "'name' is a required property", value=value)
    if None in parsed.values():
        raise BadValue("a key has no value", "None is not of type 'string'", value=None)
    parsed["name"] = NAME.parse(parsed["name"])
    if parsed.get("consumer", CONSUMERS[0]) not in CONSUMERS:
        text = f"Valid consumer of QoS specs are: {', '.join(CONSUMERS)}"
        raise BadValue("not a consumer", text, value=parsed["consumer"], path=("consumer",))
    return parsed


_SCHEMA = {"type": "object", "additionalProperties": {"type": ["string", "null"], "maxLength": 255}}
_NEW = Type(
    "QoS specs",
    _parse_new,
    {
        "type": "object",
        "properties": {"name": NAME.schema, "consumer": {"type": "string", "enum": list(CONSUMERS)}},
        "required": ["name"],
        "additionalProperties": {"type": "string", "maxLength": 255},
    },
)
_CREATE = types.dict_of({"qos_specs": _NEW}, required=("qos_specs",))
_UPDATE = types.dict_of({"qos_specs": Type("QoS specs", _parse_keys, _SCHEMA)}, required=("qos_specs",))
_KEYS = types.dict_of({"keys": types.list_of(types.string(255, minimum=1), maximum=512)}, required=("keys",))
_FIELDS = {"id": UUID, "name": TEXT, "consumer": TEXT, "specs": TEXT_BY_KEY}
_ONE_SPEC = always({"qos_specs": always(_FIELDS), "links": LINKS})
_ASSOCIATION = always({"association_type": TEXT, "name": TEXT, "id": UUID})


def _reply(request: Request, found: Values) -> Reply:
    href = f"{root_url(request)}/qos-specs/{found['id']}"
    links = [{"rel": "self", "href": href}, {"rel": "bookmark", "href": href}]
    return Reply.json({"qos_specs": {name: found[name] for name in _FIELDS}, "links": links})


async def show_qos(request: Request) -> Reply:
    """Show QoS specs."""
    enforce(request)
    return _reply(request, await request.read(work.qos_find, request.path["id"]))


async def create_qos(request: Request) -> Reply:
    """Make QoS specs: a name, who keeps them, and any keys."""
    enforce(request)
    asked = declared_body(request)["qos_specs"]
    return _reply(request, await request.write(work.qos_create, request.context, asked))


async def update_qos(request: Request) -> Reply:
    """Set keys of QoS specs."""
    enforce(request)
    asked = declared_body(request)["qos_specs"]
    if "name" in asked:
        raise BadRequest("Invalid qos specs: The name of QoS specs can't be changed.")
    await request.write(work.qos_update, request.context, request.path["id"], asked)
    return Reply.json({"qos_specs": asked})


async def unset_qos(request: Request) -> Reply:
    """Take keys away from QoS specs."""
    enforce(request)
    keys = declared_body(request)["keys"]
    await request.write(work.qos_unset, request.context, request.path["id"], keys)
    return Reply.empty(202)


async def delete_qos(request: Request) -> Reply:
    """Delete QoS specs; with ``force``, also those that volume types have."""
    enforce(request)
    force = flag(request, "force")

    def delete(tx: Any) -> None:
        work.qos_delete(tx, request.context, request.path["id"], force=force)

    await request.write(delete)
    return Reply.empty(202)


async def list_associations(request: Request) -> Reply:
    """List the volume types that have QoS specs."""
    enforce(request)
    return Reply.json({"qos_associations": await request.read(work.associations, request.path["id"])})


def _type_id(request: Request) -> str:
    named = request.parameter("vol_type_id")
    if not named:
        raise BadRequest("Volume Type id must not be None.")
    return named


async def associate(request: Request) -> Reply:
    """Give QoS specs to the volume type ``vol_type_id``."""
    enforce(request)
    await request.write(work.associate, request.access, request.path["id"], _type_id(request))
    return Reply.empty(202)


async def disassociate(request: Request) -> Reply:
    """Take QoS specs from the volume type ``vol_type_id``."""
    enforce(request)
    await request.write(work.disassociate_type, request.access, request.path["id"], _type_id(request))
    return Reply.empty(202)


async def disassociate_all(request: Request) -> Reply:
    """Take QoS specs from all volume types."""
    enforce(request)
    await request.write(work.disassociate, request.context, request.path["id"])
    return Reply.empty(202)


QOS_CRUD = Crud(
    resource=QOS_SPECS,
    replies={"list": named_list("qos_specs", always(_FIELDS), links="qos_specs_links")},
)
_ALL, _ONE = "/v3/qos-specs", "/v3/qos-specs/{id}"

QOS = Noun(
    name="qos_specs",
    rules=rules({RULE + name: ADMIN for name in ("create", "get", "get_all", "update", "delete")}),
    extensions=(Extension("qos-specs", "Qos_specs_manage", "QoS specs support."),),
    routes=(
        *crud_routes(QOS_CRUD, _ALL, get=False, statements={"list": 2}),
        Route("GET", _ONE, show_qos, rule=RULE + "get", reply=_ONE_SPEC, summary="Show QoS specs"),
        Route(
            "POST",
            _ALL,
            create_qos,
            rule=RULE + "create",
            body=_CREATE,
            reply=_ONE_SPEC,
            status=200,
            summary="Make QoS specs",
        ),
        Route(
            "PUT",
            _ONE,
            update_qos,
            rule=RULE + "update",
            body=_UPDATE,
            reply=always({"qos_specs": types.dict_of({}, additional=types.nullable(TEXT))}),
            summary="Set keys of QoS specs",
        ),
        Route(
            "PUT",
            f"{_ONE}/delete_keys",
            unset_qos,
            rule=RULE + "update",
            body=_KEYS,
            reply=NO_BODY,
            status=202,
            summary="Take keys away from QoS specs",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_qos,
            rule=RULE + "delete",
            reply=NO_BODY,
            status=202,
            summary="Delete QoS specs",
        ),
        Route(
            "GET",
            f"{_ONE}/associations",
            list_associations,
            rule=RULE + "get_all",
            reply=named_list("qos_associations", _ASSOCIATION),
            summary="List the volume types that have QoS specs",
        ),
        Route(
            "GET",
            f"{_ONE}/associate",
            associate,
            rule=RULE + "update",
            reply=NO_BODY,
            status=202,
            summary="Give QoS specs to a volume type",
        ),
        Route(
            "GET",
            f"{_ONE}/disassociate",
            disassociate,
            rule=RULE + "update",
            reply=NO_BODY,
            status=202,
            summary="Take QoS specs from a volume type",
        ),
        Route(
            "GET",
            f"{_ONE}/disassociate_all",
            disassociate_all,
            rule=RULE + "update",
            reply=NO_BODY,
            status=202,
            summary="Take QoS specs from all volume types",
        ),
    ),
)
