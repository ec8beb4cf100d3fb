"""Units of work of security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.address_groups.membership import check_address_groups
from pileus.services.network.common.copies import copied
from pileus.services.network.common.errors import InUse
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.common.revisions import touch
from pileus.services.network.rules import security
from pileus.services.network.security_groups.membership import (
    DEFAULT,
    SecurityGroupNotFound,
    check_groups,
    default_groups,
)
from pileus.services.network.security_groups.resource import (
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    check_new_name,
    rule_view,
)
from pileus.services.network.security_groups.tables import (
    default_security_groups,
    security_group_ports,
    security_group_rules,
    security_groups,
)
from pileus.services.network.security_groups.templates import rule_rows, template_rules
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

GROUP_QUOTA = network_quota("security_group", 10, security_groups.c.project_id)
RULE_QUOTA = network_quota("security_group_rule", 100, security_group_rules.c.project_id)


class SecurityGroupInUse(InUse):
    message = "Security Group {id} {reason}."


class SecurityGroupCannotRemoveDefault(InUse):
    message = "Insufficient rights for removing default security group."


class SecurityGroupCannotUpdateDefault(InUse):
    message = "Updating default security group not allowed."


class SecurityGroupRuleExists(InUse):
    message = "Security group rule already exists. Rule id is {rule_id}."


class DuplicateSecurityGroupRuleInPost(InUse):
    message = "Duplicate Security Group Rule in POST."


class SecurityGroupRulesNotSingleProject(Invalid):
    message = "Multiple project_ids in bulk security group rule create not allowed"


class SecurityGroupNotSingleGroupRules(Invalid):
    message = "Only allowed to update rules for one security profile at a time"


_USED = select(security_group_ports.c.security_group_id).where(
    security_group_ports.c.security_group_id.in_(bindparam("ids", expanding=True))
)
_DEFAULTS_AMONG = select(default_security_groups.c.security_group_id).where(
    default_security_groups.c.security_group_id.in_(bindparam("ids", expanding=True))
)
_REFERRING = select(security_group_rules.c.security_group_id).where(
    security_group_rules.c.remote_group_id.in_(bindparam("ids", expanding=True))
)
_SAME = select(security_group_rules.c.id, security_group_rules.c.digest).where(
    security_group_rules.c.security_group_id == bindparam("group"),
    security_group_rules.c.digest.in_(bindparam("digests", expanding=True)),
)


def security_group_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new groups, each with the rules that the cloud's groups begin with."""
    specs = copied(specs)
    for spec in specs:
        check_new_name(spec["name"])
    default_groups(tx, context, {spec["project_id"] for spec in specs})
    spend(tx, specs, GROUP_QUOTA)
    templates = template_rules(tx, of_default_groups=False)
    spend(tx, [spec for spec in specs for _ in templates], RULE_QUOTA)
    SECURITY_GROUP.insert(tx, context, specs)
    rows = [row for spec in specs for row in rule_rows(context, templates, spec["id"], spec["project_id"])]
    tx.insert(security_group_rules, rows)
    rows.sort(key=lambda row: row["id"])  # as they are listed
    for spec in specs:
        spec["security_group_rules"] = [
            rule_view({**row, "belongs_to_default_sg": False})
            for row in rows
            if row["security_group_id"] == spec["id"]
        ]
    tx.emit_many([_event(context, "security_group.create", spec) for spec in specs])
    return specs


def security_group_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change groups; the default group keeps its name, and a group in use its statefulness."""
    for one in updates:
        group, changes = one.original, one.changes
        if "name" in changes and changes["name"] != group["name"]:
            if _defaults_among(tx, [group["id"]]):
                raise SecurityGroupCannotUpdateDefault()
            check_new_name(changes["name"])
        if changes.get("stateful", group["stateful"]) != group["stateful"] and tx.rows(
            _USED.limit(1), {"ids": [group["id"]]}
        ):
            raise SecurityGroupInUse(id=group["id"], reason="in use")
    after = SECURITY_GROUP.change(tx, context, updates)
    tx.emit_many([_event(context, "security_group.update", group) for group in after])
    return after


def security_group_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete groups, with their rules and the rules of others that refer to them; SecurityGroupInUse
    while a port is in one. Only an administrator deletes a default group (it comes back on need)."""
    ids = [group["id"] for group in originals]
    used = tx.first(_USED.limit(1), {"ids": ids})
    if used is not None:
        raise SecurityGroupInUse(id=used.security_group_id, reason="in use")
    if not context.is_admin and _defaults_among(tx, ids):
        raise SecurityGroupCannotRemoveDefault()
    referring = {row.security_group_id for row in tx.rows(_REFERRING, {"ids": ids})} - set(ids)
    try:
        with tx.savepoint():
            SECURITY_GROUP.remove(tx, originals)
    except Referenced:
        raise SecurityGroupInUse(id=ids[0], reason="in use") from None
    tx.emit_many(
        [
            *(_event(context, "security_group.delete", group) for group in originals),
            *(
                event(context, "security_group.update", group_id, None, [scopes.security_group(group_id)])
                for group_id in sorted(referring)
            ),
        ]
    )


def security_group_rule_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new rules of one group; a rule that is there already is refused with its id."""
    group_id = specs[0]["security_group_id"]
    if any(spec["security_group_id"] != group_id for spec in specs):
        raise SecurityGroupNotSingleGroupRules()
    if len({spec["project_id"] for spec in specs}) > 1:
        raise SecurityGroupRulesNotSingleProject()
    specs = copied(specs)
    in_default_group = _defaults_among(tx, [group_id])
    for spec in specs:
        spec["belongs_to_default_sg"] = in_default_group
        spec.update(security.normalise(spec))
        spec["digest"] = security.key(spec)
    digests = [spec["digest"] for spec in specs]
    if len(set(digests)) < len(digests):
        raise DuplicateSecurityGroupRuleInPost()
    spend(tx, specs, RULE_QUOTA)
    check_groups(tx, context, {spec["remote_group_id"] for spec in specs if spec["remote_group_id"]})
    check_address_groups(
        tx, context, {spec["remote_address_group_id"] for spec in specs if spec["remote_address_group_id"]}
    )
    try:
        with tx.savepoint():
            SECURITY_GROUP_RULE.insert(tx, context, specs)
    except Duplicate:
        same = tx.first(_SAME, {"group": group_id, "digests": digests})
        raise SecurityGroupRuleExists(rule_id=same.id if same else "unknown") from None
    except Referenced:
        raise SecurityGroupNotFound(id=group_id) from None
    touch(tx, security_groups, [group_id], context.now)
    tx.emit_many([_rule_event(context, "security_group_rule.create", spec) for spec in specs])
    return specs


def security_group_rule_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete rules."""
    SECURITY_GROUP_RULE.remove(tx, originals)
    touch(tx, security_groups, {rule["security_group_id"] for rule in originals}, context.now)
    tx.emit_many([_rule_event(context, "security_group_rule.delete", rule) for rule in originals])


def ensure_default_group(tx: Tx, context: Context, project_id: str) -> str:
    """The id of the project's default group, made where there is none."""
    return default_groups(tx, context, [project_id])[project_id]


def default_group_exists(tx: Tx, project_id: str) -> bool:
    """Whether a list of groups is complete as it is."""
    found = tx.first(
        select(default_security_groups.c.project_id).where(default_security_groups.c.project_id == project_id)
    )
    return found is not None


def _defaults_among(tx: Tx, ids: Sequence[str]) -> bool:
    return bool(tx.rows(_DEFAULTS_AMONG, {"ids": list(ids)}))


def _event(context: Context, kind: str, group: Mapping[str, Any]) -> Any:
    return event(
        context,
        kind,
        group["id"],
        group["project_id"],
        [scopes.security_group(group["id"])],
        name=group.get("name", DEFAULT),
    )


def _rule_event(context: Context, kind: str, rule: Mapping[str, Any]) -> Any:
    return event(
        context,
        kind,
        rule["id"],
        rule["project_id"],
        [scopes.security_group(rule["security_group_id"])],
        security_group_id=rule["security_group_id"],
    )
