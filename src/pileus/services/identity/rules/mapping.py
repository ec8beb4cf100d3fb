"""Keystone's mapping language: what the claims of an identity provider become here.

A mapping is a list of rules. A rule whose ``remote`` conditions all hold gives its ``local`` parts; ``{0}``
there is what the first condition that only selects has selected, ``{1}`` the second, and so on. Expressions
are matched by RE2, so that nobody's claims cost more than linear time. Claims come as lists of texts, and a
text is never read as a list, whatever stands in it.

Source: Keystone's administrator's guide, "Mapping Combinations", and its three schema versions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import re2

VERSIONS = ("1.0", "2.0", "3.0")
"""2.0: domains of users and projects default to the rule's own; 3.0: projects from JSON, and as the provider
has them, no more."""

MOST_RULES = 1000
_EVALUATIONS = ("any_one_of", "not_any_of", "blacklist", "whitelist")
_JSON = "JSON:"
_PLACE = re.compile(r"\{(\d{1,3})\}")


class _DomainJson(msgspec.Struct, forbid_unknown_fields=True):
    id: str = ""
    name: str = ""


class _GroupJson(msgspec.Struct):
    name: str
    domain: _DomainJson


Claims = Mapping[str, Sequence[str]]
Selected = list[list[str]]


class BadMapping(ValueError):
    """A mapping is not of the form that its version has."""


class NotMapped(Exception):
    """The claims give no user; the text says why."""


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a mapping: a user, groups by id and by name and domain, and projects with roles."""

    user: dict[str, Any]
    group_ids: tuple[str, ...] = ()
    groups: tuple[dict[str, Any], ...] = ()
    projects: tuple[dict[str, Any], ...] = ()


def mapping_check(rules: Any, version: str) -> None:
    """Raise BadMapping for rules that are not of the form of that version."""
    if version not in VERSIONS:
        raise BadMapping(f"{version!r} is not one of {list(VERSIONS)}")
    if not isinstance(rules, list) or not rules or len(rules) > MOST_RULES:
        raise BadMapping(f"{rules!r} is not a list of 1 to {MOST_RULES} rules")
    for rule in rules:
        _object(rule, {"local": list, "remote": list}, ("local", "remote"))
        if not rule["remote"]:
            raise BadMapping("[] is too short")
        for one in rule["remote"]:
            _check_remote(one)
        for one in rule["local"]:
            _check_local(one, version)


def _object(value: Any, fields: Mapping[str, Any], required: Sequence[str] = ()) -> None:
    if not isinstance(value, dict):
        raise BadMapping(f"{value!r} is not of type 'object'")
    for name in required:
        if name not in value:
            raise BadMapping(f"{name!r} is a required property")
    for name, one in value.items():
        if name not in fields:
            raise BadMapping(f"Additional properties are not allowed ({name!r} was unexpected)")
        kind = fields[name]
        if isinstance(kind, type):
            if not isinstance(one, kind):
                raise BadMapping(f"{one!r} is not of type {kind.__name__!r}")
        else:
            kind(one)


def _check_remote(value: Any) -> None:
    fields: dict[str, Any] = {"type": str}
    chosen = [name for name in _EVALUATIONS if isinstance(value, dict) and name in value]
    if len(chosen) > 1:
        raise BadMapping(f"{value!r} is valid under more than one of the given schemas")
    if chosen:
        fields |= {chosen[0]: list, "regex": bool}
    _object(value, fields, ("type",))
    for name in chosen:
        for text in value[name]:
            if not isinstance(text, str):
                raise BadMapping(f"{text!r} is not of type 'string'")
            if value.get("regex"):
                _expression(text)


def _check_domain(value: Any) -> None:
    _object(value, {"id": str, "name": str})


def _check_local(value: Any, version: str) -> None:
    def check_user(user: Any) -> None:
        _object(user, {"id": str, "name": str, "email": str, "domain": _check_domain, "type": str})
        if user.get("type", "ephemeral") not in ("ephemeral", "local"):
            raise BadMapping(f"{user['type']!r} is not one of ['ephemeral', 'local']")

    def check_group(group: Any) -> None:
        if isinstance(group, dict) and "id" in group:
            _object(group, {"id": str}, ("id",))
        else:
            _object(group, {"name": str, "domain": _check_domain}, ("name", "domain"))

    fields: dict[str, Any] = {
        "user": check_user,
        "group": check_group,
        "groups": str,
        "group_ids": str,
        "domain": _check_domain,
        "projects": lambda projects: _check_projects(projects, version),
    }
    if version == "3.0":
        fields["projects_json"] = str
    _object(value, fields)


def _check_projects(value: Any, version: str) -> None:
    if not isinstance(value, list):
        raise BadMapping(f"{value!r} is not of type 'array'")

    def check_roles(roles: Any) -> None:
        if not isinstance(roles, list):
            raise BadMapping(f"{roles!r} is not of type 'array'")
        for role in roles:
            _object(role, {"name": str}, ("name",))

    fields: dict[str, Any] = {"name": str, "roles": check_roles}
    if version != "1.0":
        fields["domain"] = _check_domain
    for project in value:
        _object(project, fields, ("name", "roles"))


def mapping_apply(rules: Sequence[Mapping[str, Any]], version: str, claims: Claims) -> Mapped:
    """Apply a mapping to claims. Raises NotMapped."""
    parts: list[dict[str, Any]] = []
    for rule in written_lists(rules):
        selected = _select(rule["remote"], claims)
        if selected is not None:
            parts.extend(_filled(local, selected) for local in rule["local"])
    if not parts:
        raise NotMapped("no rule holds for these claims")
    user: dict[str, Any] = {}
    group_ids: dict[str, None] = {}
    groups: list[dict[str, Any]] = []
    projects: list[dict[str, Any]] = []
    for part in parts:
        if "user" in part and not user:
            user = part["user"]
        if "group" in part:
            group = part["group"]
            if "id" in group:
                group_ids[group["id"]] = None
            else:
                groups.append(group)
        if "groups" in part:
            groups += _groups(part)
        if "group_ids" in part:
            group_ids |= dict.fromkeys(map(str, _several(part["group_ids"])))
        if "projects" in part or "projects_json" in part:
            projects = [*part.get("projects", []), *_projects_json(part.get("projects_json"))]
            if version != "1.0":
                projects = [{"domain": part.get("domain"), **one} for one in projects]
    user.setdefault("type", "ephemeral")
    if version != "1.0" and not user.get("domain") and parts[-1].get("domain"):
        user["domain"] = parts[-1]["domain"]
    unique = {(one["name"], tuple(sorted(one["domain"].items()))): one for one in groups}
    return Mapped(
        user=user, group_ids=tuple(group_ids), groups=tuple(unique.values()), projects=tuple(projects)
    )


def _select(conditions: Sequence[Mapping[str, Any]], claims: Claims) -> Selected | None:
    """Collect the values that conditions select; None where one does not hold."""
    selected: Selected = []
    for condition in conditions:
        values = list(claims.get(condition["type"]) or ())
        if not values:
            return None
        holds = _matcher(condition)
        if "any_one_of" in condition or "not_any_of" in condition:
            if any(map(holds, values)) is not ("any_one_of" in condition):
                return None
            continue
        if "blacklist" in condition:
            values = [value for value in values if not holds(value)]
        elif "whitelist" in condition:
            values = [value for value in values if holds(value)]
        selected.append(values)
    return selected


def _matcher(condition: Mapping[str, Any]) -> Callable[[str], bool]:
    wanted: list[str] = next((condition[name] for name in _EVALUATIONS if name in condition), [])
    if not condition.get("regex"):
        return lambda value: value in wanted
    expressions = [_expression(text) for text in wanted]

    def matches(value: str) -> bool:
        try:
            return any(one.search(value) is not None for one in expressions)
        except UnicodeError:
            return False

    return matches


def _expression(text: str) -> re2._Regexp[str]:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        raise BadMapping(f"{text!r}: {error}") from None


_MANY = frozenset({"groups", "group_ids", "projects_json"})
"""The parts that may be all that a condition has selected; others are one text."""


def _filled(value: Any, selected: Selected, *, many: bool = False) -> Any:
    """A local part with what was selected in its places."""
    if isinstance(value, dict):
        return {name: _filled(one, selected, many=name in _MANY) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, selected) for one in value]
    if not isinstance(value, str):
        return value
    whole = _PLACE.fullmatch(value) if many else None
    if whole is not None:
        return _at(selected, whole)
    return _PLACE.sub(lambda place: _shown(_at(selected, place)), value)


def _at(selected: Selected, place: re.Match[str]) -> list[str]:
    number = int(place[1])
    if number >= len(selected):
        raise NotMapped(f"{place[0]} names no condition that selects")
    return selected[number]


def _shown(values: list[str]) -> str:
    return "".join(values) if len(values) < 2 else str(values)


def _several(value: Any) -> list[str]:
    """The texts of a value: a list that was selected, or one text; a rule's own may be written as a list."""
    if isinstance(value, list):
        return list(value)
    return [value]


def _groups(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    domain = part.get("domain")
    if domain is not None:
        return [{"name": name, "domain": domain} for name in _several(part["groups"])]
    return [_group_json(text) for text in _several(part["groups"])]


def _group_json(text: str) -> dict[str, Any]:
    """Read a group with its domain, as ``JSON:{"name": ..., "domain": {"id": ...}}``.

    Only where the rule names no domain, so that no claim chooses one where a rule does. Raises NotMapped.
    """
    if not text.startswith(_JSON):
        raise NotMapped("'groups' without a 'domain'")
    try:
        group = msgspec.json.decode(text.removeprefix(_JSON), type=_GroupJson)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotMapped(f"groups: {error}") from None
    if bool(group.domain.id) is bool(group.domain.name):
        raise NotMapped("groups: a domain has an id or a name")
    named = {"id": group.domain.id} if group.domain.id else {"name": group.domain.name}
    return {"name": group.name, "domain": named}


def _projects_json(text: Any) -> list[dict[str, Any]]:
    """Projects that the provider names, as JSON. Raises NotMapped."""
    if text is None:
        return []
    found: list[dict[str, Any]] = []
    for one in _several(text):
        try:
            projects = msgspec.json.decode(one)
            projects = projects if isinstance(projects, list) else [projects]
            _check_projects(projects, "2.0")
        except (msgspec.DecodeError, BadMapping, RecursionError) as error:
            raise NotMapped(f"projects_json: {error}") from None
        found += projects
    return found


def written_lists(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules with ``groups`` and ``group_ids`` that are written as lists (``"['a', 'b']"``) read once."""

    def read(local: Mapping[str, Any]) -> dict[str, Any]:
        after = dict(local)
        for name in ("groups", "group_ids"):
            text = after.get(name)
            if isinstance(text, str) and text.startswith("["):
                try:
                    values = ast.literal_eval(text)
                except (ValueError, SyntaxError, MemoryError, RecursionError):
                    continue
                if isinstance(values, list):
                    after[name] = [str(value) for value in values]
        return after

    return [{**rule, "local": [read(local) for local in rule["local"]]} for rule in rules]
