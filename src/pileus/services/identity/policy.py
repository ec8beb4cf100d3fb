"""The policy rules of identity: Keystone 30's names, defaults and scope types.

A rule that does not take the tokens of domains (``_NOT_FOR_DOMAINS``) refuses even the administrator
of a domain: what it guards belongs to the whole cloud, or is a secret of whoever owns it.
"""

from __future__ import annotations

from pileus.policy import Rule

_ADMIN = "rule:admin_required"
_SYSTEM_READER = "(role:reader and system_scope:all)"
_READ = f"{_ADMIN} or {_SYSTEM_READER}"


def _domain_reader(key: str) -> str:
    # Without a domain scope the caller's domain_id is None, which would equal that of a domain's own row.
    return f"{_ADMIN} or {_SYSTEM_READER} or (role:reader and domain_id:%({key})s and not domain_id:None)"


_IN_PROJECTS_DOMAIN = "domain_id:%(target.project.domain_id)s and not None:%(target.project.domain_id)s"
_PROJECT_READ = (
    f"{_ADMIN} or {_SYSTEM_READER} or (role:reader and {_IN_PROJECTS_DOMAIN}) "
    "or project_id:%(target.project.id)s"
)
_PROJECT_WRITE = f"{_ADMIN} or (role:manager and {_IN_PROJECTS_DOMAIN})"
_USER_WRITE = f"{_ADMIN} or (role:manager and token.domain.id:%(target.user.domain_id)s)"
_GROUP_WRITE = f"{_ADMIN} or (role:manager and domain_id:%(target.group.domain_id)s)"
_BOTH = "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s"
# Keystone's ``rule:owner``, in full: all services' rules are one set, and Neutron's ``owner`` is a project.
_OWNER = "user_id:%(user_id)s"
_OR_OWNER = f"{_ADMIN} or {_SYSTEM_READER} or {_OWNER}"
_OWN_CREDENTIAL = "user_id:%(target.credential.user_id)s"
_OWN_USER = "user_id:%(target.user.id)s"


def _within_domain(role: str) -> str:
    """Actor and target are both in the caller's domain, where he has the role."""
    pairs = [
        f"(role:{role} and domain_id:%(target.{actor}.domain_id)s and domain_id:%(target.{target})s)"
        for actor in ("user", "group")
        for target in ("project.domain_id", "domain.id")
    ]
    return f"({' or '.join(pairs)})"


_ROLE_FITS = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
_GRANT_READ = f"{_ADMIN} or {_SYSTEM_READER} or {_within_domain('reader')}"
_GRANT_CHECK = f"{_ADMIN} or {_SYSTEM_READER} or {_within_domain('reader')} and {_ROLE_FITS}"
# An inherited grant counts in the projects below, and not in the one that a project manager manages.
_GRANT_WRITE = (
    f"{_ADMIN} or {_within_domain('admin')} and {_ROLE_FITS} "
    f"or {_within_domain('manager')} and rule:domain_managed_target_role "
    "or role:projectmanager and project_id:%(target.project.id)s and 'False':%(target.grant.inherited)s "
    "and rule:project_managed_target_role "
    "and (project_domain_id:%(target.user.domain_id)s or project_domain_id:%(target.group.domain_id)s)"
)


# What tokens of any scope may ask, where their roles allow it.
_FOR_ALL = {
    "get_auth_catalog": "",
    "get_auth_projects": "",
    "get_auth_domains": "",
    "get_auth_system": "",
    "check_token": f"{_ADMIN} or {_SYSTEM_READER} or rule:token_subject",
    "validate_token": f"{_ADMIN} or {_SYSTEM_READER} or rule:service_role or rule:token_subject",
    "revoke_token": "rule:admin_required or rule:token_subject",
    "get_domain": (
        f"{_ADMIN} or {_SYSTEM_READER} or token.domain.id:%(target.domain.id)s "
        "or token.project.domain.id:%(target.domain.id)s"
    ),
    "list_domains": _domain_reader("target.domain.id"),
    "get_project": _PROJECT_READ,
    "list_projects": _domain_reader("target.domain_id"),
    "list_user_projects": f"{_domain_reader('target.user.domain_id')} or {_OWN_USER}",
    "create_project": _PROJECT_WRITE,
    "update_project": _PROJECT_WRITE,
    "delete_project": _PROJECT_WRITE,
    "list_project_tags": _PROJECT_READ,
    "get_project_tag": _PROJECT_READ,
    "update_project_tags": _PROJECT_WRITE,
    "create_project_tag": _PROJECT_WRITE,
    "delete_project_tags": _PROJECT_WRITE,
    "delete_project_tag": _PROJECT_WRITE,
    "get_user": (
        f"{_ADMIN} or {_SYSTEM_READER} or {_OWN_USER} "
        "or (role:reader and token.domain.id:%(target.user.domain_id)s)"
    ),
    "list_users": _domain_reader("target.domain_id"),
    "create_user": _USER_WRITE,
    "update_user": _USER_WRITE,
    "delete_user": _USER_WRITE,
    "get_group": _domain_reader("target.group.domain_id"),
    "list_groups": _domain_reader("target.group.domain_id"),
    "list_groups_for_user": f"{_domain_reader('target.user.domain_id')} or user_id:%(user_id)s",
    "create_group": _GROUP_WRITE,
    "update_group": _GROUP_WRITE,
    "delete_group": _GROUP_WRITE,
    "list_users_in_group": _domain_reader("target.group.domain_id"),
    "remove_user_from_group": f"{_ADMIN} or (role:manager and {_BOTH})",
    "check_user_in_group": f"{_ADMIN} or {_SYSTEM_READER} or (role:reader and {_BOTH})",
    "add_user_to_group": f"{_ADMIN} or (role:manager and {_BOTH})",
    "get_role": f"{_ADMIN} or {_SYSTEM_READER} or (role:manager and rule:domain_managed_target_role)",
    "list_roles": f"{_ADMIN} or {_SYSTEM_READER} or (role:manager and not domain_id:None)",
    "check_grant": _GRANT_CHECK,
    "list_grants": _GRANT_READ,
    "create_grant": _GRANT_WRITE,
    "revoke_grant": _GRANT_WRITE,
    "get_credential": f"{_ADMIN} or {_SYSTEM_READER} or {_OWN_CREDENTIAL}",
    "list_credentials": f"{_ADMIN} or {_SYSTEM_READER} or {_OWN_CREDENTIAL}",
    "create_credential": f"{_ADMIN} or {_OWN_CREDENTIAL}",
    "update_credential": f"{_ADMIN} or {_OWN_CREDENTIAL}",
    "delete_credential": f"{_ADMIN} or {_OWN_CREDENTIAL}",
    "ec2tokens_validate": "rule:service_or_admin",
    "list_role_assignments": _domain_reader("target.domain_id"),
    "list_role_assignments_for_tree": _domain_reader("target.domain_id"),
    "get_region": "",
    "list_regions": "",
}

# What tokens of domains may not ask.
_NOT_FOR_DOMAINS = {
    "create_domain": _ADMIN,
    "update_domain": _ADMIN,
    "delete_domain": _ADMIN,
    "create_role": _ADMIN,
    "update_role": _ADMIN,
    "delete_role": _ADMIN,
    "get_domain_role": _READ,
    "list_domain_roles": _READ,
    "create_domain_role": _ADMIN,
    "update_domain_role": _ADMIN,
    "delete_domain_role": _ADMIN,
    "get_implied_role": _READ,
    "list_implied_roles": _READ,
    "list_role_inference_rules": _READ,
    "check_implied_role": _READ,
    "create_implied_role": _ADMIN,
    "delete_implied_role": _ADMIN,
    "list_system_grants_for_user": _READ,
    "check_system_grant_for_user": _READ,
    "create_system_grant_for_user": _ADMIN,
    "revoke_system_grant_for_user": _ADMIN,
    "list_system_grants_for_group": _READ,
    "check_system_grant_for_group": _READ,
    "create_system_grant_for_group": _ADMIN,
    "revoke_system_grant_for_group": _ADMIN,
    "get_application_credential": _OR_OWNER,
    "list_application_credentials": _OR_OWNER,
    "delete_application_credential": f"{_ADMIN} or {_OWNER}",
    "ec2_get_credential": f"{_ADMIN} or {_SYSTEM_READER} or {_OWN_CREDENTIAL}",
    "ec2_list_credentials": _OR_OWNER,
    "ec2_create_credential": f"{_ADMIN} or (role:member and {_OWN_CREDENTIAL})",
    "ec2_delete_credential": f"{_ADMIN} or (role:member and {_OWN_CREDENTIAL})",
    "create_region": _ADMIN,
    "update_region": _ADMIN,
    "delete_region": _ADMIN,
    "get_service": _READ,
    "list_services": _READ,
    "create_service": _ADMIN,
    "update_service": _ADMIN,
    "delete_service": _ADMIN,
    "get_endpoint": _READ,
    "list_endpoints": _READ,
    "create_endpoint": _ADMIN,
    "update_endpoint": _ADMIN,
    "delete_endpoint": _ADMIN,
}

# What only tokens of projects may ask.
_FOR_PROJECTS = {
    "create_application_credential": f"{_OWNER} and not project_id:None",
}


def _rules(texts: dict[str, str], *scope_types: str) -> list[Rule]:
    return [Rule(f"identity:{name}", text, scope_types=scope_types) for name, text in texts.items()]


RULES: tuple[Rule, ...] = (
    Rule("admin_required", "role:admin or is_admin:1"),
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
    *_rules(_FOR_ALL, "system", "domain", "project"),
    *_rules(_NOT_FOR_DOMAINS, "system", "project"),
    *_rules(_FOR_PROJECTS, "project"),
)
