"""Membership of users in groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import GroupNotFound, UserNotFound
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.groups.resource import GROUP
from pileus.services.identity.tables.federation import expiring_memberships
from pileus.services.identity.tables.groups import group_members, groups
from pileus.services.identity.tables.users import users
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


class NotInGroup(NotFound):
    """The user is not a member (404)."""

    message = "User '{user_id}' not found in group '{group_id}'"


_USER = select(users.c.id, users.c.domain_id).where(users.c.id == bindparam("user_id"))
_GROUP = select(groups.c.id, groups.c.domain_id).where(groups.c.id == bindparam("group_id"))
_MEMBER = (group_members.c.user_id == bindparam("of_user")) & (
    group_members.c.group_id == bindparam("of_group")
)
_IS_MEMBER = select(group_members.c.user_id).where(_MEMBER)
_EXPIRING = select(expiring_memberships.c.group_id, expiring_memberships.c.expires_at).where(
    expiring_memberships.c.user_id == bindparam("user_id"),
    expiring_memberships.c.expires_at > bindparam("now"),
)
_REMOVE = group_members.delete().where(_MEMBER)


class Membership(msgspec.Struct, frozen=True):
    """Whether a user is in a group, and the domains of both; that of one that does not exist is None."""

    group_id: str
    user_id: str
    group_domain: str | None
    user_domain: str | None
    there: bool

    @property
    def target(self) -> dict[str, Any]:
        """The parts that policy rules name: none of what does not exist."""
        seen: dict[str, Any] = {}
        if self.group_domain is not None:
            seen |= {"target.group.id": self.group_id, "target.group.domain_id": self.group_domain}
        if self.user_domain is not None:
            seen |= {"target.user.id": self.user_id, "target.user.domain_id": self.user_domain}
        return seen

    @property
    def actors(self) -> tuple[tuple[Literal["group", "user"], str], ...]:
        """Both, for ``require_standing``."""
        return ("group", self.group_id), ("user", self.user_id)

    def require(self) -> None:
        """Raise NotFound unless both exist."""
        if self.group_domain is None:
            raise GroupNotFound(id=self.group_id)
        if self.user_domain is None:
            raise UserNotFound(id=self.user_id)


def membership_find(tx: Tx, group_id: str, user_id: str) -> Membership:
    """Read whether a user is in a group, and the domains of both."""
    group = tx.first(_GROUP, {"group_id": group_id})
    user = tx.first(_USER, {"user_id": user_id})
    return Membership(
        group_id,
        user_id,
        group.domain_id if group else None,
        user.domain_id if user else None,
        tx.first(_IS_MEMBER, {"of_user": user_id, "of_group": group_id}) is not None,
    )


def groups_of_user(
    tx: Tx, now: dt.datetime, user_id: str, where: Sequence[ColumnElement[bool]]
) -> list[Values]:
    """The groups of a user; those that an identity provider put him into with the end of that."""
    ends = {row.group_id: row.expires_at for row in tx.rows(_EXPIRING, {"user_id": user_id, "now": now})}
    mine = select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    lasting = {row.group_id for row in tx.rows(mine)}
    found = fetch(tx, GROUP, sorted(ends.keys() | lasting), where) if ends or lasting else []
    for one in found:
        one["membership_expires_at"] = None if one["id"] in lasting else ends[one["id"]]
    return found


def member_add(tx: Tx, context: Context, group_id: str, user_id: str) -> None:
    """Put a user into a group; nothing happens if he is there."""
    if tx.first(_IS_MEMBER, {"of_user": user_id, "of_group": group_id}) is not None:
        return
    try:
        with tx.savepoint():
            tx.insert(group_members, [{"user_id": user_id, "group_id": group_id}])
    except Duplicate:
        return
    except Referenced:
        raise GroupNotFound(id=group_id) from None
    announce_token_change(tx, context, "group.update", group_id, added=user_id)


def member_remove(tx: Tx, context: Context, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotInGroup."""
    if not tx.execute(_REMOVE, {"of_user": user_id, "of_group": group_id}).rowcount:
        raise NotInGroup(user_id=user_id, group_id=group_id)
    announce_token_change(tx, context, "group.update", group_id, removed=user_id)
