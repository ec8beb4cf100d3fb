"""Quotas of the network API: limits, their administration, and how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import routers
from pileus.services.network.security_groups.tables import security_group_rules, security_groups
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.web.quota import (
    Quota,
    count_rows,
    quota_limits,
    quota_read,
    quota_reset,
    quota_set,
    quota_spend,
    quota_usage,
)
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.resource import Values
from pileus.web.routes import Route
from pileus.web.types import BadValue, integer

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

_LIMIT = integer(-1, 2**31 - 1)

RULES = rules({"get_quota": ADMIN_OR_MANAGER, "update_quota": ADMIN, "delete_quota": ADMIN})


class HTTPBadRequest(Invalid):
    """What the Network API calls a body that it can't take."""


def spend(tx: Tx, specs: Sequence[Values], quota: Quota) -> None:
    """Make sure that the projects of new resources may have them; OverQuota otherwise."""
    quota_spend(tx, Counter(spec["project_id"] for spec in specs), quota)


async def list_quotas(request: Request) -> Reply:
    """Projects that have limits of their own."""
    request.authorise("update_quota")
    return Reply.json({"quotas": await request.read(_all_limits)})


async def show_quota(request: Request) -> Reply:
    """The limits of one project."""
    project_id = _authorised(request, "get_quota")
    limits = await request.read(quota_read, [project_id], QUOTAS)
    return Reply.json({"quota": limits[project_id]})


async def show_own_project(request: Request) -> Reply:
    """``tenant`` and ``project`` in place of an id: whose limits would I see?"""
    return Reply.json({"tenant": {"tenant_id": request.context.project_id or ""}})


async def show_default(request: Request) -> Reply:
    """What a project has that nobody gave limits to."""
    _authorised(request, "get_quota")
    return Reply.json({"quota": {quota.resource: quota.default for quota in QUOTAS}})


async def show_details(request: Request) -> Reply:
    """Limits, and how much of them is used."""
    project_id = _authorised(request, "get_quota")
    return Reply.json({"quota": await request.read(_details, project_id)})


async def update_quota(request: Request) -> Reply:
    """Set limits of one project."""
    project_id = _authorised(request, "update_quota")
    wanted = _parse(request)
    return Reply.json({"quota": await request.write(_set_limits, request.context, project_id, wanted)})


async def delete_quota(request: Request) -> Reply:
    """Back to the defaults."""
    project_id = _authorised(request, "delete_quota")
    await request.write(quota_reset, project_id, SERVICE)
    return Reply.empty()


ROUTES = (
    Route("GET", "/v2.0/quotas", list_quotas, rule="update_quota", summary="List quotas that were set"),
    Route("GET", "/v2.0/quotas/tenant", show_own_project, summary="Show whose quotas are shown"),
    Route("GET", "/v2.0/quotas/project", show_own_project, summary="Show whose quotas are shown"),
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


def _parse(request: Request) -> dict[str, int]:
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
            raise HTTPBadRequest(f"Invalid input for {name}. Reason: {bad.text}.") from None
    return wanted


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


def _set_limits(tx: Tx, context: Context, project_id: str, wanted: dict[str, int]) -> dict[str, int]:
    quota_set(tx, project_id, SERVICE, wanted)
    return quota_read(tx, [project_id], QUOTAS)[project_id]
