"""Volume types. Source: Block Storage API reference, "Volume types"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import ColumnElement

from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.replies import FLAG, TEXT, TEXT_BY_KEY, TEXT_OR_NULL, UUID, UUID_OR_NULL, always, named
from pileus.resource.replies import named_list as listed
from pileus.resource.types import BadValue
from pileus.services.volume.api import METADATA, enforce, wrapped
from pileus.services.volume.api import NAME as NAME_TYPE
from pileus.services.volume.api import TEXT as TEXT_TYPE
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, EVERYBODY, is_admin, rules
from pileus.services.volume.tables.types import volume_types
from pileus.services.volume.types import work
from pileus.services.volume.types.resource import IS_PUBLIC, VOLUME_TYPE
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_reply, crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_FOR_USERS = frozenset({"multiattach", "RESKEY:availability_zones", "replication_enabled"})
"""Extra specs that everybody may read."""

_CREATE = wrapped(
    "volume_type",
    {"name": NAME_TYPE, "description": TEXT_TYPE, "extra_specs": METADATA, IS_PUBLIC: types.boolean},
    ("name",),
)
_UPDATE = wrapped(
    "volume_type",
    {"name": types.nullable(NAME_TYPE), "description": TEXT_TYPE, "is_public": types.boolean},
)
_FIELDS = {
    "id": UUID,
    "name": TEXT,
    "description": TEXT_OR_NULL,
    "is_public": FLAG,
    IS_PUBLIC: FLAG,
}
_SOMETIMES = {"extra_specs": TEXT_BY_KEY, "qos_specs_id": UUID_OR_NULL}
_SHOWN = always(_FIELDS, _SOMETIMES)
_ONE = named("volume_type", _SHOWN)
_UPDATED = always({name: kind for name, kind in _FIELDS.items() if name != IS_PUBLIC}, _SOMETIMES)


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    """Without what the caller may not see, and what only shows and lists have."""
    access = request.access
    if action in ("create", "update"):
        view.pop("qos_specs_id", None)
    if action == "update":
        view.pop(IS_PUBLIC, None)
    if not access.allows("volume_extension:access_types_qos_specs_id"):
        view.pop("qos_specs_id", None)
    if not access.allows("volume_extension:access_types_extra_specs"):
        view.pop("extra_specs", None)
    elif not access.allows("volume_extension:types_extra_specs:read_sensitive"):
        specs = types_specs(view["extra_specs"])
        view["extra_specs"] = {key: text for key, text in specs.items() if key in _FOR_USERS}
    return view


def types_specs(value: Any) -> dict[str, str]:
    """Extra specs of a view, which may be JSON still."""
    decoded: dict[str, str] = msgspec.json.decode(bytes(value)) if isinstance(value, msgspec.Raw) else value
    return decoded


def _asked(request: Request) -> Sequence[ColumnElement[bool]]:
    """The types that administrators ask for by ``is_public``: of everybody, or private ones, or all."""
    asked = request.parameter("is_public")
    if not is_admin(request.access) or (asked is not None and asked.lower() == "none"):
        return ()
    try:
        public = asked is None or types.boolean.parse(asked)
    except BadValue:
        raise BadRequest(f"Invalid is_public filter [{asked}]") from None
    return [work.mine(request.context) if public else volume_types.c.is_public.is_(False)]


def type_crud(config: VolumeConfig) -> Crud:
    """The declaration with its options."""
    return Crud(
        resource=VOLUME_TYPE,
        create=work.type_create,
        update=work.type_update,
        delete=partial(work.type_delete, config=config),
        visible=lambda request: [work.visible(request.access)],
        list_where=_asked,
        view=_view,
        bodies={"create": _CREATE, "update": _UPDATE},
        replies={
            "create": _ONE,
            "get": _ONE,
            "update": named("volume_type", _UPDATED),
            "list": listed("volume_types", _SHOWN, links="volume_types_links"),
        },
        statuses={"create": 200, "delete": 202},
        may_change_nothing=True,
    )


class TypeHandlers:
    """Handlers that know the cloud's default type."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config
        self.crud = type_crud(config)

    def _default(self, tx: Tx, request: Request) -> Values:
        return work.default_type(tx, request.context, self._config)

    async def show_default(self, request: Request) -> Reply:
        """Show the type of volumes that name none."""
        enforce(request)
        return crud_reply(request, self.crud, await request.read(self._default, request), "get")


def types_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = TypeHandlers(config)
    return Noun(
        name="volume_type",
        rules=rules(
            {
                "volume_extension:type_create": ADMIN,
                "volume_extension:type_get": EVERYBODY,
                "volume_extension:type_get_all": EVERYBODY,
                "volume_extension:type_update": ADMIN,
                "volume_extension:type_delete": ADMIN,
                "volume_extension:access_types_extra_specs": EVERYBODY,
                "volume_extension:access_types_qos_specs_id": ADMIN,
            }
        ),
        extensions=(Extension("os-types-manage", "TypesManage", "Types manage support."),),
        routes=(
            *crud_routes(handlers.crud, "/v3/types", statements={"list": 3}),
            Route(
                "GET",
                "/v3/types/default",
                handlers.show_default,
                rule="volume_extension:type_get",
                reply=_ONE,
                summary="Show the default volume type",
            ),
        ),
    )
