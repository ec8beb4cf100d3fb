"""Take in a user whom an identity provider has shown: the user, groups and projects that his claims give."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import bindparam, delete, select, update

from pileus.core.context import Context
from pileus.core.errors import Forbidden, Invalid
from pileus.core.ids import new_hex_id
from pileus.resource.check import check_create
from pileus.services.identity.common.errors import DomainNotFound, Unauthorized
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.federation.resources import (
    FederatedProtocolNotFound,
    IdentityProviderNotFound,
    remote_ids_load,
)
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.projects.work import project_create
from pileus.services.identity.rules.mapping import Mapped
from pileus.services.identity.sessions.session import ById, ByName, account_find
from pileus.services.identity.tables.federation import (
    expiring_memberships,
    federated_users,
    federation_protocols,
    identity_providers,
    mappings,
)
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.roles import roles
from pileus.services.identity.tables.users import users
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx

SYNCED = "3.0"
"""The version of mappings from which a user has in projects what the provider says, and no more."""


class ProviderDisabled(Forbidden):
    """The identity provider is disabled (403)."""

    message = "Identity Provider {idp} is disabled"


class NoRemoteId(Invalid):
    """The claims do not have that which a protocol's ``remote_id_attribute`` names (400)."""

    message = "Could not find Identity Provider identifier in environment"


class OtherRemoteId(Forbidden):
    """The claims name another identity provider (403)."""

    message = "Incoming identity provider identifier not included among the accepted identifiers."


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An enabled identity provider with one of its protocols and the mapping that this names."""

    id: str
    protocol_id: str
    domain_id: str
    ttl_min: int | None
    remote_ids: tuple[str, ...]
    remote_id_attribute: str | None
    rules: list[dict[str, Any]]
    version: str


_IDP = select(identity_providers).where(identity_providers.c.id == bindparam("idp_id"))
_PROTOCOL = (
    select(
        federation_protocols.c.id,
        federation_protocols.c.remote_id_attribute,
        mappings.c.rules,
        mappings.c.schema_version,
    )
    .join(mappings, mappings.c.id == federation_protocols.c.mapping_id)
    .where(
        federation_protocols.c.idp_id == bindparam("idp_id"), federation_protocols.c.id == bindparam("key")
    )
)
_WITH_PROTOCOL = (
    select(identity_providers.c.id)
    .join(federation_protocols, federation_protocols.c.idp_id == identity_providers.c.id)
    .where(federation_protocols.c.id == bindparam("key"), identity_providers.c.enabled.is_(True))
    .order_by(identity_providers.c.id)
)


def provider_find(tx: Tx, idp_id: str, protocol_id: str) -> Provider:
    """Read a provider. Raises IdentityProviderNotFound, ProviderDisabled, FederatedProtocolNotFound."""
    idp = tx.first(_IDP, {"idp_id": idp_id})
    if idp is None:
        raise IdentityProviderNotFound(id=idp_id)
    if not idp.enabled:
        raise ProviderDisabled(idp=idp_id)
    found = tx.first(_PROTOCOL, {"idp_id": idp_id, "key": protocol_id})
    if found is None:
        raise FederatedProtocolNotFound(id=protocol_id, idp_id=idp_id)
    return Provider(
        id=idp_id,
        protocol_id=protocol_id,
        domain_id=idp.domain_id,
        ttl_min=idp.authorization_ttl,
        remote_ids=tuple(remote_ids_load(tx, [idp_id]).get(idp_id, ())),
        remote_id_attribute=found.remote_id_attribute,
        rules=found.rules,
        version=found.schema_version,
    )


def require_remote_id(provider: Provider, claims: Mapping[str, Sequence[str]]) -> None:
    """Raise where the claim of a protocol's ``remote_id_attribute`` is not a remote id of the provider.

    The issuer was compared already; this is one more condition, as Keystone has it. Raises NoRemoteId,
    OtherRemoteId.
    """
    if not provider.remote_id_attribute:
        return
    found = claims.get(provider.remote_id_attribute)
    if not found:
        raise NoRemoteId
    if not set(found) <= set(provider.remote_ids):
        raise OtherRemoteId


def providers_with(tx: Tx, protocol_id: str) -> list[str]:
    """The ids of the enabled identity providers that have such a protocol."""
    return [row.id for row in tx.rows(_WITH_PROTOCOL, {"key": protocol_id})]


def user_take_in(
    tx: Tx, context: Context, provider: Provider, mapped: Mapped, least: dt.timedelta, ttl_min: int
) -> tuple[str, bool]:
    """Make or change what the claims give; returns the user's id, and whether he came from the provider.

    Groups hold for the provider's ``authorization_ttl`` or ``ttl_min`` minutes, and not shorter than a token
    may live (``least``). Raises Unauthorized for claims that give no user who may come in.
    """
    if mapped.user.get("type") == "local":
        return _local(tx, mapped.user), False
    user_id, changed = _ephemeral(tx, context, provider, mapped.user)
    minutes = ttl_min if provider.ttl_min is None else provider.ttl_min
    expires_at = context.now + max(least, dt.timedelta(minutes=minutes))
    changed |= _join(tx, user_id, _group_ids(tx, mapped), expires_at)
    changed |= _enter(tx, context, provider, user_id, mapped.projects)
    if changed:
        announce_token_change(tx, context, "user.federate", user_id, identity_provider=provider.id)
    return user_id, True


def _local(tx: Tx, user: Mapping[str, Any]) -> str:
    """The user that claims name among those who are here."""
    domain = user.get("domain") or {}
    if user.get("id"):
        account = account_find(tx, ById(user["id"]))
    elif user.get("name") and domain:
        account = account_find(tx, ByName(user["name"], domain.get("id"), domain.get("name")))
    else:
        raise Unauthorized("a local user needs an id, or a name and a domain")
    if account is None or account.is_federated:
        raise Unauthorized(f"there is no local user {user}")
    return account.id


def _ephemeral(tx: Tx, context: Context, provider: Provider, user: Mapping[str, Any]) -> tuple[str, bool]:
    """The user's row; made where he is new, and named as the claims name him. Whether it was changed."""
    unique, name = user.get("id") or user.get("name"), user.get("name") or user.get("id")
    if not unique or not name:
        raise Unauthorized("the mapping gives neither a user's id nor a name")
    unique = quote(unique)
    if len(unique) > 255 or len(name) > 255:
        raise Unauthorized("the mapping gives a name that is too long")
    known = tx.first(
        select(federated_users.c.user_id, users.c.name)
        .join(users, users.c.id == federated_users.c.user_id)
        .where(
            federated_users.c.idp_id == provider.id,
            federated_users.c.protocol_id == provider.protocol_id,
            federated_users.c.unique_id == unique,
        )
    )
    if known is not None:
        if known.name != name:
            tx.execute(update(users).where(users.c.id == known.user_id).values(name=name))
        return known.user_id, known.name != name
    key = new_hex_id()
    row = {
        "id": key,
        "origin": key,
        "name": name,
        "domain_id": _domain(tx, user.get("domain"), provider.domain_id),
        "enabled": True,
        "default_project_id": None,
        "password_hash": None,
        "tokens_after": context.now,
        "created_at": context.now,
        "options": {},
        "extra": {"email": user["email"]} if user.get("email") else None,
    }
    who = {"user_id": key, "idp_id": provider.id, "protocol_id": provider.protocol_id, "unique_id": unique}
    try:
        with tx.savepoint():
            tx.insert(users, [row])
            tx.insert(federated_users, [who])
    except Duplicate:  # of two log-ins at once
        raise Unauthorized(f"user {unique} of {provider.id} came in by another request at once") from None
    return key, True


def _domain(tx: Tx, named: Mapping[str, Any] | None, otherwise: str) -> str:
    """The id of the domain that a mapping names. Raises DomainNotFound."""
    if not named:
        return otherwise
    if named.get("id"):
        found = tx.scalar(select(projects.c.id).where(projects.c.id == named["id"], projects.c.is_domain))
    else:
        name = named.get("name")
        found = tx.scalar(select(projects.c.id).where(projects.c.name == name, projects.c.owner == ""))
    if found is None:
        raise DomainNotFound(id=named.get("id") or named.get("name"))
    return str(found)


def _group_ids(tx: Tx, mapped: Mapped) -> set[str]:
    """The ids of the groups. Raises Unauthorized for an id of none; a name may be that of none."""
    wanted = set(mapped.group_ids)
    rows = tx.rows(select(groups.c.id).where(groups.c.id.in_(sorted(wanted)))) if wanted else []
    found = {row.id for row in rows}
    if missing := wanted - found:
        raise Unauthorized(f"the mapping names group {min(missing)}, which is not there")
    by_name = {(one["name"], _domain(tx, one["domain"], "")) for one in mapped.groups}
    if by_name:
        names = sorted({name for name, _ in by_name})
        rows = tx.rows(select(groups.c.id, groups.c.name, groups.c.domain_id).where(groups.c.name.in_(names)))
        found |= {row.id for row in rows if (row.name, row.domain_id) in by_name}
    return found


def _join(tx: Tx, user_id: str, wanted: set[str], expires_at: dt.datetime) -> bool:
    """Replace the memberships that claims gave before; whether the groups are others than those."""
    table = expiring_memberships
    before = {row.group_id for row in tx.rows(select(table.c.group_id).where(table.c.user_id == user_id))}
    if before:
        tx.execute(delete(table).where(table.c.user_id == user_id))
    rows = [{"user_id": user_id, "group_id": key, "expires_at": expires_at} for key in sorted(wanted)]
    tx.insert(table, rows)
    return before != wanted


def _enter(
    tx: Tx, context: Context, provider: Provider, user_id: str, wanted: Sequence[Mapping[str, Any]]
) -> bool:
    """Give the user the roles in projects that the claims name; projects that are missing are made."""
    if not wanted and provider.version != SYNCED:
        return False
    names = {role["name"] for project in wanted for role in project["roles"]}
    known = _roles(tx, names, provider.domain_id)
    should: set[tuple[str, str]] = set()
    for project in wanted:
        domain_id = _domain(tx, project.get("domain"), provider.domain_id)
        project_id = _project(tx, context, project["name"], domain_id)
        should |= {(project_id, known[role["name"]]) for role in project["roles"]}
    mine = (grants.c.actor_kind == "user", grants.c.actor_id == user_id, grants.c.target_kind == "project")
    rows = tx.rows(select(grants.c.target_id, grants.c.role_id, grants.c.inherited).where(*mine))
    has = {(row.target_id, row.role_id) for row in rows if not row.inherited}
    tx.insert(
        grants,
        [
            {
                "actor_kind": "user",
                "actor_id": user_id,
                "target_kind": "project",
                "target_id": project_id,
                "role_id": role_id,
                "inherited": False,
            }
            for project_id, role_id in sorted(should - has)
        ],
    )
    gone = has - should if provider.version == SYNCED else set()
    for project_id in sorted({project_id for project_id, _ in gone}):
        taken = [role_id for at, role_id in gone if at == project_id]
        tx.execute(
            delete(grants).where(
                *mine,
                grants.c.target_id == project_id,
                grants.c.role_id.in_(taken),
                grants.c.inherited.is_(False),
            )
        )
    return bool(should - has or gone)


def _roles(tx: Tx, names: set[str], domain_id: str) -> dict[str, str]:
    """Roles by name: global ones, and those of the provider's domain. Raises Unauthorized."""
    if not names:
        return {}
    statement = select(roles.c.id, roles.c.name).where(
        roles.c.name.in_(sorted(names)), roles.c.owner.in_(["", domain_id])
    )
    found = {row.name: row.id for row in tx.rows(statement.order_by(roles.c.owner))}
    if missing := names - found.keys():
        raise Unauthorized(f"the mapping names role {min(missing)}, which is not there")
    return found


def _project(tx: Tx, context: Context, name: str, domain_id: str) -> str:
    found = tx.scalar(select(projects.c.id).where(projects.c.name == name, projects.c.owner == domain_id))
    if found is not None:
        return str(found)
    spec = check_create(PROJECT, context, {"name": name, "domain_id": domain_id})
    made = project_create(tx, context, [spec])
    return str(made[0]["id"])
