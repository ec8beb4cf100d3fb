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
# Nova's words come first, so that an operator who says anew what they mean says it for all rules.
ADMIN_OR_MEMBER = any_of("rule:project_member_or_admin", DEVELOPER, PROJECT_MANAGER)
ADMIN_OR_READER = any_of("rule:project_reader_or_admin", MEMBER, DEVELOPER, PROJECT_MANAGER)
ADMIN_OR_MANAGER = any_of("rule:project_manager_or_admin", PROJECT_MANAGER)
ITSEC = "role:itsec"
EVERYBODY = "@"

BASE_RULES = (
    Rule(IS_ADMIN, "role:admin or is_admin:True", "Who administers compute"),
    Rule("admin_api", "is_admin:True", "The administrator, in the words of old rules"),
    Rule("admin_or_owner", "is_admin:True or project_id:%(project_id)s"),
    Rule("project_reader_api", READER, "Who reads what is the project's"),
    Rule("project_member_api", MEMBER, "Who uses what is the project's"),
    Rule("project_manager_api", MANAGER, "Who manages what is the project's"),
    Rule("project_reader_or_admin", f"rule:project_reader_api or {ADMIN}"),
    Rule("project_member_or_admin", f"rule:project_member_api or {ADMIN}"),
    Rule("project_manager_or_admin", f"rule:project_manager_api or {ADMIN}"),
    Rule("service_api", "role:service", "Calls between services"),
    Rule("service_or_admin", f"rule:service_api or {ADMIN}"),
)


ATTACH_EXTERNAL = Rule("network:attach_external_network", ADMIN, scope_types=("project",))
"""Who may put a server on another project's network that leads outside."""


def rules(checks: dict[str, str]) -> tuple[Rule, ...]:
    """Rules from names (without their prefix) and checks, for tokens of projects as all of Nova's."""
    return tuple(Rule(PREFIX + name, check, scope_types=("project",)) for name, check in checks.items())


def is_admin(access: Access) -> bool:
    """Whether the caller administers compute, for what has no rule of its own in Nova either."""
    return access.allows(IS_ADMIN)
