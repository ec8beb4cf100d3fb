"""Rules as SQL: which rows may this caller see, answered by the database.

What depends on the caller alone is decided here; what depends on the row becomes
a condition. Equality follows the rule language: texts are compared, and a NULL's
text is ``None``. A comparison with NULL is unknown to SQL, which selects nothing and
so is as good as false, but not under NOT; so negation is pushed down to the leaves,
and a negated leaf says what it means for NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnClause,
    ColumnElement,
    Integer,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    or_,
)

from pileus.core.context import Context
from pileus.policy.closures import caller_values, lowered
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

Condition = ColumnElement[bool] | bool
Columns = Mapping[str, ColumnElement[Any]]

_NONE = "None"
_PLAIN_PREFIX = re.compile(r"\^?((?:[^\\.^$*+?{}\[\]|()]|\\[^\w])*)")


def condition(
    node: Node, rules: Mapping[str, Node], context: Context, columns: Columns, wanted: bool = True
) -> Condition:
    """A condition that holds for the rows for which the node is ``wanted`` (True or False).

    A plain bool comes back where the rows do not matter. ``columns`` maps the target's keys; a key
    that is not there makes its check fail, as a target without that key does.
    """
    match node:
        case Constant(value=value):
            return value is wanted
        case Reference(name=name):
            return condition(rules[name], rules, context, columns, wanted)
        case Not(child=child):
            return condition(child, rules, context, columns, not wanted)
        case And(children=children) | Or(children=children):
            parts = (condition(child, rules, context, columns, wanted) for child in children)
            return _join(parts, every=isinstance(node, And) is wanted)
        case Role(name=template):
            if not template.keys:
                return (template.texts[0].lower() in lowered(context.roles)) is wanted
            return _role(template, context, columns, wanted)
        case Literal(text=text, right=template):
            return _equal((text,), template, columns, wanted)
        case Caller(path=path, right=template):
            return _equal(caller_values(context, path), template, columns, wanted)
        case Field():
            return _field(node, columns, wanted)
    raise TypeError(node)


def _join(parts: Iterable[Condition], every: bool) -> Condition:
    """And of all parts (``every``) or Or of them, with the constants folded away. No part is made after one
    that decides: mostly a role, which stands before what has to be asked of rows."""
    open_parts = []
    for part in parts:
        if isinstance(part, bool):
            if part is not every:
                return part
        else:
            open_parts.append(part)
    if not open_parts:
        return every
    if len(open_parts) == 1:
        return open_parts[0]
    return and_(*open_parts) if every else or_(*open_parts)


def _missing(template: Template, columns: Columns) -> bool:
    return any(key not in columns for key in template.keys)


def _equal(values: tuple[str, ...], template: Template, columns: Columns, wanted: bool) -> Condition:
    """The template's text is one of ``values`` (or none of them, where that is ``wanted``)."""
    if not values or _missing(template, columns):
        return not wanted
    if not template.keys:
        return (template.texts[0] in values) is wanted
    if template.is_key:
        column = columns[template.keys[0]]
        return _join([_column_is(column, value, wanted) for value in values], every=not wanted)
    text = _text_of(template, columns)
    return text.in_(values) if wanted else text.not_in(values)


def _column_is(column: ColumnElement[Any], value: str, wanted: bool) -> Condition:
    """The text of a column's value is ``value``; plain comparisons, so that an index serves them."""
    typed: Any = value
    possible = True
    if isinstance(column.type, Boolean):
        typed, possible = value == "True", value in ("True", "False")
    elif isinstance(column.type, Integer):
        possible = re.fullmatch(r"0|-?[1-9][0-9]*", value) is not None
        typed = int(value) if possible else None
    if wanted:
        parts: list[Condition] = [column == typed if possible else False]
        if value == _NONE:
            parts.append(column.is_(None))
        return _join(parts, every=False)
    unequal: Condition = column != typed if possible else True
    if value == _NONE:
        return _join([column.is_not(None), unequal], every=True)
    return _join([column.is_(None), unequal], every=False)


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A column's value as the rule language writes it."""
    if isinstance(column.type, Boolean):
        return case((column.is_(None), _NONE), (column, "True"), else_="False")
    if isinstance(column.type, String):
        return func.coalesce(column, _NONE)
    return func.coalesce(cast(column, String(64)), _NONE)


def _text_of(template: Template, columns: Columns) -> ColumnElement[str]:
    whole: ColumnElement[str] = literal(template.texts[0], String)
    for key, text in zip(template.keys, template.texts[1:], strict=True):
        whole = whole + _text(columns[key]) + literal(text, String)
    return whole


def _role(template: Template, context: Context, columns: Columns, wanted: bool) -> Condition:
    if _missing(template, columns):
        return not wanted
    name = func.lower(_text_of(template, columns))
    roles = sorted(lowered(context.roles))
    return name.in_(roles) if wanted else name.not_in(roles)


def _field(node: Field, columns: Columns, wanted: bool) -> Condition:
    column = columns.get(node.attribute)
    if column is None:
        return not wanted
    found: Condition
    if node.pattern is not None:
        found = _begins_with(column, node.pattern)
    elif isinstance(column.type, Boolean):
        word = node.value.lower()
        found = _holds(column, word in ("true", "1")) if word in ("true", "1", "false", "0") else False
    else:
        found = _column_is(column, node.value, True) if node.value != _NONE else column == _NONE
    if wanted:
        return found
    if isinstance(found, bool):
        return not found
    return or_(column.is_(None), ~found)


def _holds(column: ColumnElement[Any], wanted: bool) -> Condition:
    """A stored truth is compared, so that an index serves it; one that is computed is a condition itself."""
    if isinstance(column, ColumnClause):
        return column == wanted
    return column if wanted else not_(column)


def _begins_with(column: ColumnElement[Any], pattern: str) -> Condition:
    """A regular expression as LIKE where it is a plain prefix, else as the database's own."""
    plain = _PLAIN_PREFIX.fullmatch(pattern)
    if plain is not None:
        prefix = re.sub(r"\\(.)", r"\1", plain[1])
        # LIKE ignores case on SQLite, so the prefix itself is compared too.
        return func.substr(column, 1, len(prefix)) == prefix if prefix else column.is_not(None)
    return column.regexp_match(f"^(?:{pattern})")
