"""The rights of the caller of one request: the policy is asked, answers are kept for the request."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, false

from pileus.core.context import Context
from pileus.policy import Enforcer
from pileus.resource.declaration import Resource, Values
from pileus.resource.versions import Version, within
from pileus.resource.wording import Wording

_OWNERSHIP = frozenset({"id", "project_id", "tenant_id", "domain_id", "user_id"})
_NOTHING: Mapping[str, Any] = {}

T = TypeVar("T")
Visible = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Attributes that a caller sees, and which of them (with their rules) are asked row by row."""


class Access:
    """The policy, as one caller meets it."""

    __slots__ = ("_answers", "_visible", "context", "policy", "version", "wording")

    def __init__(
        self, policy: Enforcer, context: Context, wording: Wording, version: Version | None = None
    ) -> None:
        self.version = version
        self.policy = policy
        self.context = context
        self.wording = wording
        self._answers: dict[str, bool] = {}
        self._visible: dict[int, Visible] = {}

    def allows(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        """Whether the rule lets this caller; asked once where the target does not matter."""
        if self.policy.needs_target(rule):
            return self.policy.check(rule, self.context, target or _NOTHING).allowed
        answer = self._answers.get(rule)
        if answer is None:
            answer = self._answers[rule] = self.policy.check(rule, self.context, _NOTHING).allowed
        return answer

    def require(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise the wording's refusal where the rule says no."""
        if not self.allows(rule, target):
            raise self.refusal([rule], target)

    def refusal(self, rules: Sequence[str], target: Mapping[str, Any] | None) -> Exception:
        """The refusal, with the policy's reason for the last of the rules."""
        reason = self.policy.check(rules[-1], self.context, target or _NOTHING).reason
        return self.wording.refused(rules, reason)

    def require_attributes(
        self, resource: Resource, action: str, values: Values, target: Mapping[str, Any]
    ) -> None:
        """Raise a refusal unless the caller may set each guarded attribute that he gave.

        On create, an attribute given its default value is as good as not given. Keys of dictionaries
        may have rules of their own (``create_port:fixed_ips:ip_address``), where the service declares them.
        """
        for name in values.given:
            attribute = resource.attributes[name]
            if not attribute.policy:
                continue
            if action == "create" and not callable(attribute.default) and values[name] == attribute.default:
                continue
            rule = resource.attribute_rule(action, name)
            for asked in (rule, *self._finer(rule, values[name])):
                if not self.allows(asked, target):
                    raise self.refusal([resource.rule(action), asked], target)

    def _finer(self, rule: str, value: Any) -> list[str]:
        """The rules about parts of a value: of a dictionary, or of those in a list."""
        parts = value if isinstance(value, list) else [value]
        keys = {key for part in parts if isinstance(part, dict) for key in part}
        return [finer for finer in (f"{rule}:{key}" for key in sorted(keys)) if finer in self.policy]

    def visibility(
        self, resource: Resource, action: str = "get", rule: str | None = None
    ) -> ColumnElement[bool] | None:
        """The rows that this caller may see, as a condition; None: all of them.

        ``rule`` stands for that of the action. Raises a refusal for ``list`` where the caller may see none
        and the service says so.
        """
        rule = rule or resource.rule(action)
        condition = self.policy.condition_kept(
            rule, self.context, resource, lambda: resource.policy_columns(self.context)
        )
        if condition is True:
            return None
        if condition is False:
            if action == "list" and not self.wording.hides_refused_lists:
                raise self.refusal([rule], None)
            return false()
        return condition

    def remembered(self, kind: Hashable, find: Callable[[], T]) -> T:
        """Something that rules and the caller alone decide, found once for all his requests."""
        return self.policy.remembered(kind, self.context, find)

    def visible(self, resource: Resource) -> Visible:
        """The attributes this caller sees, and which of them (with their rules) are asked row by row."""
        known = self._visible.get(id(resource))
        if known is None:
            kind = "visible", resource, self.version
            known = self.remembered(kind, lambda: self._find_visible(resource))
            self._visible[id(resource)] = known
        return known

    def _find_visible(self, resource: Resource) -> Visible:
        names, guards = [], []
        for name, attribute in resource.attributes.items():
            if not attribute.visible or not within(attribute.versions, self.version):
                continue
            if attribute.guarded_view:
                rule = resource.attribute_rule("get", name)
                if self.policy.needs_target(rule):
                    guards.append((name, rule))
                elif not self.allows(rule):
                    continue
            names.append(name)
        return tuple(names), tuple(guards)


def target_of_update(original: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Make the target that the policy judges when ``original`` is changed: new values, but its owner of
    now."""
    return {**original, **{name: value for name, value in changes.items() if name not in _OWNERSHIP}}
