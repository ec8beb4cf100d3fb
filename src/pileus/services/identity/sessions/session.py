"""Sessions: user, scope and roles of a token, read from the tables each time they may have changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select

from pileus.core.access_rules import AccessRule
from pileus.core.context import Context
from pileus.services.identity.common.errors import Refused, Unauthorized
from pileus.services.identity.common.generation import generation_read
from pileus.services.identity.rules.roles import RoleRef, closure, effective
from pileus.services.identity.sessions.delegation import ApplicationCredential, application_credential_find
from pileus.services.identity.sessions.oauth1 import AccessToken, access_token_find
from pileus.services.identity.sessions.trusts import Trust, trust_pedigree, users_enabled
from pileus.services.identity.standing.grants import SYSTEM_ID, TargetKind, roles_of
from pileus.services.identity.standing.graph import role_graph
from pileus.services.identity.tables.federation import (
    expiring_memberships,
    federation_protocols,
    identity_providers,
    service_providers,
)
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.payload import SYSTEM, UNSCOPED, Scope, Token
from pileus.services.identity.tokens.revocations import token_is_revoked
from pileus.store.tx import Tx


class Account(msgspec.Struct, frozen=True):
    """A user as logging in needs him. ``enabled`` is that of the user and of his domain; ``active_at`` is his
    last log-in that was noted, or when he was made. ``groups`` are those that his identity provider put him
    into, of which the first leaves him at ``groups_until``."""

    id: str
    name: str
    domain_id: str
    domain_name: str
    enabled: bool
    password_hash: str | None
    default_project_id: str | None
    tokens_after: dt.datetime
    failed_auth_count: int
    failed_auth_at: dt.datetime | None
    password_created_at: dt.datetime | None
    password_expires_at: dt.datetime | None
    password_self_service: bool
    active_at: dt.datetime | None
    options: Mapping[str, Any]
    is_federated: bool = False
    groups: tuple[str, ...] = ()
    groups_until: dt.datetime | None = None
    from_directory: bool = False


class Place(msgspec.Struct, frozen=True):
    """A project or domain that a token is for."""

    id: str
    name: str
    domain_id: str | None
    domain_name: str | None
    is_domain: bool


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a scope, with roles. ``place`` is the project or domain of the scope; ``credential`` is what
    the user's program came with, if that was an application credential. Within a ``trust`` the user is the
    trustor or the trustee, as it says. ``access`` is the OAuth access token with which a consumer acts."""

    user: Account
    scope: Scope
    place: Place | None
    roles: tuple[RoleRef, ...]
    credential: ApplicationCredential | None = None
    trust: Trust | None = None
    access: AccessToken | None = None
    lent_until: dt.datetime | None = None
    """When the first group leaves the trustor that his identity provider put him into."""

    @property
    def groups_until(self) -> dt.datetime | None:
        """When the session has to be read anew: a membership ends, on which its roles may rest."""
        return min(
            (one for one in (self.user.groups_until, self.lent_until) if one is not None), default=None
        )

    @property
    def access_rules(self) -> tuple[AccessRule, ...] | None:
        """The only requests that may be made, where there are bounds."""
        if self.credential is None or not self.credential.access_rules:
            return None
        return tuple(rule for _, rule in self.credential.access_rules)

    @property
    def holder_id(self) -> str:
        """Who logged in: the trustee where he acts for another."""
        return self.user.id if self.trust is None else self.trust.trustee_user_id

    @property
    def bound(self) -> tuple[str, str] | None:
        """The bond of the session, if any: the word that EC2 credentials have for its kind, and its id."""
        if self.credential is not None:
            return "app_cred_id", self.credential.id
        if self.trust is not None:
            return "trust_id", self.trust.id
        return None if self.access is None else ("access_token_id", self.access.id)

    @property
    def delegated(self) -> bool:
        """Whether somebody acts for another: by a trust, or with an OAuth access token."""
        return self.trust is not None or self.access is not None

    def context(self, now: dt.datetime) -> Context:
        """The context that requests with this token have."""
        names = tuple(role.name for role in self.roles)
        project = self.place if self.scope.kind == "project" else None
        return Context(
            now=now,
            user_id=self.user.id,
            user_name=self.user.name,
            user_domain_id=self.user.domain_id,
            project_id=project.id if project else None,
            project_name=project.name if project else None,
            project_domain_id=project.domain_id if project else None,
            domain_id=self.scope.id if self.scope.kind == "domain" else None,
            system_scope=self.scope.kind == "system",
            roles=names,
            access_rules=self.access_rules,
            is_admin="admin" in names and self.scope.kind != "domain",
        )


_SERVICE_PROVIDERS = (
    select(service_providers.c.id, service_providers.c.auth_url, service_providers.c.sp_url)
    .where(service_providers.c.enabled.is_(True))
    .order_by(service_providers.c.id)
)


def service_providers_read(tx: Tx) -> tuple[dict[str, str], ...]:
    """The enabled service providers, as tokens name them."""
    return tuple(
        {"auth_url": row.auth_url, "id": row.id, "sp_url": row.sp_url} for row in tx.rows(_SERVICE_PROVIDERS)
    )


class ById(msgspec.Struct, frozen=True):
    """Something named by its id."""

    id: str


class ByName(msgspec.Struct, frozen=True):
    """Something named by its name and that of its domain, or the domain's id."""

    name: str
    domain_id: str | None = None
    domain_name: str | None = None


Key = ById | ByName


class ScopeRequest(msgspec.Struct, frozen=True):
    """The scope asked for; of kind ``oauth1`` it is that of the access token ``key``.

    ``chosen`` False: nothing was said, the user's default project may be meant.
    """

    kind: str = "unscoped"
    key: Key | None = None
    chosen: bool = False


_domains = projects.alias("domains")

_ACCOUNT = select(
    users.c.id,
    users.c.name,
    users.c.domain_id,
    _domains.c.name.label("domain_name"),
    users.c.enabled,
    _domains.c.enabled.label("domain_enabled"),
    users.c.password_hash,
    users.c.default_project_id,
    users.c.tokens_after,
    users.c.failed_auth_count,
    users.c.failed_auth_at,
    users.c.password_created_at,
    users.c.password_expires_at,
    users.c.password_self_service,
    func.coalesce(users.c.last_active_at, users.c.created_at).label("active_at"),
    users.c.options,
    users.c.origin,
    users.c.local_id,
).select_from(users.join(_domains, _domains.c.id == users.c.domain_id))
_ACCOUNT_BY_ID = _ACCOUNT.where(users.c.id == bindparam("id"))
_ACCOUNT_BY_NAME = _ACCOUNT.where(
    users.c.name == bindparam("name"), users.c.domain_id == bindparam("domain_id"), users.c.origin == ""
)
_ACCOUNT_BY_NAMES = _ACCOUNT.where(
    users.c.name == bindparam("name"), _domains.c.name == bindparam("domain_name"), users.c.origin == ""
)
_MEMBERSHIPS = select(expiring_memberships.c.group_id, expiring_memberships.c.expires_at).where(
    expiring_memberships.c.user_id == bindparam("user_id"),
    expiring_memberships.c.expires_at > bindparam("now"),
)
_PROVIDER = (
    select(identity_providers.c.enabled)
    .join(federation_protocols, federation_protocols.c.idp_id == identity_providers.c.id)
    .where(
        identity_providers.c.id == bindparam("idp_id"), federation_protocols.c.id == bindparam("protocol_id")
    )
)

_PLACE = select(
    projects.c.id,
    projects.c.name,
    projects.c.domain_id,
    _domains.c.name.label("domain_name"),
    projects.c.is_domain,
    projects.c.enabled,
    _domains.c.enabled.label("domain_enabled"),
).select_from(projects.outerjoin(_domains, _domains.c.id == projects.c.domain_id))
_PLACE_BY_ID = _PLACE.where(projects.c.id == bindparam("id"))
_PROJECT_BY_NAME = _PLACE.where(
    projects.c.name == bindparam("name"), projects.c.owner == bindparam("domain_id")
)
_PROJECT_BY_NAMES = _PLACE.where(
    projects.c.name == bindparam("name"), _domains.c.name == bindparam("domain_name")
)
_DOMAIN_BY_NAME = _PLACE.where(projects.c.name == bindparam("name"), projects.c.owner == "")


def account_find(tx: Tx, key: Key) -> Account | None:
    """The user with that id, or that name in that domain."""
    if isinstance(key, ById):
        row = tx.first(_ACCOUNT_BY_ID, {"id": key.id})
    elif key.domain_id is not None:
        row = tx.first(_ACCOUNT_BY_NAME, {"name": key.name, "domain_id": key.domain_id})
    else:
        row = tx.first(_ACCOUNT_BY_NAMES, {"name": key.name, "domain_name": key.domain_name})
    if row is None:
        return None
    return Account(
        row.id,
        row.name,
        row.domain_id,
        row.domain_name,
        row.enabled and row.domain_enabled,
        row.password_hash,
        row.default_project_id,
        row.tokens_after,
        row.failed_auth_count,
        row.failed_auth_at,
        row.password_created_at,
        row.password_expires_at,
        row.password_self_service,
        row.active_at,
        row.options,
        bool(row.origin),
        from_directory=row.local_id is not None,
    )


def groups_for_now(tx: Tx, user_id: str, now: dt.datetime) -> tuple[str, ...]:
    """The groups that a user's identity provider put him into."""
    account = _in_groups(tx, account_find(tx, ById(user_id)), now)
    return () if account is None else account.groups


def _in_groups(tx: Tx, account: Account | None, now: dt.datetime) -> Account | None:
    """The account with the groups that an identity provider put it into: no statement for others."""
    if account is None or not account.is_federated:
        return account
    rows = tx.rows(_MEMBERSHIPS, {"user_id": account.id, "now": now})
    return msgspec.structs.replace(
        account,
        groups=tuple(sorted(row.group_id for row in rows)),
        groups_until=min((row.expires_at for row in rows), default=None),
    )


Admit = Callable[[Account], None]
"""Raises where an account may not log in now, or not by what it has shown."""


def session_open(
    tx: Tx,
    now: dt.datetime,
    user_id: str,
    asked: ScopeRequest,
    credential_id: str = "",
    admit: Admit | None = None,
) -> Session:
    """The session of a user who has just proved who he is. Raises Unauthorized where he has no role there.

    With ``credential_id`` it is that of an application credential, in its project. ``admit`` is asked about
    the account before anything is said of the scope.
    """
    account = _in_groups(tx, account_find(tx, ById(user_id)), now)
    if account is None or not account.enabled:
        raise Unauthorized(f"user {user_id} is gone or disabled")
    if admit is not None:
        admit(account)
    if credential_id:
        credential = application_credential_find(tx, credential_id)
        if credential is not None and credential.expires_at is not None and credential.expires_at <= now:
            raise Unauthorized(f"application credential {credential_id} has expired")
        return _bounded(tx, account, credential)
    if not asked.chosen and account.default_project_id:
        try:
            return _session(tx, account, Scope("project", account.default_project_id))
        except Unauthorized:
            return _session(tx, account, UNSCOPED)
    if asked.kind == "system":
        return _session(tx, account, SYSTEM)
    if isinstance(asked.key, ById) and asked.kind == "trust":
        return _trust_open(tx, now, account, asked.key.id)
    if isinstance(asked.key, ById) and asked.kind == "oauth1":
        access = access_token_find(tx, asked.key.id)
        if access is not None and access.expires_at is not None and access.expires_at < now:
            raise Unauthorized(f"access token {access.id} has expired")
        return _accessed(tx, account, access)
    if asked.key is None:
        return _session(tx, account, UNSCOPED)
    row = _find_place(tx, asked.kind, asked.key)
    if row is None:
        raise Unauthorized(f"there is no {asked.kind} {asked.key}")
    return _session(tx, account, Scope("project" if asked.kind == "project" else "domain", row.id))


def session_read(tx: Tx, token: Token, now: dt.datetime) -> tuple[int, Session]:
    """Read the session of a token, and the generation in which it was read.

    Its time is not looked at. Raises Unauthorized where it means nothing any more. The generation
    is read first: a change that comes between makes the answer look older than it is, never newer.
    """
    generation = generation_read(tx)
    if token_is_revoked(tx, token):
        raise Unauthorized("the token was revoked")
    account = _in_groups(tx, account_find(tx, ById(token.user_id)), now)
    if account is None or not account.enabled:
        raise Unauthorized(f"user {token.user_id} is gone or disabled")
    if token.idp_id and not tx.scalar(_PROVIDER, {"idp_id": token.idp_id, "protocol_id": token.protocol_id}):
        raise Unauthorized(f"identity provider {token.idp_id} is gone or disabled")
    if token.issued_at < account.tokens_after:
        raise Unauthorized(f"user {token.user_id} has changed since the token was issued")
    if token.trust_id:
        return generation, _trust_read(tx, now, account, token)
    if token.access_token_id:
        return generation, _accessed(tx, account, access_token_find(tx, token.access_token_id))
    if token.credential_id:
        return generation, _bounded(tx, account, application_credential_find(tx, token.credential_id))
    return generation, _session(tx, account, token.scope)


def _bounded(tx: Tx, account: Account, credential: ApplicationCredential | None) -> Session:
    """Narrow a session to the roles that an application credential names and its owner still has."""
    if credential is None or credential.user_id != account.id:
        raise Unauthorized(f"the application credential is gone, or is not that of user {account.id}")
    whole = _session(tx, account, Scope("project", credential.project_id))
    kept = tuple(role for role in whole.roles if role.id in credential.role_ids)
    if not kept:
        raise Unauthorized(f"user {account.id} has none of the roles of {credential.id} any more")
    return msgspec.structs.replace(whole, roles=kept, credential=credential)


def _accessed(tx: Tx, account: Account, access: AccessToken | None) -> Session:
    """Narrow a session to the roles of an OAuth access token that its user still has."""
    if access is None or access.user_id != account.id:
        raise Unauthorized(f"the access token is gone, or is not for user {account.id}")
    whole = _session(tx, account, Scope("project", access.project_id))
    lent = {role.id for role in effective(role_graph(tx), access.role_ids)}
    kept = tuple(role for role in whole.roles if role.id in lent)
    if not kept:
        raise Unauthorized(f"user {account.id} has none of the roles of {access.id} any more")
    return msgspec.structs.replace(whole, roles=kept, access=access)


def _trust_open(tx: Tx, now: dt.datetime, account: Account, trust_id: str) -> Session:
    """The session of a trustee who logs in. Raises Unauthorized where the trust, or one that it was made
    from, is gone, and Refused where it gives him nothing."""
    chain = trust_pedigree(tx, trust_id)
    if not chain or any(one.ended(now) for one in chain):
        raise Unauthorized(f"there is no trust {trust_id}, or it has ended")
    return _trusted(tx, now, account, chain)


def _trust_read(tx: Tx, now: dt.datetime, account: Account, token: Token) -> Session:
    """The session of a token for a trust: it ends with the trust, and not with the trust's last use."""
    chain = trust_pedigree(tx, token.trust_id)
    if not chain:
        raise Unauthorized(f"trust {token.trust_id} is gone")
    try:
        return _trusted(tx, now, account, chain, token.issued_at)
    except Refused as refusal:
        raise Unauthorized(refusal.reason) from None


def _trusted(
    tx: Tx, now: dt.datetime, account: Account, chain: list[Trust], issued_at: dt.datetime | None = None
) -> Session:
    """The session of a trustee: the trust's roles, all of which the first trustor must have as yet.

    ``chain`` is the trust and those that it was redelegated from: whoever passed it on must be enabled.
    """
    trust, first = chain[0], chain[-1]
    if account.id != trust.trustee_user_id:
        raise Refused(f"user {account.id} is not the trustee of {trust.id}")
    if trust.project_id is None:
        raise Unauthorized(f"trust {trust.id} is for no project")
    trustor = account_find(tx, ById(trust.trustor_user_id))
    if trustor is None or not trustor.enabled:
        raise Refused(f"trustor {trust.trustor_user_id} is gone or disabled")
    if issued_at is not None and issued_at < trustor.tokens_after:
        raise Unauthorized(f"trustor {trustor.id} has changed since the token was issued")
    agents = {first.trustor_user_id, *(one.trustee_user_id for one in chain[1:])} - {trustor.id, account.id}
    if agents and users_enabled(tx, agents) != agents:
        raise Refused(f"one of the users of {trust.id} is gone or disabled")
    graph = role_graph(tx)
    source = trustor if first.trustor_user_id == trustor.id else account_find(tx, ById(first.trustor_user_id))
    source = _in_groups(tx, source, now)
    groups = source.groups if source is not None else ()
    held = closure(graph, roles_of(tx, first.trustor_user_id, "project", trust.project_id, groups))
    if not trust.role_ids or not closure(graph, trust.role_ids).keys() | trust.role_ids <= held.keys():
        raise Refused(f"the trustor of {trust.id} does not have its roles any more")
    scope = Scope("project", trust.project_id)
    return Session(
        user=trustor if trust.impersonation else account,
        scope=scope,
        place=_place(tx, scope),
        roles=effective(graph, trust.role_ids),
        trust=trust,
        lent_until=source.groups_until if source is not None else None,
    )


def _find_place(tx: Tx, kind: str, key: Key) -> Any:
    if isinstance(key, ById):
        return tx.first(_PLACE_BY_ID, {"id": key.id})
    if kind == "domain":
        return tx.first(_DOMAIN_BY_NAME, {"name": key.name})
    if key.domain_id is not None:
        return tx.first(_PROJECT_BY_NAME, {"name": key.name, "domain_id": key.domain_id})
    return tx.first(_PROJECT_BY_NAMES, {"name": key.name, "domain_name": key.domain_name})


def _session(tx: Tx, account: Account, scope: Scope) -> Session:
    if scope.kind == "unscoped":
        return Session(user=account, scope=scope, place=None, roles=())
    place = None if scope.kind == "system" else _place(tx, scope)
    found = _roles(tx, account, scope.kind, scope.id or SYSTEM_ID)
    if not found:
        raise Unauthorized(f"user {account.id} has no role on {scope.kind} {scope.id}")
    return Session(user=account, scope=scope, place=place, roles=found)


def _place(tx: Tx, scope: Scope) -> Place:
    """The project or domain of a scope. Raises Unauthorized where it is gone or disabled."""
    row = tx.first(_PLACE_BY_ID, {"id": scope.id})
    if row is None or not row.enabled or row.domain_enabled is False:
        raise Unauthorized(f"{scope.kind} {scope.id} is gone or disabled")
    if scope.kind == "domain" and not row.is_domain:
        raise Unauthorized(f"{scope.id} is no domain")
    return Place(row.id, row.name, row.domain_id, row.domain_name, row.is_domain)


def _roles(tx: Tx, account: Account, kind: TargetKind, target_id: str) -> tuple[RoleRef, ...]:
    granted: Iterable[str] = roles_of(tx, account.id, kind, target_id, account.groups)
    return effective(role_graph(tx), granted) if granted else ()
