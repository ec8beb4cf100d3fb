"""Words of identity's policy, for the rules of its nouns: Keystone 30's names, defaults and scope types.

A rule that does not take the tokens of domains (NOT_DOMAINS) refuses even the administrator of a domain:
what it guards belongs to the whole cloud, or is a secret of its owner.
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.policy import Rule

ADMIN = "rule:admin_required"
SYSTEM_READER = "(role:reader and system_scope:all)"
READ = f"{ADMIN} or {SYSTEM_READER}"
OWNER = "rule:owner"
OWNER_OR_READ = f"{READ} or {OWNER}"

ALL_SCOPES = ("system", "domain", "project")
NOT_DOMAINS = ("system", "project")

BASE_RULES = (
    Rule("admin_required", "role:admin or is_admin:1", "Who administers the cloud"),
    Rule("owner", "user_id:%(user_id)s", "Whose it is"),
    Rule("admin_or_owner", "rule:admin_required or rule:owner"),
    Rule("service_role", "role:service"),
    Rule("service_or_admin", "rule:admin_required or rule:service_role"),
    Rule("token_subject", "user_id:%(target.token.user_id)s"),
    Rule("admin_or_token_subject", "rule:admin_required or rule:token_subject"),
    Rule("service_admin_or_token_subject", "rule:service_or_admin or rule:token_subject"),
    Rule(
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
        "The roles that a manager of a domain may grant in it",
    ),
    Rule(
        "project_managed_target_role",
        " or ".join(
            f"'{name}':%(target.role.name)s" for name in ("member", "reader", "developer", "netadmin")
        ),
        "The roles that a project manager may grant in his project, to users of its domain",
    ),
)


def domain_reader(key: str) -> str:
    """The check of readers of the whole cloud, and of the domain that the target's ``key`` names."""
    # Without a domain scope the caller's domain_id is None, which would equal that of a domain's own row.
    return f"{READ} or (role:reader and domain_id:%({key})s and not domain_id:None)"


def rules(texts: Mapping[str, str], scope_types: tuple[str, ...] = ALL_SCOPES) -> tuple[Rule, ...]:
    """Rules by their names without ``identity:``."""
    return tuple(Rule(f"identity:{name}", text, scope_types=scope_types) for name, text in texts.items())
