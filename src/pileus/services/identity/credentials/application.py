"""Application credentials: a secret of its own with which a program is its user, in one project, with some
of his roles.

Source: the Identity API v3 reference, "Application Credentials". A credential never gives more than its
owner has: its roles are those that he has at this moment, of those that were chosen when it was made. It
is deleted when he is disabled and when a role in the project is taken from him, as Keystone does.
Access rules are not among what Pileus enforces, so a credential that asks for some is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ForeignKey, Table, Text, UniqueConstraint, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import ID
from pileus.services.identity.errors import RoleNotFound, UserNotFound, ValidationError
from pileus.services.identity.generation import announce, announce_turn
from pileus.services.identity.roles import role_graph, roles
from pileus.services.identity.rules.roles import RoleGraph, closure
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import Id, LongText, Moment, Name, metadata
from pileus.store.tx import Tx

application_credentials = Table(
    "application_credentials",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Name, nullable=False),
    Column("description", LongText),
    Column("secret_hash", Text, nullable=False),
    Column("expires_at", Moment),
    Column("unrestricted", Boolean, nullable=False),
    UniqueConstraint("user_id", "name"),
)

application_credential_roles = Table(
    "application_credential_roles",
    metadata,
    Column(
        "application_credential_id",
        Id,
        ForeignKey("application_credentials.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("role_id", Id, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class ApplicationCredentialNotFound(NotFound):
    """There is no such application credential (404)."""

    message = "Could not find Application Credential: {id}."


class ApplicationCredentialValidationError(Invalid):
    """What is asked for can't be given (400)."""

    message = "Invalid application credential: {detail}"


class ApplicationCredentialTaken(Conflict):
    """The user has one of that name (409)."""

    message = (
        "Conflict occurred attempting to store application_credential - "
        "Duplicate entry found with name {name}."
    )


class ValidationTimeStampError(Invalid):
    """A time is not written as one (400)."""

    message = (
        "Timestamp not in expected format. The server could not comply with the request since it is either "
        "malformed or otherwise incorrect. The client is assumed to be in error."
    )


class ValidationExpirationError(Invalid):
    """Something would have expired before it is made (400)."""

    message = (
        "The 'expires_at' must not be before now. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


_ROLES_OF = (
    select(
        application_credential_roles.c.application_credential_id,
        roles.c.id,
        roles.c.name,
        roles.c.domain_id,
        roles.c.description,
    )
    .join(roles, roles.c.id == application_credential_roles.c.role_id)
    .order_by(roles.c.name, roles.c.id)
)


def roles_load(tx: Tx, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The roles of application credentials as they are shown."""
    found: dict[str, list[dict[str, Any]]] = {}
    owner = application_credential_roles.c.application_credential_id
    for row in tx.rows(_ROLES_OF.where(column_in(tx, owner, ids))):
        found.setdefault(row.application_credential_id, []).append(
            {
                "id": row.id,
                "name": row.name,
                "domain_id": row.domain_id,
                "description": row.description,
                "options": {},
            }
        )
    return found


def roles_save(tx: Tx, context: Context, chosen: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the roles of new application credentials."""
    tx.insert(
        application_credential_roles,
        [
            {"application_credential_id": key, "role_id": role["id"]}
            for key, some in chosen.items()
            for role in some
        ],
    )


def _parse_role(value: Any) -> dict[str, str]:
    parsed: dict[str, str] = _ROLE_KEYS.parse(value)
    if len(parsed) != 1:
        few = "does not have enough properties" if not parsed else "has too many properties"
        raise types.BadValue(f"{value!r} {few}", value=value)
    return parsed


_ROLE_KEYS = types.dict_of({"id": types.string(64, minimum=1), "name": types.string(255, minimum=1)})
_ROLE = types.Type("role", _parse_role, {**_ROLE_KEYS.schema, "minProperties": 1, "maxProperties": 1})
_EXPIRES_AT = types.Type(
    "timestamp",
    types.nullable(types.string(64)).parse,
    types.nullable(types.timestamp_plain).schema,
    accepts_none=True,
    show=types.timestamp_plain.show,
)

APPLICATION_CREDENTIAL = Resource(
    "application_credential",
    table=application_credentials,
    wording=KEYSTONE,
    not_found=ApplicationCredentialNotFound,
    attributes=(
        ID,
        Attribute("name", types.string(255, minimum=1), create=True, required=True, filter=True, sort=True),
        Attribute("description", types.nullable(types.string(None)), create=True),
        Attribute("user_id", types.string(64)),
        Attribute("project_id", types.string(64), filter=True),
        Attribute("expires_at", _EXPIRES_AT, create=True),
        Attribute("unrestricted", types.nullable(types.strict_boolean), create=True, default=False),
        Attribute(
            "roles",
            types.list_of(_ROLE),
            loader=roles_load,
            saver=roles_save,
            empty=[],
            default=[],
            create=True,
        ),
        Attribute("secret", types.nullable(types.string(None)), create=True, visible=False),
        Attribute("secret_hash", types.string(None), visible=False),
        Attribute(
            "access_rules",
            types.list_of(types.anything, none_is_empty=True),
            default=[],
            create=True,
            visible=False,
            description="Not supported: only none can be asked for",
        ),
    ),
)


class ApplicationCredential(msgspec.Struct, frozen=True):
    """An application credential as logging in and tokens need it."""

    id: str
    name: str
    user_id: str
    project_id: str
    secret_hash: str
    expires_at: dt.datetime | None
    unrestricted: bool
    role_ids: frozenset[str]


_FIND = (
    select(
        application_credentials.c.id,
        application_credentials.c.name,
        application_credentials.c.user_id,
        application_credentials.c.project_id,
        application_credentials.c.secret_hash,
        application_credentials.c.expires_at,
        application_credentials.c.unrestricted,
        application_credential_roles.c.role_id,
    )
    .select_from(application_credentials)
    .outerjoin(
        application_credential_roles,
        application_credential_roles.c.application_credential_id == application_credentials.c.id,
    )
)
_FIND_BY_ID = _FIND.where(application_credentials.c.id == bindparam("id"))
_FIND_BY_NAME = _FIND.where(
    application_credentials.c.user_id == bindparam("user_id"),
    application_credentials.c.name == bindparam("name"),
)
_DELETE = application_credentials.delete().where(
    application_credentials.c.id == bindparam("key"), application_credentials.c.user_id == bindparam("owner")
)
_DELETE_OF_USER = application_credentials.delete().where(
    application_credentials.c.user_id == bindparam("key")
)
_DELETE_OF_USER_IN_PROJECT = application_credentials.delete().where(
    application_credentials.c.user_id == bindparam("key"),
    application_credentials.c.project_id == bindparam("project"),
)
_DELETE_WITH_ROLE = application_credentials.delete().where(
    application_credentials.c.id.in_(
        select(application_credential_roles.c.application_credential_id).where(
            application_credential_roles.c.role_id == bindparam("key")
        )
    )
)


def application_credential_find(
    tx: Tx, key: str | None = None, *, user_id: str = "", name: str = ""
) -> ApplicationCredential | None:
    """The one with that id, or a user's with that name: one statement."""
    if key is not None:
        rows = tx.rows(_FIND_BY_ID, {"id": key})
    else:
        rows = tx.rows(_FIND_BY_NAME, {"user_id": user_id, "name": name})
    if not rows:
        return None
    role_ids = frozenset(row.role_id for row in rows if row.role_id is not None)
    first = rows[0]
    return ApplicationCredential(
        first.id,
        first.name,
        first.user_id,
        first.project_id,
        first.secret_hash,
        first.expires_at,
        first.unrestricted,
        role_ids,
    )


def expiry_read(text: str | None, now: dt.datetime) -> dt.datetime | None:
    """The time in a request's ``expires_at``. Raises Invalid for what is no time, or is past."""
    if not text:
        return None
    try:
        moment = types.timestamp.parse(text if text.endswith("Z") else text + "Z")
    except types.BadValue:
        raise ValidationTimeStampError from None
    if moment < now:
        raise ValidationExpirationError
    return moment  # type: ignore[no-any-return]


def application_credential_create(tx: Tx, context: Context, spec: Values, held: frozenset[str]) -> Values:
    """Make one for the caller, in the project of his token. ``held`` are the ids of the token's roles.

    ``spec`` has ``secret_hash``, and the roles as they were asked for; none means all of ``held``.
    """
    graph = role_graph(tx)
    chosen = _chosen_roles(graph, spec["roles"]) if spec["roles"] else held & graph.names.keys()
    if not chosen <= held:
        raise ApplicationCredentialValidationError(
            detail="Cannot create an application credential with unassigned role"
        )
    spec["roles"] = [{"id": role_id} for role_id in sorted(chosen)]
    spec["unrestricted"] = bool(spec["unrestricted"])
    try:
        APPLICATION_CREDENTIAL.insert(tx, context, [spec])
    except Duplicate:
        raise ApplicationCredentialTaken(name=spec["name"]) from None
    except Referenced:
        raise UserNotFound(id=spec["user_id"]) from None
    announce(tx, context, "application_credential.create", spec["id"], user_id=spec["user_id"])
    return Values({**spec, "roles": roles_load(tx, [spec["id"]]).get(spec["id"], [])})


def _chosen_roles(graph: RoleGraph, wanted: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """The ids of the roles, with what they imply."""
    by_name: dict[str, list[str]] = {}
    for role_id, name in graph.names.items():
        by_name.setdefault(name, []).append(role_id)
    found = []
    for role in wanted:
        if "id" in role:
            if role["id"] not in graph.names:
                raise RoleNotFound(id=role["id"])
            found.append(role["id"])
            continue
        same = by_name.get(role["name"], [])
        plain = [role_id for role_id in same if role_id not in graph.domain_specific] or same
        if not plain:
            raise RoleNotFound(id=role["name"])
        if len(plain) > 1:
            raise ValidationError(f"The role name {role['name']} is not unique; use its id.")
        found.append(plain[0])
    return frozenset(closure(graph, found))


def application_credential_delete(tx: Tx, context: Context, user_id: str, key: str) -> None:
    """Delete one: its tokens are worth nothing from now on. Raises ApplicationCredentialNotFound."""
    if not tx.execute(_DELETE, {"key": key, "owner": user_id}).rowcount:
        raise ApplicationCredentialNotFound(id=key)
    announce_turn(tx, context, "application_credential.delete", key, user_id=user_id)


def application_credentials_forget(tx: Tx, user_id: str, project_id: str | None = None) -> None:
    """Delete all of a user's, or those in one project; the caller moves the generation."""
    if project_id is None:
        tx.execute(_DELETE_OF_USER, {"key": user_id})
    else:
        tx.execute(_DELETE_OF_USER_IN_PROJECT, {"key": user_id, "project": project_id})


def application_credentials_forget_role(tx: Tx, role_id: str) -> None:
    """Delete those that have a role; the caller moves the generation."""
    tx.execute(_DELETE_WITH_ROLE, {"key": role_id})
