"""Limits of a project or a domain, instead of the default of a registered limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam, false, or_, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Forbidden, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ID
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.common.generation import announce_many, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.limits.registered import (
    AMOUNT,
    REGION_ID,
    RESOURCE_NAME,
    SHORT_DESCRIPTION,
    expecting,
    require_places,
)
from pileus.services.identity.rules.limits import Facts, ModelName, Owned, description_of, first_misfit
from pileus.services.identity.tables.limits import limits, registered_limits
from pileus.services.identity.tables.projects import projects
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.web.crud import Crud
from pileus.web.crud.declared import Change, Create
from pileus.web.request import Request


class LimitNotFound(NotFound):
    """There is no such limit (404)."""

    message = "Could not find limit for {id}."


class NoLimitReference(Forbidden):
    """No registered limit is of that service, region and resource (403)."""

    message = "Unable to create a limit that has no corresponding registered limit."


class InvalidLimit(Forbidden):
    """A limit contradicts that of the domain, or of a project in it (403)."""

    message = "Invalid resource limit: {reason}."


_OWNER_ID = types.nullable(types.string(64, minimum=1, pattern="[a-zA-Z0-9-]+"))
_SOURCE = limits.join(registered_limits, registered_limits.c.id == limits.c.registered_limit_id).join(
    projects, projects.c.id == limits.c.owner_id
)

LIMIT = Resource(
    "limit",
    table=limits,
    source=_SOURCE,
    wording=KEYSTONE,
    not_found=LimitNotFound,
    rules={"create": "identity:create_limits"},
    bulk=True,
    attributes=(
        ID,
        Attribute("project_id", _OWNER_ID, create=True, filter=True),
        Attribute("domain_id", _OWNER_ID, create=True, filter=True),
        Attribute(
            "service_id",
            types.string(64),
            column=registered_limits.c.service_id,
            create=True,
            required=True,
            filter=True,
        ),
        Attribute("region_id", REGION_ID, column=registered_limits.c.region_id, create=True, filter=True),
        Attribute(
            "resource_name",
            RESOURCE_NAME,
            column=registered_limits.c.resource_name,
            create=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute("resource_limit", AMOUNT, create=True, update=True, required=True),
        Attribute("description", SHORT_DESCRIPTION, create=True, update=True),
        Attribute("registered_limit_id", types.string(64), visible=False),
        Attribute("owner_id", types.string(64), visible=False),
        Attribute(
            "owner_domain_id", types.nullable(types.string(64)), column=projects.c.domain_id, visible=False
        ),
    ),
)

_KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)
_REGISTERED = select(registered_limits).where(registered_limits.c.service_id.in_(_KEYS))
_DEFAULTS = select(registered_limits.c.id, registered_limits.c.default_limit).where(
    registered_limits.c.id.in_(_KEYS)
)
_OWNERS = select(projects.c.id, projects.c.parent_id, projects.c.is_domain).where(projects.c.id.in_(_KEYS))
_BELOW = select(projects.c.id, projects.c.domain_id).where(
    projects.c.domain_id.in_(_KEYS), projects.c.is_domain.is_(False)
)
_PRESENT = select(limits.c.owner_id, limits.c.registered_limit_id, limits.c.resource_limit).where(
    limits.c.registered_limit_id.in_(_KEYS)
)


def limit_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a limit, and of its project or domain."""
    if values is None:
        return {}
    target = {"target.limit.id": values.get("id")}
    if values.get("project_id") is not None:
        target["target.limit.project_id"] = values["project_id"]
        if values.get("owner_domain_id") is not None:
            target["target.limit.project.domain_id"] = values["owner_domain_id"]
    if values.get("domain_id") is not None:
        target["target.limit.domain.id"] = values["domain_id"]
    return target


def _own(tx: Tx, specs: Sequence[Values]) -> dict[str, str | None]:
    """Fill in whose limits they are; returns the parents of owners, None for a domain."""
    wanted = sorted({spec["project_id"] or spec["domain_id"] for spec in specs})
    found = {row.id: row for row in tx.rows(_OWNERS, {"keys": wanted})}
    for spec in specs:
        named = "project_id" if spec["project_id"] else "domain_id"
        row = found.get(spec[named])
        if row is None or (named == "domain_id" and not row.is_domain):
            raise expecting(named, "limit")
        if named == "project_id" and row.is_domain:  # a project that is a domain has a domain's limits
            spec["domain_id"], spec["project_id"] = spec["project_id"], None
        spec["owner_id"] = row.id
    return {key: None if row.is_domain else row.parent_id for key, row in found.items()}


def _refer(tx: Tx, specs: Sequence[Values]) -> None:
    """Fill in the registered limits. Raises NoLimitReference."""
    wanted = sorted({spec["service_id"] for spec in specs})
    known = {
        (row.service_id, row.region_id, row.resource_name): row.id
        for row in tx.rows(_REGISTERED, {"keys": wanted})
    }
    for spec in specs:
        key = known.get((spec["service_id"], spec["region_id"], spec["resource_name"]))
        if key is None:
            raise NoLimitReference
        spec["registered_limit_id"] = key


def _facts(tx: Tx, specs: Sequence[Mapping[str, Any]], parents: Mapping[str, str | None]) -> Facts:
    registered = sorted({spec["registered_limit_id"] for spec in specs})
    children: dict[str, list[str]] = {}
    tops = [key for key, parent in parents.items() if parent is None]
    for row in tx.rows(_BELOW, {"keys": tops}) if tops else ():
        children.setdefault(row.domain_id, []).append(row.id)
    return Facts(
        parents=parents,
        children=children,
        present={
            (row.owner_id, row.registered_limit_id): row.resource_limit
            for row in tx.rows(_PRESENT, {"keys": registered})
        },
        defaults={row.id: row.default_limit for row in tx.rows(_DEFAULTS, {"keys": registered})},
    )


def _require_fit(tx: Tx, specs: Sequence[Mapping[str, Any]], parents: Mapping[str, str | None]) -> None:
    """Raise InvalidLimit where one breaks the strict model."""
    # of two requests at once the second sees the first one's limits
    tx.lock(*sorted(f"limits:{spec['registered_limit_id']}" for spec in specs))
    new = [Owned(spec["owner_id"], spec["registered_limit_id"], spec["resource_limit"]) for spec in specs]
    wrong = first_misfit(new, _facts(tx, specs, parents))
    if wrong is not None:
        raise InvalidLimit(reason=description_of(specs[new.index(wrong)]).removesuffix("."))


def _creating(model: ModelName) -> Create:
    def limit_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
        """Make limits: all of them, or none."""
        for spec in specs:
            if len({"project_id", "domain_id"} & spec.given) != 1 or not (
                spec["project_id"] or spec["domain_id"]
            ):
                shown = {name: spec[name] for name in sorted(spec.given)}
                raise SchemaValidationError(f"{shown!r} is not valid under any of the given schemas")
        require_places(tx, specs, "limit")
        parents = _own(tx, specs)
        _refer(tx, specs)
        if model == "strict_two_level":
            _require_fit(tx, specs, parents)
        try:
            LIMIT.insert(tx, context, specs)
        except Duplicate:
            raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.") from None
        except Referenced:  # the registered limit or the owner went meanwhile
            raise NoLimitReference from None
        made = [(spec["id"], {"resource_name": spec["resource_name"]}) for spec in specs]
        announce_many(tx, context, "limit.create", made)
        return specs

    return limit_create


def _updating(model: ModelName) -> Change:
    def limit_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
        """Change limits."""
        if model == "strict_two_level":
            merged = [{**update.original, **update.changes} for update in updates]
            owners = sorted({one["owner_id"] for one in merged})
            rows = tx.rows(_OWNERS, {"keys": owners})
            _require_fit(tx, merged, {row.id: None if row.is_domain else row.parent_id for row in rows})
        changed = LIMIT.change(tx, context, updates)
        announce_many(tx, context, "limit.update", changed_names(updates))
        return changed

    return limit_update


def limit_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete limits: the defaults count again."""
    LIMIT.remove(tx, originals)
    announce_many(tx, context, "limit.delete", [(one["id"], {}) for one in originals])


def _visible(request: Request) -> Sequence[ColumnElement[bool]]:
    """The limits that a list shows its caller: all, those of his domain, those of his project, or none."""
    context = request.context
    if context.system_scope or request.access.allows("service_or_admin", {}):
        return ()
    if context.domain_id is not None:
        inside = select(projects.c.id).where(projects.c.domain_id == context.domain_id)
        return (or_(limits.c.domain_id == context.domain_id, limits.c.project_id.in_(inside)),)
    return (false() if context.project_id is None else limits.c.project_id == context.project_id,)


def limits_of(model: ModelName) -> Crud:
    """The limits, declared, by the model that new ones must follow."""
    return Crud(
        resource=LIMIT,
        create=_creating(model),
        update=_updating(model),
        delete=limit_delete,
        judge=judging(LIMIT, limit_target),
        list_visible=_visible,
    )
