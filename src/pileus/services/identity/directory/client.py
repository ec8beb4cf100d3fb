"""Search and log in at an LDAP server. Everything here blocks: it is called in threads of its own.

Imported when the first domain has a directory: the library takes 180 ms and 15 MiB.

Referrals are not followed: they would take a password to whichever server the first one names.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars

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

CONNECT_S = 5
ANSWER_S = 10
MOST = 10_000
"""So many users or groups are read of one search; more are refused."""

_SIZE_LIMIT, _NO_SUCH_OBJECT, _INVALID_CREDENTIALS = 4, 32, 49
_PAGED = "1.2.840.113556.1.4.319"


def people(options: Options, conditions: list[tuple[str, str, str]]) -> list[Person]:
    """The users that fulfil the conditions."""
    with _Session(options) as session:
        enabled = session.enabled_dns()
        found = session.search("user", conditions)
        return [one for dn, values in found if (one := person_of(options, dn, values, enabled)) is not None]


def teams(options: Options, conditions: list[tuple[str, str, str]]) -> list[Team]:
    """The groups that fulfil the conditions."""
    with _Session(options) as session:
        found = session.search("group", conditions)
        return [one for dn, values in found if (one := team_of(options, dn, values)) is not None]


def members(options: Options, group_id: str, group_name: str) -> list[Person] | None:
    """The users in a group; None where there is no such group any more."""
    with _Session(options) as session:
        named = session.search("group", [(options.attribute("group", "name"), "equals", group_name)])
        parsed = (team_of(options, dn, values) for dn, values in named)
        team = next((one for one in parsed if one is not None and one.id == group_id), None)
        if team is None:
            return None
        enabled = session.enabled_dns()
        nested = options["group_ad_nesting"]
        conditions = [(options.chained("memberOf"), "equals", team.dn)] if nested else []
        found = []
        for dn, values in session.search("user", conditions):
            local = values.get(options.attribute("user", "id").lower(), [b""])[0]
            own = local.decode("utf-8", "replace") if options["group_members_are_ids"] else dn
            person = person_of(options, dn, values, enabled)
            if person is not None and (nested or own.lower() in team.members):
                found.append(person)
        return found


def log_in(options: Options, name: str, password: str) -> tuple[Person, list[Team]] | None:
    """The user with that name and password, and his groups; None where there is none, or it is wrong."""
    if not password:
        return None  # a bind without a password is anybody's
    attribute = options.attribute("user", "name")
    with _Session(options) as session:
        enabled = session.enabled_dns()
        for dn, values in session.search("user", [(attribute, "equals", name)]):
            person = person_of(options, dn, values, enabled)
            if person is None or person.name != name:
                continue
            if not _binds(options, dn, password):
                return None
            who = person.dn
            if options["group_members_are_ids"]:
                local = values.get(options.attribute("user", "id").lower(), [b""])[0]
                who = local.decode("utf-8", "replace")
            mine = [(options.chained(options.attribute("group", "member")), "equals", who)]
            found = session.search("group", mine)
            groups = [one for at, values in found if (one := team_of(options, at, values)) is not None]
            return person, groups
    return None


def _binds(options: Options, dn: str, password: str) -> bool:
    connection = _connection(options, dn, password)
    try:
        if connection.bind():
            return True
        if connection.result["result"] == _INVALID_CREDENTIALS:
            return False
        # locked, expired, forbidden now: whatever the directory says, this is no log-in
        return False
    except (LDAPException, OSError):
        raise DirectoryUnavailable(url=options["url"]) from None
    finally:
        connection.unbind()


def _connection(options: Options, user: str | None, password: str | None) -> Any:
    validate = ssl.CERT_NONE if options["tls_req_cert"] == "never" else ssl.CERT_REQUIRED
    try:
        tls = ldap3.Tls(validate=validate, ca_certs_file=options["tls_cacertfile"] or None)
        server = ldap3.Server(options["url"], get_info=ldap3.NONE, connect_timeout=CONNECT_S, tls=tls)
        connection = ldap3.Connection(
            server,
            user=user,
            password=password,
            receive_timeout=ANSWER_S,
            read_only=True,
            auto_referrals=False,
            check_names=False,
        )
        connection.open()
        if options["use_tls"] and not connection.start_tls():
            raise DirectoryUnavailable(url=options["url"])
    except (LDAPException, OSError, ValueError):
        raise DirectoryUnavailable(url=options["url"]) from None
    return connection


class _Session:
    """A connection bound as the domain's own user."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._connection = _connection(options, options["user"], options["password"])

    def __enter__(self) -> _Session:
        try:
            if not self._connection.bind():
                raise DirectoryUnavailable(url=self._options["url"])
        except (LDAPException, OSError):
            raise DirectoryUnavailable(url=self._options["url"]) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.unbind()

    def search(self, kind: Kind, conditions: list[tuple[str, str, str]]) -> list[tuple[str, Attributes]]:
        """Entries of a kind. Raises SizeLimitExceeded, DirectoryUnavailable."""
        options = self._options
        scope = ldap3.SUBTREE if options["query_scope"] == "sub" else ldap3.LEVEL
        text = filter_of(options, kind, escape_filter_chars, conditions)
        return list(self._pages(options.base(kind), text, scope, options.wanted(kind)))

    def enabled_dns(self) -> frozenset[str] | None:
        """The members of the group that enables users, if that is how this directory says so."""
        options = self._options
        if not options["user_enabled_emulation"]:
            return None
        group = options["user_enabled_emulation_dn"] or f"cn=enabled_users,{options.base('user')}"
        found = self._pages(str(group), "(objectClass=*)", ldap3.BASE, ["member"])
        members = [one for _, values in found for one in values.get("member", ())]
        return frozenset(one.decode("utf-8", "replace").lower() for one in members)

    def _pages(self, base: str, text: str, scope: Any, wanted: list[str]) -> Iterator[tuple[str, Attributes]]:
        size = int(self._options["page_size"] or 0)
        cookie: Any = None
        count = 0
        while True:
            try:
                self._connection.search(
                    base, text, scope, attributes=wanted, time_limit=ANSWER_S,
                    size_limit=0 if size else MOST + 1, paged_size=size or None, paged_cookie=cookie,
                )  # fmt: skip
            except (LDAPException, OSError):
                raise DirectoryUnavailable(url=self._options["url"]) from None
            result = self._connection.result
            if result["result"] == _SIZE_LIMIT:
                raise SizeLimitExceeded
            if result["result"] == _NO_SUCH_OBJECT:
                return
            if result["result"] != 0:
                raise DirectoryUnavailable(url=self._options["url"])
            for entry in self._connection.response or ():
                if entry.get("type") != "searchResEntry":
                    continue
                count += 1
                if count > MOST:
                    raise SizeLimitExceeded
                yield entry["dn"], {name.lower(): values for name, values in entry["raw_attributes"].items()}
            cookie = (
                result.get("controls", {}).get(_PAGED, {}).get("value", {}).get("cookie") if size else None
            )
            if not cookie:
                return
