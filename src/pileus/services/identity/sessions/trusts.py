"""Trusts as log-ins and tokens need them: with the chain of those that they were redelegated from."""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import bindparam, literal, select

from pileus.core.errors import Forbidden
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.trusts import trust_roles, trusts
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx


class Trust(msgspec.Struct, frozen=True):
    """A trust; ``role_ids`` are those that it names, without what they imply."""

    id: str
    trustor_user_id: str
    trustee_user_id: str
    project_id: str | None
    impersonation: bool
    expires_at: dt.datetime | None
    remaining_uses: int | None
    redelegation_count: int
    redelegated_trust_id: str | None
    role_ids: frozenset[str] = frozenset()

    def ended(self, now: dt.datetime) -> bool:
        """Whether its time is over or its uses are used up."""
        return (self.expires_at is not None and self.expires_at < now) or self.used_up

    @property
    def used_up(self) -> bool:
        """Whether no token can be had by it any more."""
        return self.remaining_uses is not None and self.remaining_uses <= 0


class TrustUseLimitReached(Forbidden):
    """Somebody else has had the last token of the trust just now (403)."""

    message = "No remaining uses for trust: {trust_id}."


_NAMES = tuple(name for name in Trust.__struct_fields__ if name != "role_ids")
_COLUMNS = tuple(trusts.c[name] for name in _NAMES)
_chain = (
    select(*_COLUMNS, literal(0).label("depth"))
    .where(trusts.c.id == bindparam("id"))
    .cte("chain", recursive=True)
)
_chain = _chain.union_all(
    select(*_COLUMNS, _chain.c.depth + 1).join(_chain, trusts.c.id == _chain.c.redelegated_trust_id)
)
_PEDIGREE = select(_chain).order_by(_chain.c.depth)
_ROLES = select(trust_roles).where(trust_roles.c.trust_id.in_(bindparam("ids", expanding=True)))

_homes = projects.alias("homes")
_ENABLED = (
    select(users.c.id)
    .join(_homes, _homes.c.id == users.c.domain_id)
    .where(
        users.c.id.in_(bindparam("ids", expanding=True)),
        users.c.enabled.is_(True),
        _homes.c.enabled.is_(True),
    )
)
_CONSUME = (
    trusts.update()
    .where(trusts.c.id == bindparam("key"), trusts.c.remaining_uses > 0)
    .values(remaining_uses=trusts.c.remaining_uses - 1)
)


def trust_pedigree(tx: Tx, key: str) -> list[Trust]:
    """A trust and those that it was redelegated from, the first one last; empty if it is gone. Two
    statements."""
    rows = tx.rows(_PEDIGREE, {"id": key})
    if not rows:
        return []
    roles: dict[str, set[str]] = {}
    for row in tx.rows(_ROLES, {"ids": [one.id for one in rows]}):
        roles.setdefault(row.trust_id, set()).add(row.role_id)
    return [
        Trust(role_ids=frozenset(roles.get(row.id, ())), **{name: getattr(row, name) for name in _NAMES})
        for row in rows
    ]


def users_enabled(tx: Tx, ids: set[str]) -> set[str]:
    """Those of the users that are enabled, in enabled domains: one statement."""
    return {row.id for row in tx.rows(_ENABLED, {"ids": sorted(ids)})}


def trust_consume(tx: Tx, trust_id: str) -> None:
    """Count one use of a trust that has so many. Raises TrustUseLimitReached."""
    if not tx.execute(_CONSUME, {"key": trust_id}).rowcount:
        raise TrustUseLimitReached(trust_id=trust_id)
