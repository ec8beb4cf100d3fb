"""Security groups as ports need them: which exist, and which is the default of a project."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource.event import event
from pileus.services.network.common.derived_ids import derived_id
from pileus.services.network.security_groups.tables import (
    default_security_groups,
    security_group_rules,
    security_groups,
)
from pileus.services.network.security_groups.templates import rule_rows, template_rules
from pileus.services.network.sharing.targets import SECURITY_GROUPS, caller_of, shared_to
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.wire import scopes

DEFAULT = "default"


class SecurityGroupNotFound(NotFound):
    message = "Security group {id} does not exist"


class SecurityGroupConflict(Conflict):
    message = "Error {reason} while attempting the operation."


_EXISTING = select(
    security_groups.c.id,
    security_groups.c.project_id,
    shared_to(SECURITY_GROUPS, bindparam("caller")).label("shared"),
    security_groups.c.stateful,
).where(security_groups.c.id.in_(bindparam("ids", expanding=True)))
_DEFAULTS = select(default_security_groups.c.project_id, default_security_groups.c.security_group_id).where(
    default_security_groups.c.project_id.in_(bindparam("projects", expanding=True))
)


def check_groups(tx: Tx, context: Context, group_ids: Collection[str]) -> Mapping[str, bool]:
    """Tell which of the groups are stateful; SecurityGroupNotFound where one does not exist or is another
    project's (administrators see all)."""
    if not group_ids:
        return {}
    mine = {
        row.id: row.stateful
        for row in tx.rows(_EXISTING, {"ids": sorted(group_ids), "caller": caller_of(context)})
        if context.is_admin or row.shared or row.project_id == context.project_id
    }
    missing = set(group_ids) - mine.keys()
    if missing:
        raise SecurityGroupNotFound(id=min(missing))
    return mine


def check_one_kind(stateful: Mapping[str, bool], group_ids: Collection[str]) -> None:
    """SecurityGroupConflict where one port would have stateful and stateless groups."""
    if len({stateful[group_id] for group_id in group_ids}) > 1:
        raise SecurityGroupConflict(
            reason="Cannot apply both stateful and stateless security groups on the same port "
            "at the same time"
        )


def default_groups(tx: Tx, context: Context, project_ids: Collection[str]) -> dict[str, str]:
    """The default group's id for each project, made with its rules where there is none yet.

    One statement where they exist. Of two requests that come first at the same time one makes
    the group, and the other finds it.
    """
    if not project_ids:
        return {}
    found = _read_defaults(tx, project_ids)
    missing = sorted(set(project_ids) - found.keys())
    if missing:
        try:
            with tx.savepoint():
                found.update(_make_defaults(tx, context, missing))
        except Duplicate:
            found = _read_defaults(tx, project_ids)
    return found


def _read_defaults(tx: Tx, project_ids: Collection[str]) -> dict[str, str]:
    rows = tx.rows(_DEFAULTS, {"projects": sorted(project_ids)})
    return {row.project_id: row.security_group_id for row in rows}


def _make_defaults(tx: Tx, context: Context, project_ids: Collection[str]) -> dict[str, str]:
    stamps = {"created_at": context.now, "updated_at": context.now, "revision_number": 1}
    made = {project_id: derived_id(context, DEFAULT, project_id) for project_id in project_ids}
    tx.insert(
        security_groups,
        [
            {
                "id": group_id,
                "project_id": project_id,
                "name": DEFAULT,
                "description": "Default security group",
                "stateful": True,
                "shared": False,
                **stamps,
            }
            for project_id, group_id in made.items()
        ],
    )
    tx.insert(
        default_security_groups,
        [{"project_id": project_id, "security_group_id": group_id} for project_id, group_id in made.items()],
    )
    templates = template_rules(tx, of_default_groups=True)
    rows = [
        row
        for project_id, group_id in made.items()
        for row in rule_rows(context, templates, group_id, project_id)
    ]
    tx.insert(security_group_rules, rows)
    tx.emit_many(
        [
            event(
                context,
                "security_group.create",
                group_id,
                project_id,
                [scopes.security_group(group_id)],
                name=DEFAULT,
            )
            for project_id, group_id in made.items()
        ]
    )
    return made
