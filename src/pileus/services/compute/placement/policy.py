"""The words that the Placement API's policy rules share; names and defaults are placement.policies' own."""

from __future__ import annotations

from pileus.policy import Rule

PREFIX = "placement:"
ADMIN = "rule:admin_api or rule:service_api"
OWN_OR_ADMIN = f"{ADMIN} or rule:project_reader_api"

BASE_RULES = (
    Rule("admin_api", "role:admin", "Who administers resources"),
    Rule("service_api", "role:service", "Calls between services"),
    Rule(
        "project_reader_api", "role:reader and project_id:%(project_id)s", "Who reads what is the project's"
    ),
)


def rules(*names: str, check: str = ADMIN) -> tuple[Rule, ...]:
    """Rules from names without their prefix."""
    return tuple(Rule(PREFIX + name, check, scope_types=("project",)) for name in names)
