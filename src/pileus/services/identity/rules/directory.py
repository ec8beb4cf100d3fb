"""Entries of an LDAP directory as users and groups: which there are by a domain's options, pure.

Options are Keystone's (``rules.domain_config``). The id of a user or group is made of its domain, its kind
and its id in the directory, as by Keystone's generator ``sha256``: it is the same on every server and after
every restart. Earlier versions cut it to 32 digits (``former_id``); who has such an id keeps it.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from pileus.services.identity.rules.domain_config import DEFAULTS

Kind = Literal["user", "group"]
Attributes = Mapping[str, Sequence[bytes]]
"""The values of an entry by the names of its attributes in small letters."""

IN_CHAIN = "1.2.840.113556.1.4.1941"
"""Active Directory's rule of comparison that follows groups in groups."""

_OWN: Mapping[Kind, frozenset[str]] = {
    "user": frozenset(
        {"id", "name", "domain_id", "enabled", "password", "options", "links", "email", "description",
         "default_project_id", "password_expires_at", "federated"}
    ),
    "group": frozenset({"id", "name", "domain_id", "description", "links"}),
}  # fmt: skip
"""Attributes of users and groups that no other attribute of a directory becomes."""

COMPARISONS = ("contains", "startswith", "endswith", "equals", "exact")


LONGEST_ID = 255
OBJECT_GUID = "objectguid"
"""Active Directory's own id of an entry: 16 bytes that are no text."""


class Person(msgspec.Struct, frozen=True):
    """A user of a directory; ``local_id`` is his id there."""

    dn: str
    id: str
    former_id: str
    local_id: str
    name: str
    enabled: bool
    email: str | None = None
    description: str | None = None
    default_project_id: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    """Other attributes of the user that the configuration takes from the directory."""


class Team(msgspec.Struct, frozen=True):
    """A group of a directory, with the names (or ids) of its members as the directory has them."""

    dn: str
    id: str
    former_id: str
    local_id: str
    name: str
    description: str = ""
    more: tuple[tuple[str, str], ...] = ()
    members: frozenset[str] = frozenset()


def public_id(domain_id: str, kind: Kind, local_id: str) -> str:
    """The id under which the API knows a user or group of a directory."""
    return hashlib.sha256(f"{domain_id}{kind}{local_id}".encode()).hexdigest()


class Options:
    """The options of a domain's directory, with defaults for what it leaves out."""

    def __init__(self, domain_id: str, domain_name: str, ldap: Mapping[str, Any]) -> None:
        self.domain_id = domain_id
        self.domain_name = domain_name
        self._options: Mapping[str, Any] = {**DEFAULTS["ldap"], **ldap}

    def __getitem__(self, name: str) -> Any:
        return self._options.get(name)

    def flag(self, name: str) -> bool:
        """An option that is true or false, perhaps in words."""
        value = self._options.get(name)
        if isinstance(value, str):
            return value.strip().lower() in ("true", "1", "yes", "on", "t", "y")
        return bool(value)

    def number(self, name: str) -> int:
        """An option that is a whole number; the default for what is none."""
        return int(self._finite(name))

    def seconds(self, name: str) -> float:
        """An option that is a time; below nought it has no end."""
        value = self._finite(name)
        return value if value >= 0 else math.inf

    def _finite(self, name: str) -> float:
        several: tuple[Any, Any] = (self._options.get(name), DEFAULTS["ldap"][name])
        for value in several:
            try:
                found = float(value)
            except (TypeError, ValueError):
                continue
            if math.isfinite(found):
                return found
        return 0.0

    def base(self, kind: Kind) -> str:
        """Where users or groups are searched."""
        default = {"user": "ou=Users", "group": "ou=UserGroups"}[kind]
        return str(self[f"{kind}_tree_dn"] or f"{default},{self['suffix']}")

    def attribute(self, kind: Kind, name: str) -> str:
        """The directory's name of an attribute."""
        return str(self[f"{kind}_{name}_attribute"])

    def chained(self, attribute: str) -> str:
        """Name the attribute in a condition: with the rule that follows groups in groups, where they are."""
        return f"{attribute}:{IN_CHAIN}:" if self.flag("group_ad_nesting") else attribute

    def wanted(self, kind: Kind) -> list[str]:
        """The attributes that are asked for."""
        names = (
            ("id", "name", "mail", "description", "enabled")
            if kind == "user"
            else ("id", "name", "desc", "member")
        )
        own = [self.attribute(kind, name) for name in names]
        own += [source for source, _ in self.additional(kind)]
        if kind == "user" and self["user_default_project_id_attribute"]:
            own.append(self.attribute("user", "default_project_id"))
        return list(dict.fromkeys(own))

    def additional(self, kind: Kind) -> list[tuple[str, str]]:
        """The attributes that are taken over beside the usual ones: their names there and here."""
        pairs = (one.partition(":") for one in self._several(f"{kind}_additional_attribute_mapping"))
        not_taken = _OWN[kind] | self.ignored(kind)
        return [(there, here) for there, _, here in pairs if there and here and here not in not_taken]

    def ignored(self, kind: Kind) -> frozenset[str]:
        """The attributes, by their names here, that are not taken over."""
        return frozenset(self._several(f"{kind}_attribute_ignore"))

    def _several(self, name: str) -> list[str]:
        """An option that is a list, perhaps as text with commas."""
        value = self._options.get(name)
        several = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
        return [str(one).strip() for one in several]


def filter_of(
    options: Options,
    kind: Kind,
    escape: Callable[[str], str],
    conditions: Iterable[tuple[str, str, str]] = (),
    local_ids: Sequence[str] = (),
) -> str:
    """The filter of a search. ``conditions`` are attributes of the directory, how they compare (``equals``,
    ``contains``, …), and texts; letters count whatever their case, so the caller looks again. ``local_ids``
    are those of entries of which any is meant."""
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
    if local_ids:
        id_name = options.attribute(kind, "id")
        wanted = (_id_in_filter(id_name, one, escape) for one in local_ids)
        parts.append(f"(|{''.join(f'({id_name}={one})' for one in wanted)})")
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
    local, name = local_id(options, "user", dn, values), _text(values, options["user_name_attribute"])
    if not local or not name or len(name) > 255:
        return None
    ignored = options.ignored("user")
    enabled = dn.lower() in enabled_dns if enabled_dns is not None else _enabled(options, values)
    return Person(
        dn=dn,
        id=public_id(options.domain_id, "user", local),
        former_id=_former_id(options, "user", values),
        local_id=local,
        name=name,
        enabled=enabled,
        email=None if "email" in ignored else _text(values, options["user_mail_attribute"]),
        description=(
            None if "description" in ignored else _text(values, options["user_description_attribute"])
        ),
        default_project_id=_default_project(options, values),
        more=_more(options, "user", values),
    )


def team_of(options: Options, dn: str, values: Attributes) -> Team | None:
    """The group that an entry is; None for one without id or name."""
    local, name = local_id(options, "group", dn, values), _text(values, options["group_name_attribute"])
    if not local or not name or len(name) > 255:
        return None
    members = values.get(str(options["group_member_attribute"]).lower(), ())
    return Team(
        dn=dn,
        id=public_id(options.domain_id, "group", local),
        former_id=_former_id(options, "group", values),
        local_id=local,
        name=name,
        description=_text(values, options["group_desc_attribute"]) or "",
        more=_more(options, "group", values),
        members=frozenset(one.decode("utf-8", "replace").lower() for one in members),
    )


def local_id(options: Options, kind: Kind, dn: str, values: Attributes) -> str | None:
    """The id of an entry in its directory; None for one that has none, or none that can be told apart.

    Of several values, which come in any order, it is the one in the entry's own name, or else the least.
    """
    name = options.attribute(kind, "id").lower()
    several = values.get(name, ())
    if name == OBJECT_GUID:
        return str(uuid.UUID(bytes_le=bytes(several[0]))) if several and len(several[0]) == 16 else None
    try:
        texts = sorted(one.decode("utf-8") for one in several)
    except UnicodeDecodeError:
        return None
    if len(texts) > 1:
        own = _first_value(dn, name)
        texts = [one for one in texts if one.lower() == own] or texts
    return texts[0] if texts and 0 < len(texts[0]) <= LONGEST_ID else None


def _first_value(dn: str, attribute: str) -> str | None:
    """The value of an attribute in the first part of a distinguished name, in small letters."""
    first = re.split(r"(?<!\\),", dn)[0]
    for part in re.split(r"(?<!\\)\+", first):
        key, _, value = part.partition("=")
        if key.strip().lower() == attribute:
            return re.sub(r"\\(.)", r"\1", value.strip()).lower()
    return None


def _former_id(options: Options, kind: Kind, values: Attributes) -> str:
    """The id that earlier versions gave an entry."""
    text = _text(values, options.attribute(kind, "id")) or ""
    return public_id(options.domain_id, kind, text)[:32]


def _id_in_filter(attribute: str, local: str, escape: Callable[[str], str]) -> str:
    if attribute.lower() != OBJECT_GUID:
        return escape(local)
    try:
        return "".join(f"\\{byte:02x}" for byte in uuid.UUID(local).bytes_le)
    except ValueError:
        return escape(local)


def _more(options: Options, kind: Kind, values: Attributes) -> tuple[tuple[str, str], ...]:
    found = ((here, _text(values, there)) for there, here in options.additional(kind))
    return tuple((here, text) for here, text in found if text is not None)


def _default_project(options: Options, values: Attributes) -> str | None:
    if "default_project_id" in options.ignored("user"):
        return None
    text = _text(values, options["user_default_project_id_attribute"])
    return text if text and len(text) <= 36 else None


def _text(values: Attributes, name: object) -> str | None:
    several = values.get(str(name).lower()) if name else None
    return several[0].decode("utf-8", "replace") if several else None


def _enabled(options: Options, values: Attributes) -> bool:
    text = _text(values, options["user_enabled_attribute"])
    if text is None:
        text = str(options["user_enabled_default"])
    mask = options.number("user_enabled_mask")
    if mask:
        try:
            return int(text) & mask != mask
        except ValueError:
            return False
    enabled = text.lower() not in ("false", "0", "no", "off")
    return not enabled if options.flag("user_enabled_invert") else enabled
