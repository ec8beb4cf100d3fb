"""Units of work of default security group rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.network.address_groups.membership import check_address_groups
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import InUse
from pileus.services.network.default_security_group_rules.resource import DEFAULT_SECURITY_GROUP_RULE
from pileus.services.network.default_security_group_rules.tables import default_security_group_rules
from pileus.services.network.rules import security
from pileus.services.network.security_groups.membership import check_groups
from pileus.services.network.security_groups.templates import PARENT
from pileus.store.event import Event
from pileus.store.tx import Tx


class DefaultSecurityGroupRuleExists(InUse):
    message = "Default Security group rule already exists. Rule id is {rule_id}."


_SAME = select(
    default_security_group_rules.c.id,
    default_security_group_rules.c.used_in_default_sg,
    default_security_group_rules.c.used_in_non_default_sg,
).where(default_security_group_rules.c.digest == bindparam("digest"))


def default_rule_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write a rule; DefaultSecurityGroupRuleExists where groups of a kind begin with the same already."""
    specs = copied(specs)
    tx.lock("default_security_group_rules")
    for spec in specs:
        spec.update(security.normalise(spec))
        spec["digest"] = security.key(spec)
        _place(tx, context, spec)
        for same in tx.rows(_SAME, {"digest": spec["digest"]}):
            if any(spec[kind] and getattr(same, kind) for kind in _KINDS):
                raise DefaultSecurityGroupRuleExists(rule_id=same.id)
    DEFAULT_SECURITY_GROUP_RULE.insert(tx, context, specs)
    tx.emit_many([_event(context, "default_security_group_rule.create", spec) for spec in specs])
    return specs


_KINDS = ("used_in_default_sg", "used_in_non_default_sg")


def _place(tx: Tx, context: Context, spec: Values) -> None:
    """Keep apart whether the rule is about its own group or another; groups that are named must be there."""
    spec["remote_is_parent"] = spec["remote_group_id"] == PARENT
    spec["remote_to_group_id"] = None if spec["remote_is_parent"] else spec["remote_group_id"]
    check_groups(tx, context, {spec["remote_to_group_id"]} - {None})
    check_address_groups(tx, context, {spec["remote_address_group_id"]} - {None})


def default_rule_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete rules; groups that there are keep theirs."""
    DEFAULT_SECURITY_GROUP_RULE.remove(tx, originals)
    tx.emit_many([_event(context, "default_security_group_rule.delete", rule) for rule in originals])


def _event(context: Context, kind: str, rule: Mapping[str, Any]) -> Event:
    return event(context, kind, rule["id"], None, ())
