"""A refusal in words: which clause failed, said from the caller's point of view."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.core.context import Context
from pileus.policy.closures import Check, Target, compile_check
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


class Speaker:
    """Explains why a node holds or does not hold for one context and target."""

    def __init__(
        self, rules: Mapping[str, Node], checks: Mapping[str, Check], context: Context, target: Target
    ) -> None:
        self.rules, self.checks, self.context, self.target = rules, checks, context, target

    def holds(self, node: Node) -> bool:
        return compile_check(node, self.checks)(self.context, self.target)

    def say(self, node: Node, holds: bool) -> str:
        """A clause without a full stop that tells why ``node`` holds (or does not)."""
        match node:
            case Constant():
                return "everybody may" if holds else "nobody may"
            case Reference(name=name):
                return self.say(self.rules[name], holds)
            case Not(child=child):
                return self.say(child, not holds)
            case And(children=children) | Or(children=children):
                # Of an "and" that fails and an "or" that holds, one child is the reason; else all are.
                if isinstance(node, Or) is holds:
                    return self.say(next(c for c in children if self.holds(c) is holds), holds)
                return " and ".join(dict.fromkeys(self.say(child, holds) for child in children))
            case Role(name=name):
                return f"the caller {'has' if holds else 'lacks'} the role {_template(name)}"
            case Literal(text=text, right=right):
                return f"{_template(right)} {_is(holds)} {text!r}"
            case Caller(path=path, right=right):
                return f"the caller's {'.'.join(path)} {_is(holds)} {_template(right)}"
            case Field(attribute=attribute, value=value):
                return f"the target's {attribute} {_is(holds)} {value!r}"
        raise TypeError(node)


def _is(holds: bool) -> str:
    return "is" if holds else "is not"


def _template(template: Template) -> str:
    if not template.keys:
        return repr(template.texts[0])
    if template.is_key:
        return f"the target's {template.keys[0]}"
    pieces = [template.texts[0]]
    for key, text in zip(template.keys, template.texts[1:], strict=True):
        pieces += [f"<{key}>", text]
    return repr("".join(pieces))
