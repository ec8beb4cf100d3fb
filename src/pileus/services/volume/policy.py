"""The words that the volume API's policy rules share.

Names and defaults are those of cinder.policies (2025.x), and the rights of the seed's five roles beside.
"""

from __future__ import annotations

from pileus.policy import Rule
from pileus.resource.access import Access

IS_ADMIN = "context_is_admin"
ADMIN = f"rule:{IS_ADMIN}"
MEMBER = "rule:system_admin_or_project_member"
"""Whoever uses what is the project's, and administrators."""
READER = "rule:system_or_domain_or_project_reader"
"""Whoever reads what is the project's, and administrators."""
EVERYBODY = "@"

_OWN = "project_id:%(project_id)s"

BASE_RULES = (
    Rule(IS_ADMIN, "role:admin or is_admin:True", "Who administers volumes"),
    Rule("admin_api", f"rule:{IS_ADMIN}", "The administrator, in the words of old rules"),
    Rule("admin_or_owner", f"rule:{IS_ADMIN} or {_OWN}"),
    Rule(
        "system_admin_or_project_member",
        f"rule:{IS_ADMIN} or (role:member and {_OWN}) or (role:developer and {_OWN}) "
        f"or (role:projectmanager and {_OWN})",
        "Who uses what is the project's",
    ),
    Rule(
        "system_or_domain_or_project_reader",
        f"rule:{IS_ADMIN} or (role:reader and {_OWN}) or rule:system_admin_or_project_member",
        "Who reads what is the project's",
    ),
)


def rules(checks: dict[str, str]) -> tuple[Rule, ...]:
    """Rules from names and checks."""
    return tuple(Rule(name, check) for name, check in checks.items())


def is_admin(access: Access) -> bool:
    """Whether the caller administers volumes, for what has no rule of its own in Cinder either."""
    return access.allows(IS_ADMIN)
