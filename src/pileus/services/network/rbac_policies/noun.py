"""RBAC policies as a part of the API."""

from __future__ import annotations

from typing import Any

from pileus.resource.declaration import Extension
from pileus.services.network.rbac_policies.resource import RBAC_POLICY, RULES
from pileus.services.network.rbac_policies.work import (
    RBAC_POLICY_QUOTA,
    rbac_policy_create,
    rbac_policy_delete,
    rbac_policy_update,
)
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request

EXTENSIONS = (
    Extension(
        "rbac-policies",
        "RBAC Policies",
        "Allows creation and modification of policies that control project access to resources.",
        "2015-06-17T12:15:12-00:00",
    ),
    Extension(
        "rbac-address-group",
        "Add address_group type to RBAC",
        "Add address_group type to network RBAC",
        "2021-01-20T00:00:00-00:00",
    ),
    Extension(
        "rbac-address-scope",
        "Add address_scope type to RBAC",
        "Add address_scope type to RBAC",
        "2020-02-12T00:00:00-00:00",
    ),
    Extension(
        "rbac-security-groups",
        "Add security_group type to network RBAC",
        "Add security_group type to network RBAC",
        "2019-02-14T00:00:00-00:00",
    ),
    Extension(
        "rbac-subnetpool",
        "Add subnetpool type to RBAC",
        "Add subnetpool type to RBAC",
        "2020-02-05T00:00:00-00:00",
    ),
)


def _only_asked(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    """Leave ``tenant_id`` out where the request names fields, and not this one, as Neutron does here."""
    fields = {text for name, text in request.query if name == "fields" and text}
    if fields and "tenant_id" not in fields:
        view.pop("tenant_id", None)
    return view


NOUN = Noun(
    name="rbac_policy",
    routes=crud_routes(
        Crud(
            resource=RBAC_POLICY,
            create=rbac_policy_create,
            update=rbac_policy_update,
            delete=rbac_policy_delete,
            view=_only_asked,
        ),
        "/v2.0/rbac-policies",
    ),
    rules=RULES,
    quotas=(RBAC_POLICY_QUOTA,),
    extensions=EXTENSIONS,
)
