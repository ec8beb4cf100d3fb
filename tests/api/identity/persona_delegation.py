"""Who may do what with trusts, access rules and OAuth: rows as those of ``persona_table.py``."""

from __future__ import annotations

from typing import Any

from tests.api.identity.persona_table import ALL, CLOUD, SEES_CLOUD, SYSTEM, Row

_TOKENS = "/v3/users/{own.user}/OS-OAUTH1/access_tokens"
_PROJECT = "PA PG PM PR"


def _trust(trustor: str) -> dict[str, Any]:
    return {"trust": {"trustor_user_id": trustor, "trustee_user_id": "{own.user}", "impersonation": False}}


DELEGATION_ROWS = (
    Row("list_trusts", "GET /v3/OS-TRUST/trusts", 200, SEES_CLOUD),
    *(
        row
        for side in ("trustor", "trustee")
        for row in (
            Row(
                f"list_trusts_for_{side}",
                f"GET /v3/OS-TRUST/trusts?{side}_user_id={{me}}",
                200,
                f"{SYSTEM} {_PROJECT}",
            ),
            Row(
                f"list_trusts_for_{side}",
                f"GET /v3/OS-TRUST/trusts?{side}_user_id={{own.owner}}",
                200,
                SEES_CLOUD,
            ),
        )
    ),
    Row("get_trust", "GET /v3/OS-TRUST/trusts/{own.trust}", 200, SEES_CLOUD),
    Row("get_trust", "GET /v3/OS-TRUST/trusts/none", 404, ALL),
    Row("list_roles_for_trust", "GET /v3/OS-TRUST/trusts/{own.trust}/roles", 200, SEES_CLOUD),
    Row("get_role_for_trust", "GET /v3/OS-TRUST/trusts/{own.trust}/roles/{member}", 200, SEES_CLOUD),
    Row("get_role_for_trust", "HEAD /v3/OS-TRUST/trusts/{own.trust}/roles/{reader}", 404, SEES_CLOUD),
    Row("create_trust", "POST /v3/OS-TRUST/trusts", 201, _PROJECT, _trust("{me}")),
    Row("create_trust", "POST /v3/OS-TRUST/trusts", 201, "", _trust("{other.owner}")),
    Row("delete_trust", "DELETE /v3/OS-TRUST/trusts/{other.trust}", 204, CLOUD),
    Row("delete_trust", "DELETE /v3/OS-TRUST/trusts/none", 404, ALL),
    # Keystone shows them to no administrator but the system's.
    Row("list_access_rules", "GET /v3/users/{me}/access_rules", 200, f"{SYSTEM} {_PROJECT}"),
    Row("list_access_rules", "GET /v3/users/{own.user}/access_rules", 200, SYSTEM),
    Row("get_access_rule", "GET /v3/users/{own.user}/access_rules/{own.access_rule}", 200, SYSTEM),
    Row("get_access_rule", "GET /v3/users/{me}/access_rules/{other.access_rule}", 200, SYSTEM),
    Row("get_access_rule", "GET /v3/users/{own.user}/access_rules/none", 404, SYSTEM),
    Row("delete_access_rule", "DELETE /v3/users/{me}/access_rules/{own.access_rule}", 403, ALL),
    Row("delete_access_rule", "DELETE /v3/users/{own.user}/access_rules/none", 404, "SA"),
    # OAuth
    Row("list_consumers", "GET /v3/OS-OAUTH1/consumers", 200, SEES_CLOUD),
    Row("get_consumer", "GET /v3/OS-OAUTH1/consumers/{consumer}", 200, SEES_CLOUD),
    Row("get_consumer", "GET /v3/OS-OAUTH1/consumers/none", 404, SEES_CLOUD),
    Row("create_consumer", "POST /v3/OS-OAUTH1/consumers", 201, CLOUD, {"consumer": {}}),
    Row("update_consumer", "PATCH /v3/OS-OAUTH1/consumers/{consumer}", 200, CLOUD, {"consumer": {"x": 1}}),
    Row("delete_consumer", "DELETE /v3/OS-OAUTH1/consumers/{consumer}", 204, CLOUD),
    Row(
        "authorize_request_token",
        "PUT /v3/OS-OAUTH1/authorize/none",
        404,
        "PA",
        {"roles": [{"name": "member"}]},
    ),
    Row("list_access_tokens", f"GET {_TOKENS}", 200, "PA"),
    Row("get_access_token", f"GET {_TOKENS}/none", 404, "PA"),
    Row("delete_access_token", f"DELETE {_TOKENS}/none", 404, "PA"),
    Row("list_access_token_roles", f"GET {_TOKENS}/none/roles", 404, "PA"),
    Row("get_access_token_role", f"GET {_TOKENS}/none/roles/none", 404, "PA"),
)
