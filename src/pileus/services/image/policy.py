"""Words of the image policy, for the rules of its nouns: Glance's names and defaults (2025.x)."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.policy import Rule

ADMIN = "rule:context_is_admin"
OPEN = "'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s"
VISIBLE = f"(project_id:%(project_id)s or project_id:%(member_id)s or {OPEN})"

ADMIN_OR_MEMBER = f"{ADMIN} or (role:member and project_id:%(project_id)s)"
ADMIN_OR_READER = f"{ADMIN} or (role:reader and project_id:%(project_id)s)"
ADMIN_OR_READER_OR_SHARED = (
    f"{ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"
)

BASE_RULES = (
    Rule("context_is_admin", "role:admin", "Who administers the cloud"),
    Rule("service_api", "role:service or role:admin", "Calls between services"),
    Rule("default", "", "What no other rule is about"),
)


def rules(checks: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules for the tokens of projects."""
    return tuple(Rule(name, check, scope_types=("project",)) for name, check in checks.items())
