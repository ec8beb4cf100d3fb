"""Registered limits: the default of a resource of a service, in a region or everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.types import BadValue
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ID
from pileus.services.identity.common.errors import ForbiddenNotSecurity, ValidationError
from pileus.services.identity.common.generation import announce_many, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.limits.body import several
from pileus.services.identity.tables.catalog import regions, services
from pileus.services.identity.tables.limits import limits, registered_limits
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes

_WHOLE = types.integer(-1, 2**31 - 1)


def _amount(value: Any) -> int:
    if isinstance(value, str):  # digits in a text are no number here
        raise BadValue(f"'{value}' is not an integer", f"{value!r} is not of type 'integer'", value=value)
    amount: int = _WHOLE.parse(value)
    return amount


AMOUNT = types.Type("integer", _amount, _WHOLE.schema)
REGION_ID = types.nullable(types.string(255))
RESOURCE_NAME = types.string(255, minimum=1)
SHORT_DESCRIPTION = types.nullable(types.string(255))


class RegisteredLimitNotFound(NotFound):
    """There is no such registered limit (404)."""

    message = "Could not find registered limit for {id}."


class RegisteredLimitInUse(ForbiddenNotSecurity):
    """Limits of projects or domains stand on it (403)."""

    message = (
        "Unable to update or delete registered limit {id} because there are project limits associated with "
        "it."
    )


def expecting(attribute: str, target: str) -> ValidationError:
    """The refusal of something that names a thing which is not there."""
    return ValidationError(
        f"Expecting to find {attribute} in {target}. The server could not comply with the request since "
        "it is either malformed or otherwise incorrect. The client is assumed to be in error."
    )


REGISTERED_LIMIT = Resource(
    "registered_limit",
    table=registered_limits,
    wording=KEYSTONE,
    not_found=RegisteredLimitNotFound,
    rules={"create": "identity:create_registered_limits"},
    bulk=True,
    attributes=(
        ID,
        Attribute("service_id", types.string(64), create=True, update=True, required=True, filter=True),
        Attribute("region_id", REGION_ID, create=True, update=True, filter=True),
        Attribute("region_key", types.string(255), visible=False),
        Attribute(
            "resource_name", RESOURCE_NAME, create=True, update=True, required=True, filter=True, sort=True
        ),
        Attribute("default_limit", AMOUNT, create=True, update=True, required=True),
        Attribute("description", SHORT_DESCRIPTION, create=True, update=True),
    ),
)

_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
_SERVICES = select(services.c.id).where(services.c.id.in_(_IDS))
_REGIONS = select(regions.c.id).where(regions.c.id.in_(_IDS))
_USED = select(limits.c.registered_limit_id).where(limits.c.registered_limit_id.in_(_IDS)).limit(1)


def registered_limit_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a registered limit."""
    return {} if values is None else {"target.registered_limit.id": values.get("id")}


def require_places(tx: Tx, specs: Sequence[Mapping[str, Any]], target: str) -> None:
    """Raise ValidationError unless the services and regions that are named exist."""
    for name, statement in (("service_id", _SERVICES), ("region_id", _REGIONS)):
        wanted = sorted({spec[name] for spec in specs if spec.get(name) is not None})
        if wanted and len(tx.rows(statement, {"ids": wanted})) < len(wanted):
            raise expecting(name, target)


def _require_unused(tx: Tx, originals: Sequence[Mapping[str, Any]]) -> None:
    used = tx.first(_USED, {"ids": [one["id"] for one in originals]})
    if used is not None:
        raise RegisteredLimitInUse(id=used.registered_limit_id)


def _conflict() -> Conflict:
    return Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")


def registered_limit_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make registered limits: all of them, or none."""
    require_places(tx, specs, "registered_limit")
    for spec in specs:
        spec["region_key"] = spec["region_id"] or ""
    try:
        REGISTERED_LIMIT.insert(tx, context, specs)
    except Duplicate:
        raise _conflict() from None
    made = [(spec["id"], {"resource_name": spec["resource_name"]}) for spec in specs]
    announce_many(tx, context, "registered_limit.create", made)
    return specs


def registered_limit_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change registered limits on which no limit stands."""
    require_places(tx, [update.changes for update in updates], "registered_limit")
    _require_unused(tx, [update.original for update in updates])
    for update in updates:
        if "region_id" in update.changes:
            update.changes["region_key"] = update.changes["region_id"] or ""
    try:
        changed = REGISTERED_LIMIT.change(tx, context, updates)
    except Duplicate:
        raise _conflict() from None
    announce_many(tx, context, "registered_limit.update", changed_names(updates, frozenset({"region_key"})))
    return changed


def registered_limit_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete registered limits on which no limit stands."""
    _require_unused(tx, originals)
    REGISTERED_LIMIT.remove(tx, originals)
    announce_many(tx, context, "registered_limit.delete", [(one["id"], {}) for one in originals])


REGISTERED_LIMITS = Crud(
    resource=REGISTERED_LIMIT,
    create=registered_limit_create,
    update=registered_limit_update,
    delete=registered_limit_delete,
    judge=judging(REGISTERED_LIMIT, registered_limit_target),
)

ROUTES = tuple(
    several(route) if route.action == "create" else route
    for route in crud_routes(REGISTERED_LIMITS, "/v3/registered_limits")
)
