"""Entries of an LDAP directory as users and groups: which there are by a domain's options, pure.

Options are Keystone's (``rules.domain_config``). The id of a user or group is made of its domain, its kind
and its id in the directory, as by Keystone's generator ``sha256``, and cut to the width that ids have here:
it is the same on every server and after every restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from pileus.services.identity.rules.domain_config import DEFAULTS

Kind = Literal["user", "group"]
Attributes = Mapping[str, Sequence[bytes]]
"""The values of an entry by the names of its attributes in small letters."""

IN_CHAIN = "1.2.840.113556.1.4.1941"
"""Active Directory's rule of comparison that follows groups in groups."""

COMPARISONS = ("contains", "startswith", "endswith", "equals", "exact")


class Person(msgspec.Struct, frozen=True):
    """A user of a directory."""

    dn: str
    id: str
    name: str
    enabled: bool
    email: str | None = None
    description: str | None = None


class Team(msgspec.Struct, frozen=True):
    """A group of a directory, with the names (or ids) of its members as the directory has them."""

    dn: str
    id: str
    name: str
    description: str = ""
    members: frozenset[str] = frozenset()


def public_id(domain_id: str, kind: Kind, local_id: str) -> str:
    """The id under which the API knows a user or group of a directory."""
    return hashlib.sha256(f"{domain_id}{kind}{local_id}".encode()).hexdigest()[:32]


class Options:
    """The options of a domain's directory, with defaults for what it leaves out."""

    def __init__(self, domain_id: str, domain_name: str, ldap: Mapping[str, Any]) -> None:
        self.domain_id = domain_id
        self.domain_name = domain_name
        self._options: Mapping[str, Any] = {**DEFAULTS["ldap"], **ldap}

    def __getitem__(self, name: str) -> Any:
        return self._options.get(name)

    def base(self, kind: Kind) -> str:
        """Where users or groups are searched."""
        default = {"user": "ou=Users", "group": "ou=UserGroups"}[kind]
        return str(self[f"{kind}_tree_dn"] or f"{default},{self['suffix']}")

    def attribute(self, kind: Kind, name: str) -> str:
        """The directory's name of an attribute."""
        return str(self[f"{kind}_{name}_attribute"])

    def chained(self, attribute: str) -> str:
        """Name the attribute in a condition: with the rule that follows groups in groups, where they are."""
        return f"{attribute}:{IN_CHAIN}:" if self["group_ad_nesting"] else attribute

    def wanted(self, kind: Kind) -> list[str]:
        """The attributes that are asked for."""
        names = (
            ("id", "name", "mail", "description", "enabled")
            if kind == "user"
            else ("id", "name", "desc", "member")
        )
        return list(dict.fromkeys(self.attribute(kind, name) for name in names))


def filter_of(
    options: Options,
    kind: Kind,
    escape: Callable[[str], str],
    conditions: Iterable[tuple[str, str, str]] = (),
) -> str:
    """The filter of a search. ``conditions`` are attributes of the directory, how they compare (``equals``,
    ``contains``, …), and texts; letters count whatever their case, so the caller looks again."""
    parts = [f"(objectClass={escape(str(options[f'{kind}_objectclass']))})"]
    if options[f"{kind}_filter"]:
        own = str(options[f"{kind}_filter"])
        parts.append(own if own.startswith("(") else f"({own})")
    for name, comparison, text in conditions:
        safe = escape(text)
        shape = {"contains": f"*{safe}*", "startswith": f"{safe}*", "endswith": f"*{safe}"}.get(
            comparison, safe
        )
        parts.append(f"({name}={shape})")
    return f"(&{''.join(parts)})"


def conditions_of(
    options: Options, kind: Kind, query: Iterable[tuple[str, str]]
) -> list[tuple[str, str, str]]:
    """The conditions for a directory that a list's query has on the name."""
    found = []
    for key, text in query:
        name, _, comparison = key.partition("__")
        plain = comparison.removeprefix("i") or "equals"
        if name == "name" and text and plain in COMPARISONS:
            found.append((options.attribute(kind, "name"), plain, text))
    return found


def person_of(
    options: Options, dn: str, values: Attributes, enabled_dns: frozenset[str] | None
) -> Person | None:
    """The user that an entry is; None for one without id or name. ``enabled_dns`` are the members of the
    group that enables, where there is such a group."""
    local, name = _text(values, options["user_id_attribute"]), _text(values, options["user_name_attribute"])
    if not local or not name or len(name) > 255:
        return None
    enabled = dn.lower() in enabled_dns if enabled_dns is not None else _enabled(options, values)
    return Person(
        dn=dn,
        id=public_id(options.domain_id, "user", local),
        name=name,
        enabled=enabled,
        email=_text(values, options["user_mail_attribute"]),
        description=_text(values, options["user_description_attribute"]),
    )


def team_of(options: Options, dn: str, values: Attributes) -> Team | None:
    """The group that an entry is; None for one without id or name."""
    local, name = _text(values, options["group_id_attribute"]), _text(values, options["group_name_attribute"])
    if not local or not name or len(name) > 255:
        return None
    members = values.get(str(options["group_member_attribute"]).lower(), ())
    return Team(
        dn=dn,
        id=public_id(options.domain_id, "group", local),
        name=name,
        description=_text(values, options["group_desc_attribute"]) or "",
        members=frozenset(one.decode("utf-8", "replace").lower() for one in members),
    )


def _text(values: Attributes, name: object) -> str | None:
    several = values.get(str(name).lower()) if name else None
    return several[0].decode("utf-8", "replace") if several else None


def _enabled(options: Options, values: Attributes) -> bool:
    text = _text(values, options["user_enabled_attribute"])
    if text is None:
        text = str(options["user_enabled_default"])
    mask = int(options["user_enabled_mask"] or 0)
    if mask:
        try:
            return int(text) & mask != mask
        except ValueError:
            return False
    enabled = text.lower() not in ("false", "0", "no", "off")
    return not enabled if options["user_enabled_invert"] else enabled
