"""The words that the network API's policy rules share, with their modern defaults.

Names and defaults are those of neutron.conf.policies (2025.x): administrators, then the
project's readers, members and managers, then owners of the network or group concerned.
"""

from __future__ import annotations

from pileus.policy import Rule

ADMIN = "rule:admin_only"
SERVICE = "rule:service_api"
PROJECT_MANAGER = "role:manager and project_id:%(project_id)s"
PROJECT_MEMBER = "role:member and project_id:%(project_id)s"
PROJECT_READER = "role:reader and project_id:%(project_id)s"
NET_OWNER_MANAGER = "role:manager and rule:network_owner"
NET_OWNER_MEMBER = "role:member and rule:network_owner"
NET_OWNER_READER = "role:reader and rule:network_owner"
SG_OWNER_MEMBER = "role:member and rule:sg_owner"
SG_OWNER_NETADMIN = "role:netadmin and rule:sg_owner"
SG_OWNER_READER = "role:reader and rule:sg_owner"
PARENT_OWNER_MANAGER = "role:manager and rule:ext_parent_owner"
PARENT_OWNER_READER = "role:reader and rule:ext_parent_owner"


def any_of(*checks: str) -> str:
    """``or`` between checks, each in its own parentheses."""
    return " or ".join(f"({check})" for check in checks)


ADMIN_OR_MANAGER = any_of(ADMIN, PROJECT_MANAGER)
ADMIN_OR_MEMBER = any_of(ADMIN, PROJECT_MEMBER)
NETADMIN = "role:netadmin and project_id:%(project_id)s"
"""Seed 001's network administrator of a project: addresses and firewall rules are his, servers are not."""
ADMIN_MEMBER_OR_NETADMIN = any_of(ADMIN, PROJECT_MEMBER, NETADMIN)
ADMIN_OR_READER = any_of(ADMIN, PROJECT_READER)
ADMIN_OR_SERVICE = any_of(ADMIN, SERVICE)

BASE_RULES = (
    Rule("context_is_admin", "role:admin", "Who administers the cloud"),
    Rule("service_api", "role:service", "Calls between services"),
    Rule("owner", "project_id:%(project_id)s", "The owner of the resource"),
    Rule("admin_or_owner", any_of("rule:context_is_admin", "rule:owner")),
    Rule("admin_only", "rule:context_is_admin"),
    Rule("regular_user", ""),
    Rule("shared", "field:networks:shared=True", "A network that all projects may use"),
    Rule("external", "field:networks:router:external=True", "A network that leads outside"),
    Rule(
        "external_network", "field:subnets:router:external=True", "A subnet of a network that leads outside"
    ),
    Rule("network_owner", "project_id:%(network:project_id)s", "The owner of the network concerned"),
    Rule("admin_or_network_owner", any_of("rule:context_is_admin", "rule:network_owner")),
    Rule("admin_owner_or_network_owner", any_of("rule:owner", "rule:admin_or_network_owner")),
    Rule("network_device", "field:port:device_owner=~^network:", "A port of a network's own services"),
    Rule("context_is_advsvc", "role:advsvc", "Services that act for projects, in the words of old rules"),
    Rule("admin_or_ext_parent_owner", any_of("rule:context_is_admin", "rule:ext_parent_owner")),
    Rule("admin_or_sg_owner", any_of("rule:context_is_admin", "rule:sg_owner")),
    Rule("admin_owner_or_sg_owner", any_of("rule:owner", "rule:admin_or_sg_owner")),
    Rule("sg_owner", "project_id:%(security_group:project_id)s", "The owner of the rule's group"),
    Rule("shared_security_group", "field:security_groups:shared=True"),
    Rule("rule_default_sg", "field:security_group_rules:belongs_to_default_sg=True"),
    Rule("shared_address_groups", "field:address_groups:shared=True"),
    Rule("ext_parent_owner", "project_id:%(ext_parent:project_id)s", "The owner of what this belongs to"),
    Rule("shared_qos_policy", "field:policies:shared=True"),
    Rule("default", "rule:admin_or_owner"),
)


TAG_VERBS = ("create", "update", "delete")

CALLER_RULES = {"is_admin": "context_is_admin", "is_service": "service_api"}
"""Fields of the caller's context that are the policy's answers, for units of work."""


def tag_rules(name: str) -> tuple[Rule, ...]:
    """Neutron's rules about the tags of a resource: who may read it, or change it, unless said otherwise."""
    return rules(
        {
            f"get_{name}:tags": f"rule:get_{name}",
            **{f"{verb}_{name}:tags": f"rule:update_{name}" for verb in TAG_VERBS},
        }
    )


def tag_rule_names(name: str) -> dict[str, str]:
    """The rules of :func:`tag_rules` by what is done."""
    return {verb: f"{verb}_{name}:tags" for verb in ("get", *TAG_VERBS)}


def rules(checks: dict[str, str]) -> tuple[Rule, ...]:
    """Rules from names and checks, for tokens of projects as all of Neutron's."""
    return tuple(Rule(name, check, scope_types=("project",)) for name, check in checks.items())
