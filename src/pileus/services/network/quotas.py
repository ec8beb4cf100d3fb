"""Quotas of the network API: limits, their administration, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.errors import Invalid
from pileus.resource.declaration import Values
from pileus.resource.quota import (
    UNLIMITED,
    Quota,
    count_rows,
    quota_limits,
    quota_read,
    quota_reset,
    quota_set,
    quota_spend,
    quota_usage,
)
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import NEUTRON, HTTPBadRequest
from pileus.services.network.common.attributes import number
from pileus.services.network.common.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.network.common.view_lists import list_views
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import routers
from pileus.services.network.security_groups.tables import security_group_rules, security_groups
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

SERVICE = "network"
NETWORK_QUOTA = Quota(SERVICE, "network", 100, count_rows(networks.c.project_id))
SUBNET_QUOTA = Quota(SERVICE, "subnet", 100, count_rows(subnets.c.project_id))
PORT_QUOTA = Quota(SERVICE, "port", 500, count_rows(ports.c.project_id))
GROUP_QUOTA = Quota(SERVICE, "security_group", 10, count_rows(security_groups.c.project_id))
RULE_QUOTA = Quota(SERVICE, "security_group_rule", 100, count_rows(security_group_rules.c.project_id))
ROUTER_QUOTA = Quota(SERVICE, "router", 10, count_rows(routers.c.project_id))
FLOATING_IP_QUOTA = Quota(SERVICE, "floatingip", 50, count_rows(floating_ips.c.project_id))
SUBNETPOOL_QUOTA = Quota(SERVICE, "subnetpool", -1, count_rows(subnetpools.c.project_id))
QUOTAS = (
    NETWORK_QUOTA,
    SUBNET_QUOTA,
    SUBNETPOOL_QUOTA,
    PORT_QUOTA,
    ROUTER_QUOTA,
    FLOATING_IP_QUOTA,
    GROUP_QUOTA,
    RULE_QUOTA,
)

_LIMIT = number(-1)

RULES = rules({"get_quota": ADMIN_OR_MANAGER, "update_quota": ADMIN, "delete_quota": ADMIN})


class QuotaMissingTenant(Invalid):
    message = "Tenant-id was missing from quota request."


def spend(tx: Tx, specs: Sequence[Values], quota: Quota) -> None:
    """Make sure that the projects of new resources may have them; OverQuota otherwise."""
    quota_spend(tx, Counter(spec["project_id"] for spec in specs), quota)


async def list_quotas(request: Request) -> Reply:
    """Projects that have limits of their own."""
    request.authorise("update_quota")
    limits = await request.read(_all_limits)
    return Reply.json({"quotas": list_views(request, limits, "project_id", ("project_id", "tenant_id"))})


async def show_quota(request: Request) -> Reply:
    """The limits of one project."""
    project_id = _readable(request)
    limits = await request.read(quota_read, [project_id], QUOTAS)
    return Reply.json({"quota": limits[project_id]})


def _show_own(word: str) -> Handler:
    """``tenant`` or ``project`` in place of an id: whose limits would I see?"""

    async def show_own(request: Request) -> Reply:
        if not request.context.project_id:
            raise QuotaMissingTenant()
        return Reply.json({word: {f"{word}_id": request.context.project_id}})

    return show_own


async def show_default(request: Request) -> Reply:
    """What a project has that nobody gave limits to."""
    _readable(request)
    return Reply.json({"quota": {quota.resource: quota.default for quota in QUOTAS}})


async def show_details(request: Request) -> Reply:
    """Limits, and how much of them is used."""
    project_id = _readable(request)
    return Reply.json({"quota": await request.read(_details, project_id)})


async def update_quota(request: Request) -> Reply:
    """Set limits of one project; not below what it has, unless ``force`` says so."""
    project_id = _authorised(request, "update_quota")
    wanted, forced = _parse(request)
    return Reply.json({"quota": await request.write(_set_limits, project_id, wanted, forced)})


async def delete_quota(request: Request) -> Reply:
    """Back to the defaults."""
    project_id = _authorised(request, "delete_quota")
    await request.write(quota_reset, project_id, SERVICE)
    return Reply.empty()


ROUTES = (
    Route("GET", "/v2.0/quotas", list_quotas, rule="update_quota", summary="List quotas that were set"),
    Route("GET", "/v2.0/quotas/tenant", _show_own("tenant"), summary="Show whose quotas are shown"),
    Route("GET", "/v2.0/quotas/project", _show_own("project"), summary="Show whose quotas are shown"),
    Route("GET", "/v2.0/quotas/{project_id}", show_quota, rule="get_quota", summary="Show quotas"),
    Route("PUT", "/v2.0/quotas/{project_id}", update_quota, rule="update_quota", summary="Set quotas"),
    Route(
        "DELETE",
        "/v2.0/quotas/{project_id}",
        delete_quota,
        rule="delete_quota",
        status=204,
        summary="Reset quotas",
    ),
    Route(
        "GET",
        "/v2.0/quotas/{project_id}/default",
        show_default,
        rule="get_quota",
        summary="Show default quotas",
    ),
    Route(
        "GET",
        "/v2.0/quotas/{project_id}/details",
        show_details,
        rule="get_quota",
        summary="Show quotas and use",
    ),
    Route(
        "GET",
        "/v2.0/quotas/{project_id}/details.json",
        show_details,
        rule="get_quota",
        summary="Show quotas and use",
    ),
)


def _authorised(request: Request, rule: str) -> str:
    project_id = request.path["project_id"]
    request.authorise(rule, {"project_id": project_id, "tenant_id": project_id})
    return project_id


def _readable(request: Request) -> str:
    """Everybody reads the limits of the project that he is in."""
    if request.path["project_id"] == request.context.project_id:
        return request.path["project_id"]
    return _authorised(request, "get_quota")


def _parse(request: Request) -> tuple[dict[str, int], bool]:
    """The limits asked for, and whether they hold whatever is in use."""
    body = request.json()
    asked = body.get("quota") if isinstance(body, dict) else None
    if not isinstance(asked, dict):
        raise HTTPBadRequest("Unable to find 'quota' in request body")
    known = {quota.resource for quota in QUOTAS}
    wanted = {}
    for name, value in asked.items():
        if name in ("tenant_id", "project_id", "force", "check_limit"):
            continue
        if name not in known:
            raise HTTPBadRequest(f"Unrecognized attribute(s) '{name}'")
        try:
            wanted[name] = _LIMIT.parse(value)
        except BadValue as bad:
            raise NEUTRON.bad_value(name, value, bad) from None
    return wanted, asked.get("force") is True


def _all_limits(tx: Tx) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    defaults = {quota.resource: quota.default for quota in QUOTAS}
    for row in tx.rows(select(quota_limits).where(quota_limits.c.service == SERVICE)):
        limits = found.setdefault(
            row.project_id, {**defaults, "project_id": row.project_id, "tenant_id": row.project_id}
        )
        if row.resource in defaults:
            limits[row.resource] = row.hard_limit
    return [found[project_id] for project_id in sorted(found)]


def _details(tx: Tx, project_id: str) -> dict[str, dict[str, int]]:
    limits = quota_read(tx, [project_id], QUOTAS)[project_id]
    used = quota_usage(tx, project_id, QUOTAS)
    return {name: {"limit": limits[name], "used": used[name], "reserved": 0} for name in limits}


def _set_limits(tx: Tx, project_id: str, wanted: dict[str, int], forced: bool) -> dict[str, int]:
    if not forced:
        _check_used(tx, project_id, wanted)
    quota_set(tx, project_id, SERVICE, wanted)
    return quota_read(tx, [project_id], QUOTAS)[project_id]


def _check_used(tx: Tx, project_id: str, wanted: dict[str, int]) -> None:
    bounded = [quota for quota in QUOTAS if wanted.get(quota.resource, UNLIMITED) != UNLIMITED]
    for resource, used in quota_usage(tx, project_id, bounded).items():
        if used > wanted[resource]:
            raise HTTPBadRequest(
                f"Quota limit {wanted[resource]} for {resource} must be greater than or equal to already "
                f"used {used}"
            )
