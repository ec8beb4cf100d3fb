"""Units of work: rows for the users and groups of a directory, so that they can have roles and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.services.identity.common.generation import announce_token_changes
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


def directories_read(tx: Tx, keys: TokenKeys) -> dict[str, Options]:
    """The domains with a directory, by id."""
    found = {}
    for row in tx.rows(_DIRECTORIES):
        if row.value == "ldap":
            config = config_read(tx, row.domain_id, keys)
            found[row.domain_id] = Options(row.domain_id, row.name, config.get("ldap", {}))
    return found


def people_sync(tx: Tx, context: Context, domain_id: str, people: Sequence[Person]) -> None:
    """Write the users of a directory that are new or have changed; tokens of one who is disabled end."""
    unique = {one.id: one for one in people}
    rows = users.select().where(column_in(tx, users.c.id, list(unique)))
    known = {row.id: row for row in tx.rows(rows)} if unique else {}
    changed = [
        one
        for one in unique.values()
        if one.id in known and (known[one.id].name, known[one.id].enabled) != (one.name, one.enabled)
    ]
    new = [one for one in unique.values() if one.id not in known]
    if not new and not changed:
        return
    _make_room(tx, domain_id, [*new, *changed])
    tx.insert(
        users,
        [
            {
                "id": one.id,
                "name": one.name,
                "domain_id": domain_id,
                "enabled": one.enabled,
                "tokens_after": context.now,
                "failed_auth_count": 0,
                "extra": {
                    name: value
                    for name, value in (("email", one.email), ("description", one.description))
                    if value is not None
                }
                or None,
            }
            for one in new
        ],
    )
    for one in changed:
        values = {"name": one.name, "enabled": one.enabled}
        if not one.enabled:
            values["tokens_after"] = context.now
        tx.execute(users.update().where(users.c.id == one.id).values(values))
    told = [*((one.id, "user.create") for one in new), *((one.id, "user.update") for one in changed)]
    for kind in ("user.create", "user.update"):
        several = [(key, {"directory": domain_id}) for key, of_kind in told if of_kind == kind]
        if several:
            announce_token_changes(tx, context, kind, several)


def _make_room(tx: Tx, domain_id: str, people: Sequence[Person]) -> None:
    """Rename rows whose names have gone to others in the directory: names are unique in a domain."""
    wanted = {one.name: one.id for one in people}
    taken = select(users.c.id, users.c.name).where(
        users.c.domain_id == domain_id, column_in(tx, users.c.name, list(wanted))
    )
    moved = [row.id for row in tx.rows(taken) if wanted[row.name] != row.id]
    if moved:
        tx.execute(_RENAME, [{"of_id": key, "as_name": f"gone-{key}"} for key in moved])


def teams_sync(tx: Tx, context: Context, domain_id: str, teams: Sequence[Team]) -> None:
    """Write the groups of a directory that are new or are called otherwise."""
    unique = {one.id: one for one in teams}
    rows = groups.select().where(column_in(tx, groups.c.id, list(unique)))
    known = {row.id: row for row in tx.rows(rows)} if unique else {}
    new = [one for one in unique.values() if one.id not in known]
    changed = [one for one in unique.values() if one.id in known and known[one.id].name != one.name]
    if new or changed:
        wanted = {one.name: one.id for one in (*new, *changed)}
        taken = select(groups.c.id, groups.c.name).where(
            groups.c.domain_id == domain_id, column_in(tx, groups.c.name, list(wanted))
        )
        moved = [row.id for row in tx.rows(taken) if wanted[row.name] != row.id]
        if moved:
            tx.execute(_RENAME_GROUP, [{"of_id": key, "as_name": f"gone-{key}"} for key in moved])
    tx.insert(
        groups,
        [
            {"id": one.id, "name": one.name, "domain_id": domain_id, "description": one.description}
            for one in new
        ],
    )
    if changed:
        tx.execute(_RENAME_GROUP, [{"of_id": one.id, "as_name": one.name} for one in changed])
    if new:
        announce_token_changes(
            tx, context, "group.create", [(one.id, {"directory": domain_id}) for one in new]
        )


def members_sync(tx: Tx, context: Context, domain_id: str, group_id: str, people: Sequence[Person]) -> None:
    """Write the users of a group as the directory has them: tokens of who came or left change."""
    people_sync(tx, context, domain_id, people)
    inside = group_members.c.group_id == group_id
    had = {row.user_id for row in tx.rows(group_members.select().where(inside))}
    has = {one.id for one in people}
    if had - has:
        tx.execute(
            group_members.delete().where(inside, column_in(tx, group_members.c.user_id, sorted(had - has)))
        )
    if has - had:
        tx.insert(group_members, [{"user_id": key, "group_id": group_id} for key in sorted(has - had)])
    if had != has:
        announce_token_changes(tx, context, "group.update", [(group_id, {"changed": ["members"]})])


def login_sync(
    tx: Tx, context: Context, domain_id: str, person: Person, teams: Sequence[Team]
) -> Account | None:
    """Write a user who has just logged in, his groups, and that he is in no others of the domain."""
    people_sync(tx, context, domain_id, [person])
    teams_sync(tx, context, domain_id, teams)
    inside = select(groups.c.id).where(groups.c.domain_id == domain_id)
    mine = group_members.c.user_id == person.id
    had = {
        row.group_id
        for row in tx.rows(group_members.select().where(mine, group_members.c.group_id.in_(inside)))
    }
    has = {one.id for one in teams}
    if had - has:
        tx.execute(
            group_members.delete().where(mine, column_in(tx, group_members.c.group_id, sorted(had - has)))
        )
    if has - had:
        tx.insert(group_members, [{"user_id": person.id, "group_id": key} for key in sorted(has - had)])
    if had != has:
        announce_token_changes(tx, context, "user.update", [(person.id, {"changed": ["groups"]})])
    return account_find(tx, ById(person.id))
