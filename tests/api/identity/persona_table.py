"""Who may do what in identity, written down from Keystone 30's policies (``keystone/common/policies``).

A row is an operation on something in the caller's own domain, in another one, or on something that does not
exist: the status of success, and who has it. Everybody else is refused with 403 and a caller without a
token with 401, unless the row says otherwise.

Personas are two letters: scope (system, domain, project) and role (admin, manager, member, reader). The
system knows no manager. All of them live in one domain, and the projects' personas in one project of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

PERSONAS = ("SA", "SM", "SR", "DA", "DG", "DM", "DR", "PA", "PG", "PM", "PR")
"""A admin, G manager, M member, R reader."""

ADMINS = "SA DA PA"
CLOUD = "SA PA"
SYSTEM = "SA SM SR"
DOMAIN = "DA DG DM DR"
ALL = " ".join(PERSONAS)
SEES_DOMAIN = f"{SYSTEM} {DOMAIN} PA"
SEES_ALL = f"{ADMINS} {SYSTEM}"
SEES_CLOUD = f"{CLOUD} {SYSTEM}"
RUNS_DOMAIN = f"{ADMINS} DG"


class Row(NamedTuple):
    """``names`` in braces are made before: ``{own.user}`` is a user of the personas' domain, ``{other.user}``
    of another one, ``{me}`` the caller. ``otherwise`` is the status of those who may not."""

    rule: str
    call: str
    status: int
    who: str
    body: Any = None
    otherwise: int = 403


def _missing_first(rule: str, call: str, body: Any = None) -> Row:
    """Looked up before the policy is asked: 404 for everybody."""
    return Row(rule, call, 404, ALL, body)


_X = {"name": "{new}"}
_D = {"description": "changed"}

_RULE = {"local": [{"user": {"name": "{{0}}"}}], "remote": [{"type": "UserName"}]}
_SP = {"auth_url": "https://sp.example", "sp_url": "https://sp.example"}
_FEDERATED = (
    ("identity_provider", "identity_providers", "identity_providers", {"remote_ids": []}),
    ("mapping", "mappings", "mappings", {"rules": [_RULE]}),
    ("service_provider", "service_providers", "service_providers", _SP),
    ("protocol", "protocols", "identity_providers/none/protocols", {"mapping_id": "none"}),
)
_FEDERATION = tuple(
    row
    for kind, kinds, path, body in _FEDERATED
    for row in (
        Row(f"list_{kinds}", f"GET /v3/OS-FEDERATION/{path}", 200, SEES_CLOUD),
        Row(f"get_{kind}", f"GET /v3/OS-FEDERATION/{path}/none", 404, SEES_CLOUD),
        Row(
            f"create_{kind}",
            f"PUT /v3/OS-FEDERATION/{path}/{{new}}",
            404 if kind == "protocol" else 201,
            CLOUD,
            {kind: body},
        ),
        Row(f"update_{kind}", f"PATCH /v3/OS-FEDERATION/{path}/none", 404, CLOUD, {kind: body}),
        Row(f"delete_{kind}", f"DELETE /v3/OS-FEDERATION/{path}/none", 404, CLOUD),
    )
)

ROWS = (
    # users
    Row("list_users", "GET /v3/users", 200, SEES_DOMAIN),
    Row("get_user", "GET /v3/users/{own.user}", 200, SEES_DOMAIN),
    Row("get_user", "GET /v3/users/{other.user}", 200, SEES_ALL),
    Row("get_user", "GET /v3/users/none", 404, SEES_ALL),
    Row("get_user", "GET /v3/users/{me}", 200, ALL),
    Row("create_user", "POST /v3/users", 201, ADMINS, {"user": _X}),
    Row("create_user", "POST /v3/users", 201, RUNS_DOMAIN, {"user": {**_X, "domain_id": "{own}"}}),
    Row("create_user", "POST /v3/users", 201, ADMINS, {"user": {**_X, "domain_id": "{other}"}}),
    Row("update_user", "PATCH /v3/users/{own.user}", 200, RUNS_DOMAIN, {"user": _D}),
    Row("update_user", "PATCH /v3/users/{other.user}", 200, ADMINS, {"user": _D}),
    Row("update_user", "PATCH /v3/users/none", 404, ADMINS, {"user": _D}),
    Row("update_user", "PATCH /v3/users/{me}", 200, RUNS_DOMAIN, {"user": _D}),
    Row("delete_user", "DELETE /v3/users/{own.user}", 204, RUNS_DOMAIN),
    Row("delete_user", "DELETE /v3/users/{other.user}", 204, ADMINS),
    Row("delete_user", "DELETE /v3/users/none", 404, ADMINS),
    Row("list_user_projects", "GET /v3/users/{own.user}/projects", 200, SEES_DOMAIN),
    Row("list_user_projects", "GET /v3/users/{other.user}/projects", 200, SEES_ALL),
    Row("list_user_projects", "GET /v3/users/{me}/projects", 200, ALL),
    Row("list_groups_for_user", "GET /v3/users/{own.user}/groups", 200, SEES_DOMAIN),
    Row("list_groups_for_user", "GET /v3/users/{other.user}/groups", 200, SEES_ALL),
    Row("list_groups_for_user", "GET /v3/users/{me}/groups", 200, ALL),
    Row(
        "import_password_hash", "PUT /v3/users/{own.user}/password_hash", 400, ADMINS, {"password_hash": "x"}
    ),
    *_FEDERATION,
    Row("import_password_hash", "PUT /v3/users/none/password_hash", 404, ADMINS, {"password_hash": "x"}),
    Row(
        "get_security_compliance_domain_config",
        "GET /v3/domains/default/config/security_compliance",
        200,
        ALL,
    ),
    Row("get_security_compliance_domain_config", "GET /v3/domains/{own}/config/security_compliance", 403, ""),
    # groups
    Row("list_groups", "GET /v3/groups", 200, SEES_DOMAIN),
    Row("get_group", "GET /v3/groups/{own.group}", 200, SEES_DOMAIN),
    Row("get_group", "GET /v3/groups/{other.group}", 200, SEES_ALL),
    Row("get_group", "GET /v3/groups/none", 404, SEES_ALL),
    Row("create_group", "POST /v3/groups", 201, ADMINS, {"group": _X}),
    Row("create_group", "POST /v3/groups", 201, RUNS_DOMAIN, {"group": {**_X, "domain_id": "{own}"}}),
    Row("create_group", "POST /v3/groups", 201, ADMINS, {"group": {**_X, "domain_id": "{other}"}}),
    Row("update_group", "PATCH /v3/groups/{own.group}", 200, RUNS_DOMAIN, {"group": _D}),
    Row("update_group", "PATCH /v3/groups/{other.group}", 200, ADMINS, {"group": _D}),
    Row("update_group", "PATCH /v3/groups/none", 404, ADMINS, {"group": _D}),
    Row("delete_group", "DELETE /v3/groups/{own.group}", 204, RUNS_DOMAIN),
    Row("delete_group", "DELETE /v3/groups/{other.group}", 204, ADMINS),
    _missing_first("delete_group", "DELETE /v3/groups/none"),
    Row("list_users_in_group", "GET /v3/groups/{own.group}/users", 200, SEES_DOMAIN),
    Row("list_users_in_group", "GET /v3/groups/{other.group}/users", 200, SEES_ALL),
    Row("list_users_in_group", "GET /v3/groups/none/users", 404, SEES_ALL),
    Row("add_user_to_group", "PUT /v3/groups/{own.group}/users/{own.user}", 204, RUNS_DOMAIN),
    Row("add_user_to_group", "PUT /v3/groups/{own.group}/users/{other.user}", 204, ADMINS),
    Row("add_user_to_group", "PUT /v3/groups/{other.group}/users/{own.user}", 204, ADMINS),
    Row("add_user_to_group", "PUT /v3/groups/none/users/none", 404, ADMINS),
    Row("check_user_in_group", "HEAD /v3/groups/{own.group}/users/{own.user}", 404, SEES_DOMAIN),
    Row("check_user_in_group", "HEAD /v3/groups/{other.group}/users/{own.user}", 404, SEES_ALL),
    Row("check_user_in_group", "HEAD /v3/groups/none/users/none", 404, SEES_ALL),
    Row("remove_user_from_group", "DELETE /v3/groups/{own.group}/users/{own.user}", 404, RUNS_DOMAIN),
    Row("remove_user_from_group", "DELETE /v3/groups/{other.group}/users/{own.user}", 404, ADMINS),
    Row("remove_user_from_group", "DELETE /v3/groups/none/users/none", 404, ADMINS),
    # projects
    Row("list_projects", "GET /v3/projects", 200, SEES_DOMAIN),
    Row("get_project", "GET /v3/projects/{own.project}", 200, SEES_DOMAIN),
    Row("get_project", "GET /v3/projects/{other.project}", 200, SEES_ALL),
    Row("get_project", "GET /v3/projects/{home}", 200, ALL),
    Row("get_project", "GET /v3/projects/none", 404, SEES_ALL),
    Row("create_project", "POST /v3/projects", 201, ADMINS, {"project": _X}),
    Row("create_project", "POST /v3/projects", 201, RUNS_DOMAIN, {"project": {**_X, "domain_id": "{own}"}}),
    Row("create_project", "POST /v3/projects", 201, ADMINS, {"project": {**_X, "domain_id": "{other}"}}),
    Row("create_domain", "POST /v3/projects", 201, CLOUD, {"project": {**_X, "is_domain": True}}),
    Row(
        "create_domain",
        "POST /v3/projects",
        201,
        CLOUD,
        {"project": {**_X, "is_domain": True, "domain_id": "{own}"}},
    ),
    Row("update_project", "PATCH /v3/projects/{own.project}", 200, RUNS_DOMAIN, {"project": _D}),
    Row("update_project", "PATCH /v3/projects/{other.project}", 200, ADMINS, {"project": _D}),
    Row("update_project", "PATCH /v3/projects/none", 404, ADMINS, {"project": _D}),
    Row("update_project", "PATCH /v3/projects/none", 404, ADMINS, {"project": {}}),
    Row("update_project", "PATCH /v3/projects/{own.project}", 200, RUNS_DOMAIN, {"project": {}}),
    Row("update_domain", "PATCH /v3/projects/{own}", 200, CLOUD, {"project": _D}),
    Row("update_domain", "PATCH /v3/projects/{domain}", 200, CLOUD, {"project": {"enabled": False}}),
    Row("delete_project", "DELETE /v3/projects/{own.project}", 204, RUNS_DOMAIN),
    Row("delete_project", "DELETE /v3/projects/{other.project}", 204, ADMINS),
    Row("delete_project", "DELETE /v3/projects/none", 404, ADMINS),
    Row("delete_domain", "DELETE /v3/projects/{domain}", 400, CLOUD),
    Row("list_project_tags", "GET /v3/projects/{own.project}/tags", 200, SEES_DOMAIN),
    Row("list_project_tags", "GET /v3/projects/{other.project}/tags", 200, SEES_ALL),
    Row("list_project_tags", "GET /v3/projects/{home}/tags", 200, ALL),
    Row("get_project_tag", "GET /v3/projects/{own.project}/tags/t", 404, SEES_DOMAIN),
    Row("get_project_tag", "GET /v3/projects/{other.project}/tags/t", 404, SEES_ALL),
    Row("update_project_tags", "PUT /v3/projects/{own.project}/tags", 200, RUNS_DOMAIN, {"tags": ["t"]}),
    Row("update_project_tags", "PUT /v3/projects/{other.project}/tags", 200, ADMINS, {"tags": ["t"]}),
    Row("update_project_tags", "PUT /v3/projects/{own}/tags", 200, CLOUD, {"tags": ["t"]}),
    Row("create_project_tag", "PUT /v3/projects/{own.project}/tags/t", 201, RUNS_DOMAIN),
    Row("create_project_tag", "PUT /v3/projects/{other.project}/tags/t", 201, ADMINS),
    Row("create_project_tag", "PUT /v3/projects/{own}/tags/u", 201, CLOUD),
    Row("delete_project_tags", "DELETE /v3/projects/{own.project}/tags", 204, RUNS_DOMAIN),
    Row("delete_project_tags", "DELETE /v3/projects/{other.project}/tags", 204, ADMINS),
    Row("delete_project_tag", "DELETE /v3/projects/{own.project}/tags/t", 404, RUNS_DOMAIN),
    Row("delete_project_tag", "DELETE /v3/projects/{other.project}/tags/t", 404, ADMINS),
    # domains
    Row("list_domains", "GET /v3/domains", 200, SEES_DOMAIN),
    Row("get_domain", "GET /v3/domains/{own}", 200, ALL),
    Row("get_domain", "GET /v3/domains/{other}", 200, SEES_ALL),
    Row("get_domain", "GET /v3/domains/none", 404, SEES_ALL),
    Row("create_domain", "POST /v3/domains", 201, CLOUD, {"domain": _X}),
    Row("update_domain", "PATCH /v3/domains/{own}", 200, CLOUD, {"domain": _D}),
    Row("update_domain", "PATCH /v3/domains/{other}", 200, CLOUD, {"domain": _D}),
    _missing_first("update_domain", "PATCH /v3/domains/none", {"domain": _D}),
    Row("delete_domain", "DELETE /v3/domains/{domain}", 403, ALL),  # it is enabled
    _missing_first("delete_domain", "DELETE /v3/domains/none"),
    # roles
    Row("list_roles", "GET /v3/roles", 200, f"{SEES_ALL} DG"),
    Row("get_role", "GET /v3/roles/{member}", 200, f"{SEES_ALL} DG PG"),
    Row("get_role", "GET /v3/roles/{role}", 200, SEES_ALL),
    _missing_first("get_role", "GET /v3/roles/none"),
    Row("create_role", "POST /v3/roles", 201, CLOUD, {"role": _X}),
    Row("update_role", "PATCH /v3/roles/{role}", 200, CLOUD, {"role": _D}),
    _missing_first("update_role", "PATCH /v3/roles/none", {"role": _D}),
    Row("delete_role", "DELETE /v3/roles/{role}", 204, CLOUD),
    _missing_first("delete_role", "DELETE /v3/roles/none"),
    Row("list_domain_roles", "GET /v3/roles?domain_id={own}", 200, SEES_CLOUD),
    Row("get_domain_role", "GET /v3/roles/{own.role}", 200, SEES_CLOUD),
    Row("create_domain_role", "POST /v3/roles", 201, CLOUD, {"role": {**_X, "domain_id": "{own}"}}),
    Row("update_domain_role", "PATCH /v3/roles/{own.role}", 200, CLOUD, {"role": _D}),
    Row("delete_domain_role", "DELETE /v3/roles/{own.role}", 204, CLOUD),
    Row("list_implied_roles", "GET /v3/roles/{role}/implies", 200, SEES_CLOUD),
    _missing_first("list_implied_roles", "GET /v3/roles/none/implies"),
    Row("list_role_inference_rules", "GET /v3/role_inferences", 200, SEES_CLOUD),
    Row("create_implied_role", "PUT /v3/roles/{role}/implies/{member}", 201, CLOUD),
    _missing_first("create_implied_role", "PUT /v3/roles/none/implies/none"),
    Row("get_implied_role", "GET /v3/roles/{member}/implies/{reader}", 200, SEES_CLOUD),
    Row("check_implied_role", "HEAD /v3/roles/{member}/implies/{reader}", 204, SEES_CLOUD),
    Row("delete_implied_role", "DELETE /v3/roles/{role}/implies/{member}", 404, CLOUD),
    # grants
    Row("list_grants", "GET /v3/projects/{own.project}/users/{own.user}/roles", 200, SEES_DOMAIN),
    Row("list_grants", "GET /v3/projects/{other.project}/users/{own.user}/roles", 200, SEES_ALL),
    Row("list_grants", "GET /v3/domains/{own}/groups/{own.group}/roles", 200, SEES_DOMAIN),
    Row("list_grants", "GET /v3/domains/{own}/groups/{other.group}/roles", 200, SEES_ALL),
    Row("check_grant", "HEAD /v3/projects/{own.project}/users/{own.user}/roles/{member}", 404, SEES_DOMAIN),
    Row("check_grant", "HEAD /v3/projects/{own.project}/users/{own.user}/roles/{own.role}", 404, SEES_DOMAIN),
    Row("check_grant", "HEAD /v3/projects/{own.project}/users/{own.user}/roles/{other.role}", 404, SEES_ALL),
    Row("check_grant", "HEAD /v3/domains/{other}/groups/{own.group}/roles/{member}", 404, SEES_ALL),
    Row("create_grant", "PUT /v3/projects/{own.project}/users/{own.user}/roles/{member}", 204, RUNS_DOMAIN),
    Row("create_grant", "PUT /v3/projects/{own.project}/users/{own.user}/roles/{admin}", 204, ADMINS),
    Row("create_grant", "PUT /v3/projects/{own.project}/users/{own.user}/roles/{role}", 204, ADMINS),
    Row("create_grant", "PUT /v3/domains/{own}/groups/{own.group}/roles/{reader}", 204, RUNS_DOMAIN),
    Row("create_grant", "PUT /v3/domains/{own}/groups/{own.group}/roles/{admin}", 204, ADMINS),
    Row("create_grant", "PUT /v3/domains/{other}/users/{own.user}/roles/{member}", 204, ADMINS),
    Row("create_grant", "PUT /v3/projects/{own.project}/users/{other.user}/roles/{member}", 204, ADMINS),
    _missing_first("create_grant", "PUT /v3/projects/{own.project}/users/none/roles/{member}"),
    Row(
        "revoke_grant", "DELETE /v3/projects/{own.project}/users/{own.user}/roles/{member}", 404, RUNS_DOMAIN
    ),
    Row("revoke_grant", "DELETE /v3/projects/{other.project}/users/{own.user}/roles/{member}", 404, ADMINS),
    Row("revoke_grant", "DELETE /v3/projects/{own.project}/users/none/roles/{member}", 404, ADMINS),
    Row(
        "create_grant",
        "PUT /v3/OS-INHERIT/domains/{own}/users/{own.user}/roles/{admin}/inherited_to_projects",
        204,
        ADMINS,
    ),
    *(
        row
        for kind in ("user", "group")
        for row in (
            Row(
                f"list_system_grants_for_{kind}",
                f"GET /v3/system/{kind}s/{{own.{kind}}}/roles",
                200,
                SEES_CLOUD,
            ),
            Row(
                f"check_system_grant_for_{kind}",
                f"HEAD /v3/system/{kind}s/{{own.{kind}}}/roles/{{member}}",
                404,
                SEES_CLOUD,
            ),
            Row(
                f"create_system_grant_for_{kind}",
                f"PUT /v3/system/{kind}s/{{own.{kind}}}/roles/{{member}}",
                204,
                CLOUD,
            ),
            Row(
                f"revoke_system_grant_for_{kind}",
                f"DELETE /v3/system/{kind}s/{{own.{kind}}}/roles/{{member}}",
                404,
                CLOUD,
            ),
        )
    ),
    Row("list_role_assignments", "GET /v3/role_assignments", 200, SEES_DOMAIN),
    Row(
        "list_role_assignments_for_tree",
        "GET /v3/role_assignments?scope.project.id={own.project}&include_subtree",
        200,
        SEES_DOMAIN,
    ),
    Row(
        "list_role_assignments_for_tree",
        "GET /v3/role_assignments?scope.project.id={other.project}&include_subtree",
        200,
        SEES_ALL,
    ),
    _missing_first(
        "list_role_assignments_for_tree", "GET /v3/role_assignments?scope.project.id=none&include_subtree"
    ),
    # secrets
    Row(
        "list_application_credentials",
        "GET /v3/users/{me}/application_credentials",
        200,
        f"{SYSTEM} PA PG PM PR",
    ),
    Row("list_application_credentials", "GET /v3/users/{own.user}/application_credentials", 200, SEES_CLOUD),
    Row(
        "get_application_credential",
        "GET /v3/users/{own.owner}/application_credentials/{own.app}",
        200,
        SEES_CLOUD,
    ),
    Row(
        "get_application_credential",
        "GET /v3/users/{other.owner}/application_credentials/{other.app}",
        200,
        SEES_CLOUD,
    ),
    Row(
        "get_application_credential", "GET /v3/users/{me}/application_credentials/{own.app}", 200, SEES_CLOUD
    ),
    Row(
        "get_application_credential", "GET /v3/users/{own.user}/application_credentials/none", 404, SEES_CLOUD
    ),
    Row(
        "create_application_credential",
        "POST /v3/users/{me}/application_credentials",
        201,
        "PA PG PM PR",
        {"application_credential": _X},
    ),
    Row(
        "create_application_credential",
        "POST /v3/users/{own.user}/application_credentials",
        201,
        "",
        {"application_credential": _X},
    ),
    Row(
        "delete_application_credential", "DELETE /v3/users/{me}/application_credentials/{own.app}", 204, CLOUD
    ),
    Row(
        "delete_application_credential",
        "DELETE /v3/users/{other.owner}/application_credentials/{other.app}",
        204,
        CLOUD,
    ),
    Row("ec2_list_credentials", "GET /v3/users/{me}/credentials/OS-EC2", 200, f"{SYSTEM} PA PG PM PR"),
    Row("ec2_list_credentials", "GET /v3/users/{own.owner}/credentials/OS-EC2", 200, SEES_CLOUD),
    Row("ec2_get_credential", "GET /v3/users/{own.owner}/credentials/OS-EC2/{own.keys}", 200, SEES_CLOUD),
    Row("ec2_get_credential", "GET /v3/users/{other.owner}/credentials/OS-EC2/{other.keys}", 200, SEES_CLOUD),
    Row("ec2_get_credential", "GET /v3/users/{me}/credentials/OS-EC2/{other.keys}", 200, SEES_CLOUD),
    _missing_first("ec2_get_credential", "GET /v3/users/{own.owner}/credentials/OS-EC2/none"),
    Row(
        "ec2_create_credential",
        "POST /v3/users/{me}/credentials/OS-EC2",
        201,
        "SA SM PA PG PM",
        {"tenant_id": "{home}"},
    ),
    Row(
        "ec2_create_credential",
        "POST /v3/users/{own.owner}/credentials/OS-EC2",
        201,
        CLOUD,
        {"tenant_id": "{home}"},
    ),
    Row("ec2_delete_credential", "DELETE /v3/users/{own.owner}/credentials/OS-EC2/{own.keys}", 204, CLOUD),
    Row("ec2_delete_credential", "DELETE /v3/users/{me}/credentials/OS-EC2/{other.keys}", 204, CLOUD),
    Row("list_credentials", "GET /v3/credentials", 200, ALL),
    Row("get_credential", "GET /v3/credentials/{own.credential}", 200, SEES_ALL),
    Row("get_credential", "GET /v3/credentials/{other.credential}", 200, SEES_ALL),
    Row("get_credential", "GET /v3/credentials/none", 404, SEES_ALL),
    # EC2 keys by their other path: the tokens of domains see none but their owner's
    Row("get_credential", "GET /v3/credentials/{own.keys_id}", 200, SEES_CLOUD),
    Row("get_credential", "GET /v3/credentials/{other.keys_id}", 200, SEES_CLOUD),
    Row(
        "update_credential",
        "PATCH /v3/credentials/{other.keys_id}",
        200,
        CLOUD,
        {"credential": {"colour": "red"}},
    ),
    Row("delete_credential", "DELETE /v3/credentials/{other.keys_id}", 204, CLOUD),
    Row(
        "create_credential",
        "POST /v3/credentials",
        201,
        ALL,
        {"credential": {"type": "cert", "blob": "x", "user_id": "{me}"}},
    ),
    Row(
        "create_credential",
        "POST /v3/credentials",
        201,
        ADMINS,
        {"credential": {"type": "cert", "blob": "x", "user_id": "{other.user}"}},
    ),
    Row(
        "create_credential",
        "POST /v3/credentials",
        201,
        CLOUD,
        {
            "credential": {
                "type": "ec2",
                "blob": '{"access": "{new}", "secret": "s"}',
                "user_id": "{other.user}",
                "project_id": "{home}",
            }
        },
    ),
    Row(
        "update_credential",
        "PATCH /v3/credentials/{other.credential}",
        200,
        ADMINS,
        {"credential": {"blob": "y"}},
    ),
    Row("update_credential", "PATCH /v3/credentials/none", 404, ADMINS, {"credential": {"blob": "y"}}),
    Row("delete_credential", "DELETE /v3/credentials/{own.credential}", 204, ADMINS),
    Row("delete_credential", "DELETE /v3/credentials/none", 404, ADMINS),
    Row("ec2tokens_validate", "POST /v3/ec2tokens", 400, ADMINS, {"credentials": {"access": 1}}),
    Row("s3tokens_validate", "POST /v3/s3tokens", 400, ADMINS, {"credentials": {"access": 1}}),
    Row("list_revoke_events", "GET /v3/OS-REVOKE/events", 200, CLOUD),
    # tokens
    Row("validate_token", "GET /v3/auth/tokens", 200, SEES_ALL),
    Row("check_token", "HEAD /v3/auth/tokens", 200, SEES_ALL),
    Row("revoke_token", "DELETE /v3/auth/tokens", 204, ADMINS),
    Row("get_auth_catalog", "GET /v3/auth/catalog", 200, ALL),
    Row("get_auth_projects", "GET /v3/auth/projects", 200, ALL),
    Row("get_auth_domains", "GET /v3/auth/domains", 200, ALL),
    Row("get_auth_system", "GET /v3/auth/system", 200, ALL),
    # the catalog
    Row("list_regions", "GET /v3/regions", 200, ALL),
    Row("get_region", "GET /v3/regions/{region}", 200, ALL),
    Row("create_region", "POST /v3/regions", 201, CLOUD, {"region": {}}),
    Row("create_region", "PUT /v3/regions/{new}", 201, CLOUD, {"region": {}}),
    Row("update_region", "PATCH /v3/regions/{region}", 200, CLOUD, {"region": _D}),
    Row("delete_region", "DELETE /v3/regions/{region}", 204, CLOUD),
    Row("list_services", "GET /v3/services", 200, SEES_CLOUD),
    Row("get_service", "GET /v3/services/{service}", 200, SEES_CLOUD),
    Row("create_service", "POST /v3/services", 201, CLOUD, {"service": {"type": "x"}}),
    Row("update_service", "PATCH /v3/services/{service}", 200, CLOUD, {"service": _D}),
    Row("delete_service", "DELETE /v3/services/{service}", 204, CLOUD),
    Row("list_endpoints", "GET /v3/endpoints", 200, SEES_CLOUD),
    Row("get_endpoint", "GET /v3/endpoints/{endpoint}", 200, SEES_CLOUD),
    Row(
        "create_endpoint",
        "POST /v3/endpoints",
        201,
        CLOUD,
        {"endpoint": {"service_id": "{service}", "interface": "public", "url": "http://x"}},
    ),
    Row("update_endpoint", "PATCH /v3/endpoints/{endpoint}", 200, CLOUD, {"endpoint": {"url": "http://y"}}),
    Row("delete_endpoint", "DELETE /v3/endpoints/{endpoint}", 204, CLOUD),
)
