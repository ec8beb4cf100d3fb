"""Who may do what with policies, projects' own endpoints, limits and the audit log: rows as those of
``persona_table.py``."""

from __future__ import annotations

from tests.api.identity.persona_table import ALL, CLOUD, SEES_ALL, SEES_CLOUD, Row

_FILTER = "/v3/OS-EP-FILTER"
_BY_PROJECT = f"{_FILTER}/projects/{{own.project}}/endpoints/{{endpoint}}"
_BY_GROUP = f"{_FILTER}/endpoint_groups/{{endpoint_group}}/projects/{{own.project}}"
_MAPPINGS = "/v3/OS-PILEUS-DIRECTORY/mappings"
_ASSOCIATION = "/v3/policies/{policy}/OS-ENDPOINT-POLICY"
_POLICY = {"policy": {"blob": "{}", "type": "application/json"}}
_GROUP = {"endpoint_group": {"name": "{new}", "filters": {"interface": "public"}}}
_REGISTERED = {"registered_limits": [{"service_id": "{service}", "resource_name": "r", "default_limit": 5}]}
_LIMIT = {
    "limits": [
        {
            "service_id": "{limited}",
            "resource_name": "cores",
            "resource_limit": 3,
            "project_id": "{own.project}",
        }
    ]
}
_NAMED = {"name": "{new}"}
_CONFIG = {"config": {"identity": {"driver": "sql"}}}

_PLACES = (
    ("endpoint", "endpoints/{endpoint}"),
    ("service", "services/{service}"),
    ("region_and_service", "services/{service}/regions/{region}"),
)

EXTENSION_ROWS = (
    Row("list_policies", "GET /v3/policies", 200, SEES_CLOUD),
    Row("get_policy", "GET /v3/policies/{policy}", 200, SEES_CLOUD),
    Row("create_policy", "POST /v3/policies", 201, CLOUD, _POLICY),
    Row("update_policy", "PATCH /v3/policies/{policy}", 200, CLOUD, {"policy": _NAMED}),
    Row("delete_policy", "DELETE /v3/policies/{policy}", 204, CLOUD),
    *(
        row
        for kind, path in _PLACES
        for row in (
            Row(f"create_policy_association_for_{kind}", f"PUT {_ASSOCIATION}/{path}", 204, CLOUD),
            Row(f"check_policy_association_for_{kind}", f"GET {_ASSOCIATION}/{path}", 404, SEES_CLOUD),
            Row(f"delete_policy_association_for_{kind}", f"DELETE {_ASSOCIATION}/{path}", 204, CLOUD),
        )
    ),
    Row("list_endpoints_for_policy", f"GET {_ASSOCIATION}/endpoints", 200, SEES_CLOUD),
    Row("get_policy_for_endpoint", "GET /v3/endpoints/{endpoint}/OS-ENDPOINT-POLICY/policy", 404, SEES_CLOUD),
    # projects' own endpoints
    Row("list_endpoint_groups", f"GET {_FILTER}/endpoint_groups", 200, SEES_CLOUD),
    Row("get_endpoint_group", f"GET {_FILTER}/endpoint_groups/{{endpoint_group}}", 200, SEES_CLOUD),
    Row("create_endpoint_group", f"POST {_FILTER}/endpoint_groups", 201, CLOUD, _GROUP),
    Row(
        "update_endpoint_group",
        f"PATCH {_FILTER}/endpoint_groups/{{endpoint_group}}",
        200,
        CLOUD,
        {"endpoint_group": _NAMED},
    ),
    Row("delete_endpoint_group", f"DELETE {_FILTER}/endpoint_groups/{{endpoint_group}}", 204, CLOUD),
    Row("list_endpoints_for_project", f"GET {_FILTER}/projects/{{own.project}}/endpoints", 200, SEES_CLOUD),
    Row("list_projects_for_endpoint", f"GET {_FILTER}/endpoints/{{endpoint}}/projects", 200, SEES_CLOUD),
    Row("add_endpoint_to_project", f"PUT {_BY_PROJECT}", 204, CLOUD),
    Row("check_endpoint_in_project", f"GET {_BY_PROJECT}", 404, SEES_CLOUD),
    Row("remove_endpoint_from_project", f"DELETE {_BY_PROJECT}", 404, CLOUD),
    Row(
        "list_endpoint_groups_for_project",
        f"GET {_FILTER}/projects/{{own.project}}/endpoint_groups",
        200,
        SEES_CLOUD,
    ),
    Row(
        "list_endpoints_associated_with_endpoint_group",
        f"GET {_FILTER}/endpoint_groups/{{endpoint_group}}/endpoints",
        200,
        SEES_CLOUD,
    ),
    Row(
        "list_projects_associated_with_endpoint_group",
        f"GET {_FILTER}/endpoint_groups/{{endpoint_group}}/projects",
        200,
        SEES_CLOUD,
    ),
    Row("add_endpoint_group_to_project", f"PUT {_BY_GROUP}", 204, CLOUD),
    Row("get_endpoint_group_in_project", f"GET {_BY_GROUP}", 404, SEES_CLOUD),
    Row("remove_endpoint_group_from_project", f"DELETE {_BY_GROUP}", 404, CLOUD),
    # limits
    Row("get_limit_model", "GET /v3/limits/model", 200, ALL),
    Row("list_registered_limits", "GET /v3/registered_limits", 200, ALL),
    Row("get_registered_limit", "GET /v3/registered_limits/{registered_limit}", 200, ALL),
    Row("create_registered_limits", "POST /v3/registered_limits", 201, CLOUD, _REGISTERED),
    Row(
        "update_registered_limit",
        "PATCH /v3/registered_limits/{registered_limit}",
        200,
        CLOUD,
        {"registered_limit": {"default_limit": 7}},
    ),
    Row("delete_registered_limit", "DELETE /v3/registered_limits/{registered_limit}", 204, CLOUD),
    Row("list_limits", "GET /v3/limits", 200, ALL),
    Row("get_limit", "GET /v3/limits/none", 404, SEES_ALL),
    Row("get_limit", "GET /v3/limits/{own.limit}", 200, f"{SEES_CLOUD} DA DG DM DR"),
    Row("get_limit", "GET /v3/limits/{other.limit}", 200, SEES_ALL),
    Row("create_limits", "POST /v3/limits", 201, CLOUD, _LIMIT),
    Row("update_limit", "PATCH /v3/limits/{own.limit}", 200, CLOUD, {"limit": {"resource_limit": 4}}),
    Row("delete_limit", "DELETE /v3/limits/{own.limit}", 204, CLOUD),
    # configuration of domains
    Row("create_domain_config", "PUT /v3/domains/none/config", 404, CLOUD, _CONFIG),
    Row("get_domain_config", "GET /v3/domains/default/config", 404, SEES_CLOUD),
    Row("update_domain_config", "PATCH /v3/domains/none/config", 404, CLOUD, _CONFIG),
    Row("delete_domain_config", "DELETE /v3/domains/default/config", 204, CLOUD),
    Row("get_domain_config_default", "GET /v3/domains/config/default", 200, SEES_CLOUD),
    # the audit log
    Row("list_audit_events", "GET /v3/OS-PILEUS-AUDIT/events", 200, SEES_CLOUD),
    Row("list_directory_mappings", f"GET {_MAPPINGS}", 200, SEES_CLOUD),
    Row("look_directory_mappings", f"POST {_MAPPINGS}/look", 200, CLOUD, {"look": {}}),
    Row("purge_directory_mappings", f"POST {_MAPPINGS}/purge", 200, CLOUD, {"purge": {"all": True}}),
    Row("get_audit_event", "GET /v3/OS-PILEUS-AUDIT/events/none", 404, SEES_CLOUD),
)
