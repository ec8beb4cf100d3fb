"""``GET /v3/role_assignments``: route, rules and view."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.services.identity.assignments.work import (
    Assignment,
    Names,
    assignments_read,
    domain_of_project,
    read_filters,
)
from pileus.services.identity.common.policy import domain_reader, rules
from pileus.services.identity.common.replies import TEXT, listed, page_links, shape
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


def assignment_view(one: Assignment, names: Names | None, base: str) -> dict[str, Any]:
    """One entry of the list. ``base`` is the address of ``/v3``."""
    grant = one.grant
    scope: dict[str, Any]
    granted = one.origin or grant
    if grant.target_kind == "system":
        scope, where = {"system": {"all": True}}, "system"
    else:
        scope = {grant.target_kind: _ref(grant.target_id, names)}
        where = f"{granted.target_kind}s/{granted.target_id}"
    actor = f"groups/{one.via_group}" if one.via_group else f"{grant.actor_kind}s/{grant.actor_id}"
    at = f"{where}/{actor}/roles/{one.prior_role or grant.role_id}"
    if granted.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
        at = f"OS-INHERIT/{at}/inherited_to_projects"
    links = {"assignment": f"{base}/{at}"}
    if one.via_group:
        links["membership"] = f"{base}/groups/{one.via_group}/users/{grant.actor_id}"
    if one.prior_role:
        links["prior_role"] = f"{base}/prior_role/{one.prior_role}/implies/{grant.role_id}"
    return {
        "links": links,
        "role": _ref(grant.role_id, names),
        "scope": scope,
        grant.actor_kind: _ref(grant.actor_id, names),
    }


def _ref(key: str, names: Names | None) -> dict[str, Any]:
    if names is None:
        return {"id": key}
    view: dict[str, Any] = {"id": key, "name": names.names.get(key, "")}
    domain_id = names.domains.get(key)
    if domain_id is not None:
        view["domain"] = {"id": domain_id, "name": names.names.get(domain_id, "")}
    return view


async def list_assignments(request: Request) -> Reply:
    """GET /v3/role_assignments: for a domain's token, those on the domain and on its projects."""
    filters = read_filters(request)
    domain_id = request.context.domain_id
    if filters.include_subtree:
        home = await request.read(domain_of_project, filters.project_id or "")
        request.authorise("identity:list_role_assignments_for_tree", {"target.domain_id": home})
    else:
        request.authorise("identity:list_role_assignments", {"target.domain_id": domain_id})
    found, names = await request.read(assignments_read, filters, domain_id)
    base = f"{request.service_url}/v3"
    return Reply.json(
        {
            "role_assignments": [assignment_view(one, names, base) for one in found],
            "links": page_links(request),
        }
    )


_DOMAIN = shape({"id": TEXT, "name": TEXT})
_PART = shape({"id": TEXT}, {"name": TEXT, "domain": _DOMAIN})
_SCOPE = shape(
    {},
    {
        "project": _PART,
        "domain": _PART,
        "system": shape({"all": types.strict_boolean}),
        "OS-INHERIT:inherited_to": types.enum("projects"),
    },
)
_ASSIGNMENT = shape(
    {
        "links": shape({"assignment": TEXT}, {"membership": TEXT, "prior_role": TEXT}),
        "role": _PART,
        "scope": _SCOPE,
    },
    {"user": _PART, "group": _PART},
)

NOUN = Noun(
    name="role_assignment",
    routes=(
        Route(
            "GET",
            "/v3/role_assignments",
            list_assignments,
            rule="identity:list_role_assignments",
            reply=listed("role_assignments", _ASSIGNMENT),
            summary="List role assignments",
        ),
    ),
    rules=rules(
        {
            "list_role_assignments": domain_reader("target.domain_id"),
            "list_role_assignments_for_tree": domain_reader("target.domain_id"),
        }
    ),
)
