"""Groups of users, and who is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import DESCRIPTION, EXTRA, ID, home_domain, merged
from pileus.services.identity.errors import (
    DomainNotFound,
    GroupNotFound,
    NameTaken,
    UserNotFound,
    ValidationError,
)
from pileus.services.identity.generation import announce, announce_turn
from pileus.services.identity.projects import projects
from pileus.services.identity.users import users
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import Id, JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), nullable=False),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
    UniqueConstraint("domain_id", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True),
)

GROUP = Resource(
    "group",
    table=groups,
    wording=KEYSTONE,
    not_found=GroupNotFound,
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
            "domain_id",
            types.string(64, minimum=1),
            create=True,
            update=True,
            filter=True,
            sort=True,
            default=home_domain,
        ),
        DESCRIPTION,
        EXTRA,
    ),
)


class NotInGroup(NotFound):
    """The user is not a member (404)."""

    message = "User '{user_id}' not found in group '{group_id}'"


_USER = select(users.c.id, users.c.domain_id).where(users.c.id == bindparam("user_id"))
_GROUP = select(groups.c.id, groups.c.domain_id).where(groups.c.id == bindparam("group_id"))
_DOMAIN = select(projects.c.id).where(projects.c.id == bindparam("id"), projects.c.is_domain.is_(True))
_MEMBER = (group_members.c.user_id == bindparam("of_user")) & (
    group_members.c.group_id == bindparam("of_group")
)
_IS_MEMBER = select(group_members.c.user_id).where(_MEMBER)
_REMOVE = group_members.delete().where(_MEMBER)


def group_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a group."""
    if values is None:
        return {}
    return {
        "target.group.id": values["id"],
        "target.group.domain_id": values["domain_id"],
        "target.domain_id": values["domain_id"],
    }


def group_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a group."""
    if tx.first(_DOMAIN, {"id": spec["domain_id"]}) is None:
        raise DomainNotFound(id=spec["domain_id"])
    try:
        GROUP.insert(tx, context, [spec])
    except Duplicate:
        raise NameTaken("group", spec) from None
    except Referenced:
        raise DomainNotFound(id=spec["domain_id"]) from None
    announce(tx, context, "group.create", spec["id"], name=spec["name"])
    return spec


def group_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a group's name, description or additional properties."""
    found = fetch(tx, GROUP, [key], lock=True)
    if not found:
        raise GroupNotFound(id=key)
    original = found[0]
    if changes.get("domain_id", original["domain_id"]) != original["domain_id"]:
        raise ValidationError("Cannot change Domain ID")
    try:
        after = GROUP.change(tx, context, [Update(original, merged(original, changes))])[0]
    except Duplicate:
        raise NameTaken("group", {**original, **changes}) from None
    announce(tx, context, "group.update", key, changed=sorted(changes))
    return after


class Membership(msgspec.Struct, frozen=True):
    """A user and a group that somebody asks about; the domain is None of whichever does not exist."""

    group_id: str
    user_id: str
    group_domain: str | None
    user_domain: str | None
    there: bool

    @property
    def target(self) -> dict[str, Any]:
        """What policy rules see of it: nothing of what does not exist."""
        seen: dict[str, Any] = {}
        if self.group_domain is not None:
            seen |= {"target.group.id": self.group_id, "target.group.domain_id": self.group_domain}
        if self.user_domain is not None:
            seen |= {"target.user.id": self.user_id, "target.user.domain_id": self.user_domain}
        return seen

    @property
    def actors(self) -> tuple[tuple[Literal["group", "user"], str], ...]:
        """Both, as the rule of who stands above whom asks about them."""
        return ("group", self.group_id), ("user", self.user_id)

    def require(self) -> None:
        """Raise NotFound unless both exist."""
        if self.group_domain is None:
            raise GroupNotFound(id=self.group_id)
        if self.user_domain is None:
            raise UserNotFound(id=self.user_id)


def membership_find(tx: Tx, group_id: str, user_id: str) -> Membership:
    """Whether a user is in a group, and where both are."""
    group = tx.first(_GROUP, {"group_id": group_id})
    user = tx.first(_USER, {"user_id": user_id})
    return Membership(
        group_id,
        user_id,
        group.domain_id if group else None,
        user.domain_id if user else None,
        tx.first(_IS_MEMBER, {"of_user": user_id, "of_group": group_id}) is not None,
    )


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
    announce_turn(tx, context, "group.update", group_id, added=user_id)


def member_remove(tx: Tx, context: Context, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotInGroup."""
    if not tx.execute(_REMOVE, {"of_user": user_id, "of_group": group_id}).rowcount:
        raise NotInGroup(user_id=user_id, group_id=group_id)
    announce_turn(tx, context, "group.update", group_id, removed=user_id)
