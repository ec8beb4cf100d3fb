"""Units of work about who is gone from a directory: find out, disable, list, and delete for good.

Who is not found any more is disabled at once, so that neither his tokens nor his application credentials are
good, and comes back as he was if the directory has him again. A purge deletes his row and all that is his.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Table, bindparam, or_, select

from pileus.core.context import Context
from pileus.resource.rows import fetch
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.directory.work import people_sync, teams_sync
from pileus.services.identity.groups.resource import GROUP
from pileus.services.identity.groups.work import group_delete
from pileus.services.identity.rules.directory import Kind, Person, Team
from pileus.services.identity.tables.groups import group_members, groups
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.resource import USER
from pileus.services.identity.users.work import user_delete
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

BATCH = 500

_TABLES: Mapping[Kind, Table] = {"user": users, "group": groups}
_GONE = (
    users.update()
    .where(users.c.id == bindparam("of_id"))
    .values(enabled=False, tokens_after=bindparam("now"), gone_at=bindparam("now"))
)
_GONE_GROUP = groups.update().where(groups.c.id == bindparam("of_id")).values(gone_at=bindparam("now"))
_UNMAPPED = select(users.c.id).where(
    users.c.domain_id == bindparam("domain"),
    users.c.local_id.is_(None),
    users.c.gone_at.is_(None),
    users.c.password_hash.is_(None),
    users.c.created_at.is_(None),
    users.c.origin == "",
)
_LEAVE = group_members.delete().where(
    group_members.c.user_id == bindparam("of_user"), group_members.c.group_id == bindparam("of_group")
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which mapped users and groups are meant: those that have all that is given."""

    domain_id: str | None = None
    public_id: str | None = None
    local_id: str | None = None
    type: Kind | None = None


class Mapped(msgspec.Struct, frozen=True):
    """A user or group of a directory: its id here and there. ``gone_at`` is text.

    An earlier version did not keep ``local_id``.
    """

    public_id: str
    type: Kind
    domain_id: str
    local_id: str | None
    name: str
    gone_at: str | None


def mapped_read(tx: Tx, wanted: Wanted) -> list[Mapped]:
    """The users and groups of directories that are meant, in the order of domains, kinds and ids there."""
    found = []
    for kind, table in _TABLES.items():
        if wanted.type not in (None, kind):
            continue
        conditions = [or_(table.c.local_id.is_not(None), table.c.gone_at.is_not(None))]
        for column, value in (
            (table.c.domain_id, wanted.domain_id),
            (table.c.id, wanted.public_id),
            (table.c.local_id, wanted.local_id),
        ):
            if value is not None:
                conditions.append(column == value)
        columns = (table.c.id, table.c.domain_id, table.c.local_id, table.c.name, table.c.gone_at)
        for row in tx.rows(select(*columns).where(*conditions)):
            gone_at = None if row.gone_at is None else row.gone_at.isoformat(timespec="seconds") + "Z"
            found.append(Mapped(row.id, kind, row.domain_id, row.local_id, row.name, gone_at))
    return sorted(found, key=lambda one: (one.domain_id, one.type, one.local_id or "", one.public_id))


def unmapped_there(tx: Tx, domain_id: str) -> bool:
    """Whether the domain has users of its directory whose ids there an earlier version did not keep."""
    return tx.first(_UNMAPPED.limit(1), {"domain": domain_id}) is not None


def everybody_sync(tx: Tx, context: Context, domain_id: str, people: Sequence[Person]) -> None:
    """Write all users that a directory has: those whose ids there were not kept, and are not among them, are
    gone."""
    people_sync(tx, context, domain_id, people)
    _people_gone(tx, context, domain_id, [row.id for row in tx.rows(_UNMAPPED, {"domain": domain_id})])


def found_again_sync(
    tx: Tx,
    context: Context,
    domain_id: str,
    asked: Sequence[Mapped],
    people: Sequence[Person],
    teams: Sequence[tuple[Team, frozenset[str]]],
) -> None:
    """Write what the directory says of those who were asked for; disable users whom it no longer has.

    ``teams`` are groups with those of ``people`` who are in them.
    """
    ids = people_sync(tx, context, domain_id, people)
    group_ids = teams_sync(tx, context, domain_id, [team for team, _ in teams])
    there = {*ids.values(), *group_ids.values()}
    lost = [one for one in asked if one.public_id not in there and one.gone_at is None]
    gone = [one.public_id for one in lost if one.type == "user"]
    _people_gone(tx, context, domain_id, gone)
    gone_groups = [one.public_id for one in lost if one.type == "group"]
    if gone_groups:
        tx.execute(_GONE_GROUP, [{"of_id": key, "now": context.now} for key in gone_groups])
        announce_many(tx, context, "group.update", [(key, {"directory": domain_id}) for key in gone_groups])
    has = {(ids[user], group_ids[team.id]) for team, inside in teams for user in inside}
    _members_write(tx, context, {*ids.values(), *gone}, set(group_ids.values()), set(gone_groups), has)


def _people_gone(tx: Tx, context: Context, domain_id: str, ids: Sequence[str]) -> None:
    """Disable users who are gone, and end their tokens."""
    if ids:
        tx.execute(_GONE, [{"of_id": key, "now": context.now} for key in ids])
        payload = {"directory": domain_id, "changed": ["enabled"]}
        announce_token_changes(tx, context, "user.update", [(key, payload) for key in ids])


def _members_write(
    tx: Tx,
    context: Context,
    user_ids: set[str],
    group_ids: set[str],
    gone_groups: set[str],
    has: set[tuple[str, str]],
) -> None:
    """Write who of these users is in which of these groups; those that are gone have nobody any more."""
    several = sorted(group_ids | gone_groups)
    if not several:
        return
    rows = tx.rows(group_members.select().where(column_in(tx, group_members.c.group_id, several)))
    had = {
        (row.user_id, row.group_id) for row in rows if row.user_id in user_ids or row.group_id in gone_groups
    }
    if had - has:
        tx.execute(_LEAVE, [{"of_user": user, "of_group": group} for user, group in sorted(had - has)])
    if has - had:
        tx.insert(group_members, [{"user_id": user, "group_id": group} for user, group in sorted(has - had)])
    changed = sorted({group for _, group in had ^ has})
    if changed:
        told = [(group, {"changed": ["members"]}) for group in changed]
        announce_token_changes(tx, context, "group.update", told)


def mapped_delete(tx: Tx, context: Context, several: Iterable[Mapped]) -> None:
    """Delete users and groups of directories, with their roles, memberships and credentials."""
    found = list(several)
    people = [one.public_id for one in found if one.type == "user"]
    teams = [one.public_id for one in found if one.type == "group"]
    for start in range(0, len(people), BATCH):
        if rows := fetch(tx, USER, people[start : start + BATCH]):
            user_delete(tx, context, rows)
    for start in range(0, len(teams), BATCH):
        if rows := fetch(tx, GROUP, teams[start : start + BATCH]):
            group_delete(tx, context, rows)
