"""Security groups as the Compute API has them (``os-security-groups``, ``os-security-group-rules``).

Source: Compute API reference, "Security groups (os-security-groups) (DEPRECATED)" and "Rules for security
group (os-security-group-rules) (DEPRECATED)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Fault, NotFound
from pileus.resource import types
from pileus.services.compute.api import enforce
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.paging import offset, page_size
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, is_admin, rules
from pileus.services.compute.proxies.common import PROXIED, refusal
from pileus.services.compute.replies import named, named_list
from pileus.services.compute.rules.security_groups import (
    BadRule,
    exists,
    group_view,
    new_rule,
    peer_of,
    peers_of,
    rule_view,
)
from pileus.services.compute.servers.security_groups import GROUP, GROUP_RULE
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_GROUPS, _RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"


class GroupNotFound(NotFound):
    message = "Security group {id} not found."


class RuleNotFound(NotFound):
    message = "Security group rule {id} not found."


async def _views(request: Request, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    peers = {group["id"]: peer_of(group) for group in groups}
    missing = peers_of(groups) - peers.keys()
    if missing:
        query = [("id", group_id) for group_id in sorted(missing)]
        found = await request.forward("network", "GET", _GROUPS, query=query)
        peers |= {group["id"]: peer_of(group) for group in found["security_groups"]}
    return [group_view(group, peers) for group in groups]


async def _group(request: Request, group_id: str) -> dict[str, Any]:
    """A group that the caller sees. Raises GroupNotFound."""
    try:
        found = await request.forward("network", "GET", f"{_GROUPS}/{group_id}")
    except NotFound:
        raise GroupNotFound(id=group_id) from None
    return dict(found["security_group"])


async def _changed(request: Request, method: str, path: str, body: Any = None) -> Any:
    """Forward a change; a refusal is worded and numbered as Nova does."""
    try:
        return await request.forward("network", method, path, body)
    except Fault as fault:
        raise refusal(fault) from None


async def list_groups(request: Request) -> Reply:
    """List the groups of the project; an administrator's ``all_tenants`` those of all."""
    enforce(request, {"project_id": request.context.project_id})
    everybodys = request.parameter("all_tenants") is not None and is_admin(request.access)
    query = [] if everybodys else [("project_id", request.context.project_id or "")]
    found = await request.forward("network", "GET", _GROUPS, query=query)
    first = offset(request)
    groups = found["security_groups"][first : first + page_size(request)]
    views = await _views(request, groups)
    return Reply.json({"security_groups": sorted(views, key=lambda one: (one["tenant_id"], one["name"]))})


async def show_group(request: Request) -> Reply:
    """Show one."""
    enforce(request, {"project_id": request.context.project_id})
    (view,) = await _views(request, [await _group(request, request.path["id"])])
    return Reply.json({"security_group": view})


async def create_group(request: Request) -> Reply:
    """Make one."""
    enforce(request, {"project_id": request.context.project_id})
    asked = declared_body(request)["security_group"]
    body = {"security_group": {"name": asked["name"], "description": asked["description"]}}
    made = await _changed(request, "POST", _GROUPS, body)
    (view,) = await _views(request, [made["security_group"]])
    return Reply.json({"security_group": view})


async def update_group(request: Request) -> Reply:
    """Rename one, or describe it anew."""
    enforce(request, {"project_id": request.context.project_id})
    asked = declared_body(request)["security_group"]
    group = await _group(request, request.path["id"])
    body = {"security_group": {"name": asked["name"], "description": asked["description"]}}
    made = await _changed(request, "PUT", f"{_GROUPS}/{group['id']}", body)
    (view,) = await _views(request, [made["security_group"]])
    return Reply.json({"security_group": view})


async def delete_group(request: Request) -> Reply:
    """Delete one."""
    enforce(request, {"project_id": request.context.project_id})
    group = await _group(request, request.path["id"])
    await _changed(request, "DELETE", f"{_GROUPS}/{group['id']}")
    return Reply.empty(202)


async def create_rule(request: Request) -> Reply:
    """Let something in: a prefix, or the servers of a group."""
    enforce(request, {"project_id": request.context.project_id})
    asked = declared_body(request)["security_group_rule"]
    group = await _group(request, asked["parent_group_id"])
    peer_id = asked.get("group_id")
    peers = {} if peer_id is None else {peer_id: peer_of(await _group(request, peer_id))}
    try:
        body = new_rule(asked)
    except BadRule as bad:
        raise BadRequest(str(bad)) from None
    if exists(group["security_group_rules"], body):
        raise BadRequest(f"This rule already exists in group {group['id']}")
    made = await _changed(request, "POST", _RULES, {"security_group_rule": body})
    return Reply.json({"security_group_rule": rule_view(made["security_group_rule"], peers)})


async def delete_rule(request: Request) -> Reply:
    """Let it in no longer."""
    enforce(request, {"project_id": request.context.project_id})
    try:
        await _changed(request, "DELETE", f"{_RULES}/{request.path['id']}")
    except NotFound:
        raise RuleNotFound(id=request.path["id"]) from None
    return Reply.empty(202)


_TEXT = types.string(255)
_NEW_GROUP = types.dict_of(
    {
        "security_group": types.dict_of(
            {"name": _TEXT, "description": _TEXT}, required=("name", "description"), additional=types.anything
        )
    },
    required=("security_group",),
    additional=types.anything,
)
_NEW_RULE = types.dict_of(
    {
        "security_group_rule": types.dict_of(
            {"parent_group_id": types.uuid, "group_id": types.nullable(types.uuid)},
            required=("parent_group_id",),
            additional=types.anything,
        )
    },
    required=("security_group_rule",),
    additional=types.anything,
)
_RULE = "os_compute_api:os-security-groups:"
_ALL, _ONE = "/v2.1/os-security-groups", "/v2.1/os-security-groups/{id}"
_SHOWN = named("security_group", GROUP)

SECURITY_GROUPS = Noun(
    name="proxied_security_group",
    rules=rules(
        {
            "os-security-groups:get": ADMIN_OR_READER,
            "os-security-groups:show": ADMIN_OR_READER,
            "os-security-groups:create": ADMIN_OR_MEMBER,
            "os-security-groups:update": ADMIN_OR_MEMBER,
            "os-security-groups:delete": ADMIN_OR_MEMBER,
            "os-security-groups:rule:create": ADMIN_OR_MEMBER,
            "os-security-groups:rule:delete": ADMIN_OR_MEMBER,
        }
    ),
    routes=(
        Route(
            "GET",
            _ALL,
            list_groups,
            versions=PROXIED,
            rule=_RULE + "get",
            reply=named_list("security_groups", GROUP),
            summary="List security groups",
        ),
        Route(
            "POST",
            _ALL,
            create_group,
            versions=PROXIED,
            rule=_RULE + "create",
            body=_NEW_GROUP,
            reply=_SHOWN,
            summary="Create a security group",
        ),
        Route(
            "GET",
            _ONE,
            show_group,
            versions=PROXIED,
            rule=_RULE + "show",
            reply=_SHOWN,
            summary="Show a security group",
        ),
        Route(
            "PUT",
            _ONE,
            update_group,
            versions=PROXIED,
            rule=_RULE + "update",
            body=_NEW_GROUP,
            reply=_SHOWN,
            summary="Update a security group",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_group,
            versions=PROXIED,
            rule=_RULE + "delete",
            status=202,
            reply=NO_BODY,
            summary="Delete a security group",
        ),
        Route(
            "POST",
            "/v2.1/os-security-group-rules",
            create_rule,
            versions=PROXIED,
            rule=_RULE + "rule:create",
            body=_NEW_RULE,
            reply=named("security_group_rule", GROUP_RULE),
            summary="Add a rule to a security group",
        ),
        Route(
            "DELETE",
            "/v2.1/os-security-group-rules/{id}",
            delete_rule,
            versions=PROXIED,
            rule=_RULE + "rule:delete",
            status=202,
            reply=NO_BODY,
            summary="Remove a rule from a security group",
        ),
    ),
)
