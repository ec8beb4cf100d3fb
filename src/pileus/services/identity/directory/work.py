"""Units of work: rows for the users and groups of a directory, so that they can have roles and tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, Update, bindparam, select

from pileus.core.context import Context
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.domain_config.work import config_read
from pileus.services.identity.rules.directory import Options, Person, Team
from pileus.services.identity.sessions.session import Account, ById, account_find
from pileus.services.identity.tables.domain_config import domain_options
from pileus.services.identity.tables.groups import group_members, groups
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_DIRECTORIES = (
    select(domain_options.c.domain_id, domain_options.c.value, projects.c.name)
    .select_from(domain_options.join(projects, projects.c.id == domain_options.c.domain_id))
    .where(domain_options.c.group_name == "identity", domain_options.c.option_name == "driver")
)
_RENAME = users.update().where(users.c.id == bindparam("of_id")).values(name=bindparam("as_name"))
_RENAME_GROUP = groups.update().where(groups.c.id == bindparam("of_id")).values(name=bindparam("as_name"))
_CHANGE = (
    users.update()
    .where(users.c.id == bindparam("of_id"))
    .values(
        name=bindparam("as_name"),
        enabled=bindparam("is_enabled"),
        tokens_after=bindparam("after"),
        local_id=bindparam("local"),
        default_project_id=bindparam("project"),
        extra=bindparam("more"),
        gone_at=None,
    )
)
_CHANGE_GROUP = (
    groups.update()
    .where(groups.c.id == bindparam("of_id"))
    .values(
        name=bindparam("as_name"),
        description=bindparam("about"),
        local_id=bindparam("local"),
        extra=bindparam("more"),
        gone_at=None,
    )
)

Entry = TypeVar("Entry", Person, Team)


def directories_read(tx: Tx, keys: TokenKeys) -> dict[str, Options]:
    """The domains with a directory, by id."""
    found = {}
    for row in tx.rows(_DIRECTORIES):
        if row.value == "ldap":
            config = config_read(tx, row.domain_id, keys)
            found[row.domain_id] = Options(row.domain_id, row.name, config.get("ldap", {}))
    return found


def people_sync(tx: Tx, context: Context, domain_id: str, people: Sequence[Person]) -> dict[str, str]:
    """Write the users of a directory that are new or have changed; tokens of one who is disabled end.

    Returns the ids that they have here, by those that new ones get.
    """
    unique = {one.id: one for one in people}
    known = _known(tx, users, domain_id, unique.values())
    if len(known) < len(unique):
        tx.lock(f"directory:{domain_id}")  # who comes in twice at the same time is made once
        known = _known(tx, users, domain_id, unique.values())
    ids = {one.id: known[one.id].id if one.id in known else one.id for one in unique.values()}
    new = [one for one in unique.values() if one.id not in known]
    changed = [one for one in unique.values() if one.id in known and _of_row(known[one.id]) != _of_entry(one)]
    if new or changed:
        named = {one.name: ids[one.id] for one in (*new, *changed)}
        _make_room(tx, users, (users.c.domain_id == domain_id) & (users.c.origin == ""), named, _RENAME)
        tx.insert(users, [_user_row(context, domain_id, one) for one in new])
    if changed:
        tx.execute(_CHANGE, [_change(context, known[one.id], one) for one in changed])
    if new:
        told = [(one.id, {"directory": domain_id}) for one in new]
        announce_token_changes(tx, context, "user.create", told)
    _announce_people(tx, context, domain_id, [known[one.id] for one in changed], changed)
    return ids


def _user_row(context: Context, domain_id: str, person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "domain_id": domain_id,
        "enabled": person.enabled,
        "tokens_after": context.now,
        "failed_auth_count": 0,
        "local_id": person.local_id,
        "default_project_id": person.default_project_id,
        "extra": _extra(person),
    }


def _change(context: Context, row: Any, person: Person) -> dict[str, Any]:
    ends = row.enabled and not person.enabled
    return {
        "of_id": row.id,
        "as_name": person.name,
        "is_enabled": person.enabled,
        "after": context.now if ends else row.tokens_after,
        "local": person.local_id,
        "project": person.default_project_id,
        "more": _extra(person),
    }


def _extra(person: Person) -> dict[str, str] | None:
    """The other values of a user, which are those that he has in the directory."""
    own = {"email": person.email, "description": person.description, **dict(person.more)}
    return {name: value for name, value in own.items() if value is not None} or None


def _of_row(row: Any) -> tuple[object, ...]:
    """All that a directory says of a user, as his row has it."""
    return row.name, row.enabled, row.local_id, row.gone_at, row.default_project_id, row.extra or None


def _of_entry(person: Person) -> tuple[object, ...]:
    project = person.default_project_id
    return person.name, person.enabled, person.local_id, None, project, _extra(person)


def _announce_people(
    tx: Tx, context: Context, domain_id: str, rows: Sequence[Any], people: Sequence[Person]
) -> None:
    """Tell of changes: those of names and of who is enabled are seen in tokens."""
    payload = {"directory": domain_id}
    seen, unseen = [], []
    for row, one in zip(rows, people, strict=True):
        if (row.name, row.enabled) != (one.name, one.enabled):
            seen.append((str(row.id), payload))
        elif _of_row(row)[3:] != _of_entry(one)[3:]:
            unseen.append((str(row.id), payload))
    if seen:
        announce_token_changes(tx, context, "user.update", seen)
    if unseen:
        announce_many(tx, context, "user.update", unseen)


def _known(tx: Tx, table: Table, domain_id: str, entries: Iterable[Entry]) -> dict[str, Any]:
    """The rows of a domain that entries have already, by the ids that new ones would get."""
    former: dict[str, str] = {one.former_id: one.id for one in entries}
    wanted = [*former, *former.values()]
    if not wanted:
        return {}
    found = tx.rows(table.select().where(column_in(tx, table.c.id, wanted), table.c.domain_id == domain_id))
    by_former = {former[row.id]: row for row in found if row.id in former}
    return {**by_former, **{row.id: row for row in found if row.id not in former}}


def _make_room(
    tx: Tx, table: Table, inside: ColumnElement[bool], named: Mapping[str, str], rename: Update
) -> None:
    """Rename rows whose names have gone to others in the directory: names are unique in a domain."""
    taken = select(table.c.id, table.c.name).where(inside, column_in(tx, table.c.name, list(named)))
    moved = [row.id for row in tx.rows(taken) if named[row.name] != row.id]
    if moved:
        tx.execute(rename, [{"of_id": key, "as_name": f"gone-{key}"} for key in moved])


def teams_sync(tx: Tx, context: Context, domain_id: str, teams: Sequence[Team]) -> dict[str, str]:
    """Write the groups of a directory that are new or have changed.

    Returns the ids that they have here, by those that new ones get.
    """
    unique = {one.id: one for one in teams}
    known = _known(tx, groups, domain_id, unique.values())
    if len(known) < len(unique):
        tx.lock(f"directory:{domain_id}")
        known = _known(tx, groups, domain_id, unique.values())
    ids = {one.id: known[one.id].id if one.id in known else one.id for one in unique.values()}
    new = [one for one in unique.values() if one.id not in known]
    changed = [
        one
        for one in unique.values()
        if (row := known.get(one.id)) is not None
        and (row.name, row.description, row.local_id, row.gone_at, row.extra or None)
        != (one.name, one.description, one.local_id, None, dict(one.more) or None)
    ]
    if new or changed:
        named = {one.name: ids[one.id] for one in (*new, *changed)}
        _make_room(tx, groups, groups.c.domain_id == domain_id, named, _RENAME_GROUP)
    tx.insert(
        groups,
        [
            {
                "id": one.id,
                "name": one.name,
                "domain_id": domain_id,
                "description": one.description,
                "local_id": one.local_id,
                "extra": dict(one.more) or None,
            }
            for one in new
        ],
    )
    if changed:
        values = [
            {
                "of_id": ids[one.id],
                "as_name": one.name,
                "about": one.description,
                "local": one.local_id,
                "more": dict(one.more) or None,
            }
            for one in changed
        ]
        tx.execute(_CHANGE_GROUP, values)
    if new:
        announce_token_changes(
            tx, context, "group.create", [(one.id, {"directory": domain_id}) for one in new]
        )
    return ids


def members_sync(tx: Tx, context: Context, domain_id: str, group_id: str, people: Sequence[Person]) -> None:
    """Write the users of a group as the directory has them: tokens of who came or left change."""
    has = set(people_sync(tx, context, domain_id, people).values())
    inside = group_members.c.group_id == group_id
    had = {row.user_id for row in tx.rows(group_members.select().where(inside))}
    if had - has:
        tx.execute(
            group_members.delete().where(inside, column_in(tx, group_members.c.user_id, sorted(had - has)))
        )
    if has - had:
        tx.insert(group_members, [{"user_id": key, "group_id": group_id} for key in sorted(has - had)])
    if had != has:
        announce_token_changes(tx, context, "group.update", [(group_id, {"changed": ["members"]})])


def login_sync(
    tx: Tx, context: Context, domain_id: str, person: Person, teams: Sequence[Team], expected: str | None
) -> Account | None:
    """Write a user who has just logged in, his groups, and that he is in no others of the domain.

    Raises Unauthorized where he is not the ``expected`` one, but another who has the name now.
    """
    user_id = people_sync(tx, context, domain_id, [person])[person.id]
    if expected is not None and user_id != expected:
        raise Unauthorized(f"the name of user {expected} is another's in the directory now")
    has = set(teams_sync(tx, context, domain_id, teams).values())
    inside = select(groups.c.id).where(groups.c.domain_id == domain_id)
    mine = group_members.c.user_id == user_id
    had = {
        row.group_id
        for row in tx.rows(group_members.select().where(mine, group_members.c.group_id.in_(inside)))
    }
    if had - has:
        tx.execute(
            group_members.delete().where(mine, column_in(tx, group_members.c.group_id, sorted(had - has)))
        )
    if has - had:
        tx.insert(group_members, [{"user_id": user_id, "group_id": key} for key in sorted(has - had)])
    if had != has:
        announce_token_changes(tx, context, "user.update", [(user_id, {"changed": ["groups"]})])
    return account_find(tx, ById(user_id))
