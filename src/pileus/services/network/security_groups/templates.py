"""The rules that a new group begins with, as administrators have written them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.default_security_group_rules.tables import default_security_group_rules
from pileus.services.network.rules import security
from pileus.store.tx import Tx

PARENT = "PARENT"
"""In a default rule, the id of the group that the rule will be in."""

Template = Mapping[str, Any]

_TEMPLATES = select(default_security_group_rules).order_by(default_security_group_rules.c.id)
_OF_DEFAULT_GROUPS = _TEMPLATES.where(default_security_group_rules.c.used_in_default_sg)
_OF_OTHER_GROUPS = _TEMPLATES.where(default_security_group_rules.c.used_in_non_default_sg)


def template_rules(tx: Tx, *, of_default_groups: bool) -> list[Template]:
    """Read the default rules of a project's default groups, or of all other groups."""
    return [
        {**row._mapping, "remote_group_id": PARENT if row.remote_is_parent else row.remote_to_group_id}
        for row in tx.rows(_OF_DEFAULT_GROUPS if of_default_groups else _OF_OTHER_GROUPS)
    ]


def rule_rows(
    context: Context, templates: Sequence[Template], group_id: str, project_id: str
) -> list[dict[str, Any]]:
    """The rows of the rules that a new group begins with."""
    rows = []
    for number, template in enumerate(templates):
        own = {"remote_group_id": group_id} if template["remote_group_id"] == PARENT else {}
        rule = security.normalise({**template, **own})
        rows.append(
            {
                "id": derived_id(context, group_id, str(number)),
                "project_id": project_id,
                "security_group_id": group_id,
                **rule,
                "description": "",
                "digest": security.key(rule),
                "created_at": context.now,
                "updated_at": context.now,
                "revision_number": 1,
            }
        )
    return rows
