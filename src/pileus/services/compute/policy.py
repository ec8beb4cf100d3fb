"""The words that the compute API's policy rules share.

Names and defaults are those of nova.policies (2025.x), and the rights of the seed's five roles beside.
"""

from __future__ import annotations

from pileus.policy import Rule
from pileus.resource.access import Access

PREFIX = "os_compute_api:"
IS_ADMIN = "context_is_admin"
ADMIN = f"rule:{IS_ADMIN}"
MEMBER = "role:member and project_id:%(project_id)s"
READER = "role:reader and project_id:%(project_id)s"
MANAGER = "role:manager and project_id:%(project_id)s"


def any_of(*checks: str) -> str:
    """``or`` between checks, each in its own parentheses."""
    return " or ".join(f"({check})" for check in checks)


DEVELOPER = "role:developer and project_id:%(project_id)s"
PROJECT_MANAGER = "role:projectmanager and project_id:%(project_id)s"
ADMIN_OR_MEMBER = any_of(ADMIN, MEMBER, DEVELOPER, PROJECT_MANAGER)
ADMIN_OR_READER = any_of(ADMIN, READER, MEMBER, DEVELOPER, PROJECT_MANAGER)
ADMIN_OR_MANAGER = any_of(ADMIN, MANAGER, PROJECT_MANAGER)
ITSEC = "role:itsec"
EVERYBODY = "@"

BASE_RULES = (Rule(IS_ADMIN, "role:admin or is_admin:True", "Who administers compute"),)


def rules(checks: dict[str, str]) -> tuple[Rule, ...]:
    """Rules from names (without their prefix) and checks, for tokens of projects as all of Nova's."""
    return tuple(Rule(PREFIX + name, check, scope_types=("project",)) for name, check in checks.items())


def is_admin(access: Access) -> bool:
    """Whether the caller administers compute, for what has no rule of its own in Nova either."""
    return access.allows(IS_ADMIN)
