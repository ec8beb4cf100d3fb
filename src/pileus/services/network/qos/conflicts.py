"""Rules that do not go together in one policy. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pileus.core.errors import Conflict
from pileus.services.network.qos.kinds import (
    ANY,
    BANDWIDTH_LIMIT,
    BY_NAME,
    MINIMUM_BANDWIDTH,
    MINIMUM_PACKET_RATE,
)


class QoSRulesConflict(Conflict):
    message = (
        "Rule {new_rule_type} conflicts with rule {rule_id} which already exists in QoS Policy {policy_id}."
    )


class QoSRuleParameterConflict(Conflict):
    message = (
        "Unable to add the rule with value {rule_value} to the policy {policy_id} as the existing rule of "
        "type {existing_rule} has value {existing_value}."
    )


class RuleFacts(NamedTuple):
    """A rule as it is stored, or shall be."""

    id: str
    qos_policy_id: str
    rule_type: str
    direction: str
    amount: int
    burst: int = 0

    def view(self) -> dict[str, str | int]:
        """The rule as its policy shows it."""
        kind = BY_NAME[self.rule_type]
        shown: dict[str, str | int] = {kind.amount: self.amount}
        if kind.burst:
            shown[kind.burst] = self.burst
        if kind.directions:
            shown["direction"] = self.direction
        return {**shown, "id": self.id, "qos_policy_id": self.qos_policy_id, "type": self.rule_type}


def check_rule(new: RuleFacts, others: Iterable[RuleFacts]) -> None:
    """QoSRuleParameterConflict or QoSRulesConflict where the rule does not go with others of its policy."""
    others = [other for other in others if other.id != new.id]
    for other in others:
        if other.direction == new.direction and _crosses(new, other):
            raise _parameters(new, new.amount, other, other.amount)
    for other in others:
        mixed = other.direction != new.direction and ANY in (other.direction, new.direction)
        if mixed and new.rule_type == other.rule_type == MINIMUM_PACKET_RATE.name:
            raise _parameters(new, new.direction, other, other.direction)
    for other in others:
        if other.rule_type == new.rule_type and other.direction == new.direction:
            raise QoSRulesConflict(new_rule_type=new.rule_type, rule_id=other.id, policy_id=new.qos_policy_id)


def _crosses(new: RuleFacts, other: RuleFacts) -> bool:
    """Whether of the two one is a least and the other a greatest bandwidth, and the least is more."""
    amounts = {rule.rule_type: rule.amount for rule in (new, other)}
    if amounts.keys() != {MINIMUM_BANDWIDTH.name, BANDWIDTH_LIMIT.name}:
        return False
    return amounts[MINIMUM_BANDWIDTH.name] > amounts[BANDWIDTH_LIMIT.name]


def _parameters(
    new: RuleFacts, value: str | int, other: RuleFacts, existing: str | int
) -> QoSRuleParameterConflict:
    return QoSRuleParameterConflict(
        rule_value=value,
        policy_id=new.qos_policy_id,
        existing_rule=other.rule_type,
        existing_value=existing,
    )


def in_order(found: Iterable[RuleFacts]) -> list[RuleFacts]:
    """Rules as a policy lists them: by their kinds, a mark of no direction before others of its kind."""
    places = {name: place for place, name in enumerate(BY_NAME)}
    return sorted(found, key=lambda rule: (places[rule.rule_type], rule.direction, rule.id))
