"""Search and log in at an LDAP server. Everything here blocks: it is called in threads of its own.

Imported when the first domain has a directory: the library takes 180 ms and 15 MiB.

Referrals are not followed: they would take a password to whichever server the first one names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ldap3
from ldap3.utils.conv import escape_filter_chars

from pileus.services.identity.directory.connections import ANSWER_S, Connections
from pileus.services.identity.directory.errors import DirectoryUnavailable, SizeLimitExceeded
from pileus.services.identity.rules.directory import (
    Attributes,
    Kind,
    Options,
    Person,
    Team,
    filter_of,
    person_of,
    team_of,
)

MOST = 10_000
"""So many users or groups are read of one search; more are refused."""
TOGETHER = 100
"""So many entries are asked for by their ids in one search."""

_SIZE_LIMIT, _NO_SUCH_OBJECT = 4, 32
_PAGED = "1.2.840.113556.1.4.319"
_DEREFERENCE = {
    "never": ldap3.DEREF_NEVER,
    "searching": ldap3.DEREF_SEARCH,
    "finding": ldap3.DEREF_BASE,
    "always": ldap3.DEREF_ALWAYS,
}

Entry = tuple[str, Attributes]
Conditions = Sequence[tuple[str, str, str]]


class Directory:
    """The LDAP server of a domain."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._connections = Connections(options)

    def close(self) -> None:
        """Close its connections."""
        self._connections.close()

    def people(self, conditions: Conditions) -> list[Person]:
        """The users that fulfil the conditions."""
        return self._people(self._search("user", conditions))

    def everybody(self) -> list[Person]:
        """All users. Raises DirectoryUnavailable too for no place to search."""
        return self._people(self._found("user", ()))

    def teams(self, conditions: Conditions) -> list[Team]:
        """The groups that fulfil the conditions."""
        return self._teams(self._search("group", conditions))

    def members(self, group_id: str, group_name: str) -> list[Person] | None:
        """The users in a group; None where there is no such group any more."""
        options = self.options
        named = self.teams([(options.attribute("group", "name"), "equals", group_name)])
        team = next((one for one in named if group_id in (one.id, one.former_id)), None)
        if team is None:
            return None
        nested = options.flag("group_ad_nesting")
        conditions = [(options.chained("memberOf"), "equals", team.dn)] if nested else []
        return [one for one in self.people(conditions) if nested or self._member_key(one) in team.members]

    def log_in(self, name: str, password: str) -> tuple[Person, list[Team]] | None:
        """The user with that name and password, and his groups; None where there is none, or it is wrong."""
        if not password:
            return None  # a bind without a password is anybody's
        for person in self.people([(self.options.attribute("user", "name"), "equals", name)]):
            if person.name == name:
                if not self._connections.binds(person.dn, password):
                    return None
                return person, self.teams_of(person)
        return None

    def teams_of(self, person: Person) -> list[Team]:
        """The groups of a user."""
        options = self.options
        who = person.local_id if options.flag("group_members_are_ids") else person.dn
        return self.teams([(options.chained(options.attribute("group", "member")), "equals", who)])

    def found_again(
        self, user_ids: Sequence[str], group_ids: Sequence[str]
    ) -> tuple[list[Person], list[tuple[Team, frozenset[str]]]]:
        """Of the users and groups of these ids those that are there, each group with its users among them."""
        people = [one for some in _parts(user_ids) for one in self._people(self._found("user", some))]
        teams = [one for some in _parts(group_ids) for one in self._teams(self._found("group", some))]
        if not self.options.flag("group_ad_nesting"):
            keys = {self._member_key(one): one.id for one in people}
            return people, [
                (team, frozenset(keys[key] for key in team.members if key in keys)) for team in teams
            ]
        chained = self.options.chained("memberOf")
        there = {one.id for one in people}
        inside = []
        for team in teams:
            found = self.people([(chained, "equals", team.dn)])
            inside.append((team, frozenset(one.id for one in found if one.id in there)))
        return people, inside

    def _found(self, kind: Kind, local_ids: Sequence[str]) -> list[Entry]:
        """The entries of these ids. Raises DirectoryUnavailable too for no place to search: nobody is gone
        because all are hidden."""
        return self._search(kind, (), local_ids, must_be_there=True)

    def _member_key(self, person: Person) -> str:
        """The user as groups name him."""
        return (person.local_id if self.options.flag("group_members_are_ids") else person.dn).lower()

    def _people(self, found: Iterable[Entry]) -> list[Person]:
        enabled = self._enabled_dns()
        parsed = (person_of(self.options, dn, values, enabled) for dn, values in found)
        return [one for one in parsed if one is not None]

    def _teams(self, found: Iterable[Entry]) -> list[Team]:
        parsed = (team_of(self.options, dn, values) for dn, values in found)
        return [one for one in parsed if one is not None]

    def _search(
        self,
        kind: Kind,
        conditions: Conditions,
        local_ids: Sequence[str] = (),
        *,
        must_be_there: bool = False,
    ) -> list[Entry]:
        """Entries of a kind. Raises SizeLimitExceeded, DirectoryUnavailable."""
        options = self.options
        scope = ldap3.SUBTREE if options["query_scope"] == "sub" else ldap3.LEVEL
        text = filter_of(options, kind, escape_filter_chars, conditions, local_ids)
        return self._read(options.base(kind), text, scope, options.wanted(kind), must_be_there)

    def _enabled_dns(self) -> frozenset[str] | None:
        """The members of the group that enables users, if that is how this directory says so."""
        options = self.options
        if not options.flag("user_enabled_emulation"):
            return None
        group = str(options["user_enabled_emulation_dn"] or f"cn=enabled_users,{options.base('user')}")
        member, text = "member", "(objectClass=*)"
        if options.flag("user_enabled_emulation_use_group_config"):
            member = options.attribute("group", "member")
            text = f"(objectClass={escape_filter_chars(str(options['group_objectclass']))})"
        found = self._read(group, text, ldap3.BASE, [member])
        members = [one for _, values in found for one in values.get(member.lower(), ())]
        return frozenset(one.decode("utf-8", "replace").lower() for one in members)

    def _read(
        self, base: str, text: str, scope: Any, wanted: list[str], must_be_there: bool = False
    ) -> list[Entry]:
        def work(connection: Any) -> list[Entry] | None:
            return self._pages(connection, base, text, scope, wanted)

        found = self._connections.search(work)
        if found is None and must_be_there:
            raise DirectoryUnavailable(url=self.options["url"])
        return found or []

    def _pages(
        self, connection: Any, base: str, text: str, scope: Any, wanted: list[str]
    ) -> list[Entry] | None:
        """The entries below a place, page by page; None where there is no such place."""
        size = max(self.options.number("page_size"), 0)
        aliases = _DEREFERENCE.get(str(self.options["alias_dereferencing"]), ldap3.DEREF_ALWAYS)
        entries: list[Entry] = []
        cookie: Any = None
        while True:
            connection.search(
                base, text, scope, attributes=wanted, time_limit=int(ANSWER_S), dereference_aliases=aliases,
                size_limit=0 if size else MOST + 1, paged_size=size or None, paged_cookie=cookie,
            )  # fmt: skip
            result = connection.result
            if result["result"] == _NO_SUCH_OBJECT:
                return None
            if result["result"] not in (0, _SIZE_LIMIT):
                raise DirectoryUnavailable(url=self.options["url"])
            entries += [
                (entry["dn"], {name.lower(): values for name, values in entry["raw_attributes"].items()})
                for entry in connection.response or ()
                if entry.get("type") == "searchResEntry"
            ]
            if result["result"] == _SIZE_LIMIT or len(entries) > MOST:
                raise SizeLimitExceeded
            cookie = (
                result.get("controls", {}).get(_PAGED, {}).get("value", {}).get("cookie") if size else None
            )
            if not cookie:
                return entries


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER))
