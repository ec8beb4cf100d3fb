"""The rule language of oslo.policy: text in, a small tree out.

The language, as oslo.policy documents it (``oslo_policy.policy``, "Policy Rule
Expressions"): checks joined by ``and``, ``or``, ``not`` and parentheses, words
apart by white space, ``not`` binding tightest and ``or`` loosest. The empty
string allows. A check is ``@`` (always), ``!`` (never) or ``kind:match``:

``rule:name``
    another rule holds.
``role:name``
    the caller has the role; case does not matter.
``field:resource:attribute=value``
    an attribute of the target (Neutron's addition); ``~`` before the value
    makes it a regular expression that the attribute's text must begin with.
anything else
    the text of the left side equals the text of the right side. Left is a
    Python literal (``'x'``, ``True``, ``None``) or an attribute of the caller;
    right is text in which ``%(key)s`` stands for the target's value.

Where oslo.policy logs and denies at the first use of a rule that it can't read,
this parser refuses the rule when it is loaded, naming rule and column.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NoReturn

import msgspec


class PolicyError(ValueError):
    """A rule that can't be used; the message names the rule, and the column (from 1) where known."""

    def __init__(self, rule: str, column: int | None, problem: str) -> None:
        self.rule, self.column, self.problem = rule, column, problem
        place = f", column {column}" if column is not None else ""
        super().__init__(f"Policy rule {rule!r}{place}: {problem}")


class Node(msgspec.Struct, frozen=True):
    """A part of a rule's tree."""


class Constant(Node, frozen=True):
    """``@`` and the empty rule (True), ``!`` (False)."""

    value: bool


class Not(Node, frozen=True):
    """The child does not hold."""

    child: Node


class And(Node, frozen=True):
    """All children hold."""

    children: tuple[Node, ...]


class Or(Node, frozen=True):
    """At least one child holds."""

    children: tuple[Node, ...]


class Reference(Node, frozen=True):
    """``rule:name``; ``column`` tells where it stood, for messages."""

    name: str
    column: int


class Template(msgspec.Struct, frozen=True):
    """Text with holes: ``keys`` are the target's, ``texts`` the pieces around them (one more than keys)."""

    texts: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def is_key(self) -> bool:
        """Whether it is one hole and nothing else, the common case."""
        return len(self.keys) == 1 and self.texts == ("", "")


class Role(Node, frozen=True):
    """The caller has a role."""

    name: Template


class Literal(Node, frozen=True):
    """A constant's text equals the template's."""

    text: str
    right: Template


class Caller(Node, frozen=True):
    """The text of an attribute of the caller (a dotted path) equals the template's."""

    path: tuple[str, ...]
    right: Template


class Field(Node, frozen=True):
    """An attribute of the target has a value, or begins with a regular expression."""

    resource: str
    attribute: str
    value: str

    @property
    def pattern(self) -> str | None:
        """The regular expression, where the value is one."""
        return self.value[1:] if self.value.startswith("~") else None


class _Token(msgspec.Struct, frozen=True):
    text: str
    column: int

    @property
    def word(self) -> str:
        return self.text.lower()


_WORD = re.compile(r"\S+")
_HOLE = re.compile(r"%(?:\((?P<key>[^()]+)\)s|(?P<percent>%))")


def parse(rule: str, text: str) -> Node:
    """The tree of a rule's text. ``rule`` is its name, for messages. Raises PolicyError."""
    if text == "":
        return Constant(True)
    return _Parser(rule, text).whole()


def _tokens(text: str) -> Iterator[_Token]:
    """Words with the parentheses at their ends split off; those inside belong to ``%(key)s``."""
    for match in _WORD.finditer(text):
        word, start = match.group(), match.start()
        bare = word.lstrip("(")
        for offset in range(len(word) - len(bare)):
            yield _Token("(", start + offset + 1)
        start += len(word) - len(bare)
        check = bare.rstrip(")")
        if check:
            yield _Token(check, start + 1)
        for offset in range(len(check), len(bare)):
            yield _Token(")", start + offset + 1)


class _Parser:
    """Recursive descent over the tokens: or → and → not → check."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        self.tokens = list(_tokens(text))
        self.end = len(text) + 1
        self.at = 0

    def whole(self) -> Node:
        node = self.either()
        token = self.peek()
        if token is not None:
            self.fail(token.column, f"'and' or 'or' expected before {token.text!r}.")
        return node

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, word: str) -> bool:
        token = self.peek()
        if token is None or token.word != word:
            return False
        self.at += 1
        return True

    def fail(self, column: int, problem: str) -> NoReturn:
        raise PolicyError(self.rule, column, problem)

    def either(self) -> Node:
        children = [self.both()]
        while self.take("or"):
            children.append(self.both())
        return children[0] if len(children) == 1 else Or(tuple(children))

    def both(self) -> Node:
        children = [self.single()]
        while self.take("and"):
            children.append(self.single())
        return children[0] if len(children) == 1 else And(tuple(children))

    def single(self) -> Node:
        token = self.peek()
        if token is None:
            self.fail(self.end, "a check is missing at the end.")
        if self.take("not"):
            return Not(self.single())
        if self.take("("):
            node = self.either()
            if not self.take(")"):
                closing = self.peek()
                self.fail(
                    closing.column if closing else self.end,
                    f"the parenthesis of column {token.column} is not closed.",
                )
            return node
        if token.word in ("and", "or", ")"):
            self.fail(token.column, f"a check expected before {token.text!r}.")
        self.at += 1
        return self.check(token)

    def check(self, token: _Token) -> Node:
        if token.text in ("@", "!"):
            return Constant(token.text == "@")
        kind, colon, match = token.text.partition(":")
        if not colon or not kind:
            self.fail(token.column, f"{token.text!r} is not a check: 'kind:match', '@' or '!' expected.")
        column = token.column + len(kind) + 1
        if kind == "rule":
            return Reference(match, token.column)
        if kind == "role":
            return Role(self.template(match, column))
        if kind == "field":
            return self.field(match, column)
        if kind in ("http", "https"):
            self.fail(token.column, "checks that ask a web server are not supported.")
        right = self.template(match, column)
        try:
            return Literal(str(ast.literal_eval(kind)), right)
        except ValueError:
            return Caller(tuple(kind.split(".")), right)
        except (SyntaxError, MemoryError, RecursionError, TypeError):
            self.fail(token.column, f"{kind!r} is neither a literal nor an attribute of the caller.")

    def field(self, match: str, column: int) -> Field:
        resource, colon, rest = match.partition(":")
        attribute, equals, value = rest.partition("=")
        if not (resource and colon and attribute and equals):
            self.fail(column, f"{match!r} is not of the form 'resource:attribute=value'.")
        node = Field(resource, attribute, value)
        if node.pattern is not None:
            try:
                re.compile(node.pattern)
            except re.error as error:
                self.fail(column, f"{node.pattern!r} is not a regular expression: {error}.")
        return node

    def template(self, match: str, column: int) -> Template:
        texts, keys, literal, at = [], [], "", 0
        while at < len(match):
            if match[at] != "%":
                literal += match[at]
                at += 1
                continue
            hole = _HOLE.match(match, at)
            if hole is None:
                self.fail(column + at, "'%(key)s' or '%%' expected after '%'.")
            if hole["key"] is None:
                literal += "%"
            else:
                texts.append(literal)
                keys.append(hole["key"])
                literal = ""
            at = hole.end()
        return Template((*texts, literal), tuple(keys))
