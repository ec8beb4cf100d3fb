"""Rules as Python closures: the tree is walked once, when the rules are loaded."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from pileus.core.context import Context
from pileus.policy.language import (
    And,
    Caller,
    Constant,
    Field,
    Literal,
    Node,
    Not,
    Or,
    Reference,
    Role,
    Template,
)

Target = Mapping[str, Any]
Check = Callable[[Context, Target], bool]
Fill = Callable[[Target], str | None]

_TRUE_WORDS = frozenset({"true", "1"})
_FALSE_WORDS = frozenset({"false", "0"})


@functools.lru_cache(maxsize=1024)
def lowered(roles: tuple[str, ...]) -> frozenset[str]:
    """Role names without their case; few different tuples exist at a time."""
    return frozenset(role.lower() for role in roles)


def compile_check(node: Node, rules: Mapping[str, Check]) -> Check:
    """A function of (context, target) that says whether the node holds.

    ``rules`` holds the compiled checks of the rules that the node refers to.
    """
    match node:
        case Constant(value=value):
            return lambda context, target: value
        case Reference(name=name):
            return rules[name]
        case Not(child=child):
            inner = compile_check(child, rules)
            return lambda context, target: not inner(context, target)
        case And(children=children):
            return _all([compile_check(child, rules) for child in children])
        case Or(children=children):
            return _any([compile_check(child, rules) for child in children])
        case Role(name=template):
            return _role(template)
        case Literal(text=text, right=template):
            fill = compile_template(template)
            return lambda context, target: fill(target) == text
        case Caller(path=path, right=template):
            return _caller(path, template)
        case Field():
            return _field(node)
    raise TypeError(node)


def compile_template(template: Template) -> Fill:
    """A function of a target that gives the template's text, or None where the target lacks a key."""
    if not template.keys:
        text = template.texts[0]
        return lambda target: text
    if template.is_key:
        key = template.keys[0]
        return lambda target: str(target[key]) if key in target else None

    def fill(target: Target) -> str | None:
        try:
            pieces = [str(target[key]) for key in template.keys]
        except KeyError:
            return None
        return template.texts[0] + "".join(
            piece + text for piece, text in zip(pieces, template.texts[1:], strict=True)
        )

    return fill


def caller_values(context: Context, path: tuple[str, ...]) -> tuple[str, ...]:
    """The texts that an attribute of the caller has: none if there is no such attribute,
    several if it is a list."""
    if path[0] == "token":
        read = _OF_TOKEN.get(path)
        text = read(context) if read is not None else None
        return () if text is None else (text,)
    value: Any = context.credentials()
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return ()
        value = value[step]
    if isinstance(value, (list, tuple)):
        return tuple(str(one) for one in value)
    return (str(value),)


def field_holds(node: Field, value: Any) -> bool:
    """Whether a target's value is the one the field check asks for."""
    if value is None:
        return False
    if node.pattern is not None:
        return re.match(node.pattern, str(value)) is not None
    if isinstance(value, bool):
        return node.value.lower() in (_TRUE_WORDS if value else _FALSE_WORDS)
    return str(value) == node.value


def _all(checks: list[Check]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda context, target: first(context, target) and second(context, target)

    def check(context: Context, target: Target) -> bool:
        for one in checks:  # noqa: SIM110 - a generator costs more than the checks themselves
            if not one(context, target):
                return False
        return True

    return check


def _any(checks: list[Check]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda context, target: first(context, target) or second(context, target)

    def check(context: Context, target: Target) -> bool:
        for one in checks:  # noqa: SIM110 - as above
            if one(context, target):
                return True
        return False

    return check


def _role(template: Template) -> Check:
    if not template.keys:
        name = template.texts[0].lower()
        return lambda context, target: name in lowered(context.roles)
    fill = compile_template(template)

    def check(context: Context, target: Target) -> bool:
        name = fill(target)
        return name is not None and name.lower() in lowered(context.roles)

    return check


# The attributes that nearly every rule asks for, read without building the dictionary of credentials.
_DIRECT: dict[str, Callable[[Context], Any]] = {
    "user_id": lambda context: context.user_id,
    "user_domain_id": lambda context: context.user_domain_id,
    "project_id": lambda context: context.project_id,
    "tenant_id": lambda context: context.project_id,
    "project_domain_id": lambda context: context.project_domain_id,
    "domain_id": lambda context: context.domain_id,
    "system_scope": lambda context: "all" if context.system_scope else None,
    "is_admin": lambda context: context.is_admin,
}


# Keystone's rules look into the token itself, where what the scope lacks is not there at all.
_OF_TOKEN: dict[tuple[str, ...], Callable[[Context], str | None]] = {
    ("token", "domain", "id"): lambda context: context.domain_id,
    ("token", "project", "id"): lambda context: context.project_id,
    ("token", "project", "domain", "id"): lambda context: (
        context.project_domain_id if context.project_id is not None else None
    ),
    ("token", "user", "id"): lambda context: context.user_id,
    ("token", "user", "domain", "id"): lambda context: context.user_domain_id,
}


def _caller(path: tuple[str, ...], template: Template) -> Check:
    fill = compile_template(template)
    read = _DIRECT.get(path[0]) if len(path) == 1 else None
    if read is not None:
        return lambda context, target: fill(target) == str(read(context))
    return lambda context, target: fill(target) in caller_values(context, path)


def _field(node: Field) -> Check:
    attribute = node.attribute
    return lambda context, target: field_holds(node, target.get(attribute))
