"""Roles, and which role implies which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import EXTRA, ID, OPTIONS, merged
from pileus.services.identity.errors import DomainNotFound, NameTaken, RoleNotFound, ValidationError
from pileus.services.identity.generation import announce, announce_turn
from pileus.services.identity.projects import projects
from pileus.services.identity.rules.roles import RoleGraph
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import Id, JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

roles = Table(
    "roles",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    # The domain's id again, or empty: names of global roles must be unique too, and NULLs are never equal.
    Column("owner", Id, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id")),
    Column("description", LongText),
    Column("extra", JsonText),
    UniqueConstraint("owner", "name"),
)

implied_roles = Table(
    "implied_roles",
    metadata,
    Column("prior_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("implied_role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
)

ROLE = Resource(
    "role",
    table=roles,
    wording=KEYSTONE,
    not_found=RoleNotFound,
    attributes=(
        ID,
        Attribute(
            "name",
            types.string(255, minimum=1),
            create=True,
            update=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "domain_id", types.nullable(types.string(64, minimum=1)), create=True, update=True, filter=True
        ),
        Attribute("description", types.nullable(types.string(None)), create=True, update=True),
        OPTIONS,
        EXTRA,
    ),
)

UNIMPLIABLE = frozenset({"admin"})
"""Roles that no other role may imply: Keystone's ``prohibited_implied_role``."""


class ImpliedRoleNotFound(NotFound):
    """One role does not imply the other (404)."""

    message = "{prior} does not imply {implied}."


class InvalidImpliedRole(Forbidden):
    """The role can't be implied (403)."""

    message = "{role_id} cannot be an implied roles."


_PAIR = (implied_roles.c.prior_role_id == bindparam("prior")) & (
    implied_roles.c.implied_role_id == bindparam("implied")
)
_IS_IMPLIED = select(implied_roles.c.prior_role_id).where(_PAIR)
_FORGET = implied_roles.delete().where(_PAIR)
_DOMAIN = select(projects.c.id).where(projects.c.id == bindparam("id"), projects.c.is_domain.is_(True))
_ALL = select(roles.c.id, roles.c.name, roles.c.domain_id)
_IMPLICATIONS = select(implied_roles).order_by(implied_roles.c.prior_role_id, implied_roles.c.implied_role_id)


def role_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a role."""
    if values is None:
        return {}
    return {
        "target.role.id": values["id"],
        "target.role.name": values["name"],
        "target.role.domain_id": values["domain_id"],
    }


def role_graph(tx: Tx) -> RoleGraph:
    """All roles and what they imply, in two statements."""
    rows = tx.rows(_ALL)
    implications: dict[str, tuple[str, ...]] = {}
    for row in tx.rows(_IMPLICATIONS):
        implications[row.prior_role_id] = (*implications.get(row.prior_role_id, ()), row.implied_role_id)
    return RoleGraph(
        {row.id: row.name for row in rows},
        frozenset(row.id for row in rows if row.domain_id is not None),
        implications,
    )


def role_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a role, global or of a domain."""
    domain_id = spec["domain_id"]
    if domain_id is not None and tx.first(_DOMAIN, {"id": domain_id}) is None:
        raise DomainNotFound(id=domain_id)
    try:
        tx.insert(roles, [{**ROLE.row(spec), "owner": domain_id or ""}])
    except Duplicate:
        raise NameTaken("role", spec) from None
    except Referenced:
        raise DomainNotFound(id=domain_id) from None
    announce(tx, context, "role.create", spec["id"], name=spec["name"])
    return spec


def role_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a role's name or description."""
    original = role_held(tx, key)
    if changes.get("domain_id", original["domain_id"]) != original["domain_id"]:
        raise ValidationError("Update of `domain_id` is not allowed.")
    try:
        after = ROLE.change(tx, context, [Update(original, merged(original, changes))])[0]
    except Duplicate:
        raise NameTaken("role", {**original, **changes}) from None
    announce_turn(tx, context, "role.update", key, changed=sorted(changes))
    return after


def role_held(tx: Tx, key: str) -> Values:
    """The values of one, held until the transaction ends. Raises RoleNotFound."""
    found = fetch(tx, ROLE, [key], lock=True)
    if not found:
        raise RoleNotFound(id=key)
    return found[0]


def implied_roles_read(tx: Tx) -> tuple[dict[str, Values], RoleGraph]:
    """Every role by id, and the graph."""
    return {role["id"]: role for role in fetch(tx, ROLE)}, role_graph(tx)


def implied_role_create(tx: Tx, context: Context, prior: str, implied: str) -> None:
    """Have one role imply another; nothing happens if it does."""
    first, second = role_held(tx, prior), role_held(tx, implied)
    if second["name"].lower() in UNIMPLIABLE:  # nor do the rules know a role's case
        raise InvalidImpliedRole(role_id=implied)
    if first["domain_id"] is None and second["domain_id"] is not None:
        raise InvalidImpliedRole("Global role cannot imply a domain-specific role")
    if tx.first(_IS_IMPLIED, {"prior": prior, "implied": implied}) is not None:
        return
    tx.insert(implied_roles, [{"prior_role_id": prior, "implied_role_id": implied}])
    announce_turn(tx, context, "role.update", prior, implies=implied)


def implied_role_delete(tx: Tx, context: Context, prior: str, implied: str) -> None:
    """End an implication. Raises ImpliedRoleNotFound."""
    if not tx.execute(_FORGET, {"prior": prior, "implied": implied}).rowcount:
        raise ImpliedRoleNotFound(prior=prior, implied=implied)
    announce_turn(tx, context, "role.update", prior, implies_no_longer=implied)
