"""The rules of a service, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement

from pileus.core.context import Context
from pileus.policy.closures import Check, Target, compile_check
from pileus.policy.conditions import Columns, condition
from pileus.policy.language import (
    And,
    Caller,
    Field,
    Literal,
    Node,
    Not,
    Or,
    PolicyError,
    Reference,
    Role,
    parse,
)
from pileus.policy.words import Speaker


class Rule(msgspec.Struct, frozen=True):
    """A rule as a service declares it.

    ``operations`` are the requests that ask it, as ``"POST /v2.0/ports"``, for documentation.
    ``scope_types`` are the scopes (``system``, ``domain``, ``project``) of the tokens that it takes,
    whatever roles they have; none takes all. An operator's rule of the same name keeps them.
    """

    name: str
    check_str: str
    description: str = ""
    operations: tuple[str, ...] = ()
    scope_types: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """Whether the caller may, and when not, which clause failed, in words."""

    allowed: bool
    reason: str = ""


ALLOWED = Decision(True)
KEPT = 2048
"""So many conditions are remembered, and so much else."""

T = TypeVar("T")


def scope_of(context: Context) -> str:
    """The scope that ``scope_types`` speak of; as in oslo.policy, a token without one is a project's."""
    if context.system_scope:
        return "system"
    return "project" if context.domain_id is None else "domain"


def _keep(known: dict[Any, Any], key: Hashable, value: Any) -> None:
    if len(known) >= KEPT:
        known.clear()
    known[key] = value


def _caller(context: Context) -> Hashable:
    """All of a caller that rules look at, and columns that depend on who looks."""
    return (
        context.user_id,
        context.user_domain_id,
        context.project_id,
        context.project_domain_id,
        context.domain_id,
        context.system_scope,
        context.roles,
        context.is_admin,
        context.is_service,
    )


class Enforcer:
    """All rules, compiled once.

    ``overrides`` are the operator's: they replace rules of the same name, and may add helpers
    of their own. Raises PolicyError for a rule that can't be read, refers to a rule that does not
    exist, or refers to itself, and for a name that is declared twice with different meanings.
    """

    def __init__(self, rules: Iterable[Rule], overrides: Mapping[str, str]) -> None:
        self.rules: dict[str, Rule] = {}
        for rule in rules:
            known = self.rules.setdefault(rule.name, rule)
            same = (known.check_str, known.scope_types) == (rule.check_str, rule.scope_types)
            if not same:  # one meaning would quietly replace the other
                raise PolicyError(rule.name, None, "it is declared twice, and differently")
        texts = {name: rule.check_str for name, rule in self.rules.items()} | dict(overrides)
        self._trees: dict[str, Node] = {name: parse(name, text) for name, text in texts.items()}
        self._scopes = {rule.name: rule.scope_types for rule in self.rules.values() if rule.scope_types}
        self._checks: dict[str, Check] = {}
        self._needs_target: dict[str, bool] = {}
        for name in _ordered(self._trees):
            tree = self._trees[name]
            self._checks[name] = compile_check(tree, self._checks)
            self._needs_target[name] = self._reads_target(tree)
        self._for_rows = {name: self._caller_first(tree) for name, tree in self._trees.items()}
        self._conditions: dict[Any, ColumnElement[bool] | bool] = {}
        self._remembered: dict[Any, Any] = {}

    def __contains__(self, rule_name: str) -> bool:
        return rule_name in self._checks

    def check(self, rule_name: str, context: Context, target: Target) -> Decision:
        """Whether the rule allows this caller this target. An unknown rule is a KeyError."""
        scopes = self._scopes.get(rule_name)
        if scopes is not None and (scope := scope_of(context)) not in scopes:
            return Decision(
                False, f"{rule_name}: it takes tokens of {' or '.join(scopes)} scope, not of {scope} scope."
            )
        if self._checks[rule_name](context, target):
            return ALLOWED
        speaker = Speaker(self._trees, self._checks, context, target)
        return Decision(False, f"{rule_name}: {speaker.say(self._trees[rule_name], False)}.")

    def fill(self, context: Context, rules: Mapping[str, str]) -> Context:
        """The context with fields that are answers of rules: ``{field: rule}``."""
        answers: dict[str, Any] = {field: self._checks[rule](context, {}) for field, rule in rules.items()}
        return msgspec.structs.replace(context, **answers)

    def needs_target(self, rule_name: str) -> bool:
        """Whether the answer can depend on the target at all."""
        return self._needs_target[rule_name]

    def condition(self, rule_name: str, context: Context, columns: Columns) -> ColumnElement[bool] | bool:
        """The rows for which ``check`` would allow this caller: a condition, or True (all), or False (none).

        ``columns`` maps the keys that the target of a row would have to columns.
        """
        scopes = self._scopes.get(rule_name)
        if scopes is not None and scope_of(context) not in scopes:
            return False
        return condition(self._for_rows[rule_name], self._for_rows, context, columns)

    def condition_kept(
        self, rule_name: str, context: Context, kind: Hashable, columns: Callable[[], Columns]
    ) -> ColumnElement[bool] | bool:
        """The same, remembered for the caller: to make a condition takes longer than most queries.

        ``kind`` stands for the columns, which are only asked for where the condition is not known.
        """
        key = kind, rule_name, _caller(context)
        known = self._conditions.get(key)
        if known is None:
            known = self.condition(rule_name, context, columns())
            _keep(self._conditions, key, known)
        return known

    def remembered(self, kind: Hashable, context: Context, find: Callable[[], T]) -> T:
        """Something else that rules and the caller alone decide, remembered for him; ``kind`` says what."""
        key = kind, _caller(context)
        known: T | None = self._remembered.get(key)
        if known is None:
            known = find()
            _keep(self._remembered, key, known)
        return known

    def _caller_first(self, node: Node) -> Node:
        """The same rule, in which what the caller alone decides stands before what rows decide."""
        match node:
            case Not(child=child):
                return Not(self._caller_first(child))
            case And(children=children) | Or(children=children):
                ordered = sorted(children, key=self._reads_target)
                return type(node)(tuple(map(self._caller_first, ordered)))
        return node

    def _reads_target(self, node: Node) -> bool:
        match node:
            case Reference(name=name):
                return self._needs_target[name]
            case Not(child=child):
                return self._reads_target(child)
            case And(children=children) | Or(children=children):
                return any(self._reads_target(child) for child in children)
            case Role(name=template) | Literal(right=template) | Caller(right=template):
                return bool(template.keys)
            case Field():
                return True
        return False


def references(node: Node) -> Iterable[Reference]:
    """Find the other rules that a rule refers to."""
    match node:
        case Reference():
            yield node
        case Not(child=child):
            yield from references(child)
        case And(children=children) | Or(children=children):
            for child in children:
                yield from references(child)


def _ordered(trees: Mapping[str, Node]) -> list[str]:
    """The names, each after those that it refers to. Raises PolicyError on a missing name or a cycle."""
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        path.append(name)
        for reference in references(trees[name]):
            if reference.name not in trees:
                raise PolicyError(name, reference.column, f"there is no rule {reference.name!r}.")
            if reference.name in path:
                circle = " → ".join([*path[path.index(reference.name) :], reference.name])
                raise PolicyError(name, reference.column, f"the rule refers to itself: {circle}.")
            if reference.name not in done:
                visit(reference.name)
        path.pop()
        done[name] = None

    for name in trees:
        if name not in done:
            visit(name)
    return list(done)
