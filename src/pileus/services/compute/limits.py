"""Limits: what a project may have and has, in the form that clients read before they ask."""

from __future__ import annotations

from pileus.resource.versions import parse
from pileus.services.compute.policy import ADMIN_OR_READER, ANYBODY, rules
from pileus.services.compute.quotas import Usage, limits_of, usage_with_groups
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULES = rules({"limits": ANYBODY, "limits:other_project": ADMIN_OR_READER})

_LIMITS = {
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxServerMeta": "metadata_items",
    "maxImageMeta": "metadata_items",
    "maxPersonality": "injected_files",
    "maxPersonalitySize": "injected_file_content_bytes",
    "maxTotalKeypairs": "key_pairs",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}
_GONE = {
    "2.36": (
        "maxTotalFloatingIps",
        "totalFloatingIpsUsed",
        "maxSecurityGroups",
        "totalSecurityGroupsUsed",
        "maxSecurityGroupRules",
    ),
    "2.39": ("maxImageMeta",),
    "2.57": ("maxPersonality", "maxPersonalitySize"),
}


def _read(tx: Tx, project_id: str) -> tuple[dict[str, int], Usage]:
    return limits_of(tx, project_id), usage_with_groups(tx, project_id)


async def show_limits(request: Request) -> Reply:
    """The caller's project's, or for administrators that of ``tenant_id``."""
    request.authorise("os_compute_api:limits")
    project_id = request.parameter("tenant_id") or request.context.project_id or ""
    if project_id != request.context.project_id:
        request.authorise("os_compute_api:limits:other_project", {"project_id": project_id})
    limits, used = await request.read(_read, project_id)
    absolute = {name: limits[source] for name, source in _LIMITS.items()}
    absolute |= {
        "totalInstancesUsed": used.instances,
        "totalCoresUsed": used.cores,
        "totalRAMUsed": used.ram,
        "totalServerGroupsUsed": used.server_groups,
        "totalFloatingIpsUsed": 0,
        "totalSecurityGroupsUsed": 0,
    }
    assert request.version is not None
    for version, names in _GONE.items():
        if request.version >= parse(version):
            for name in names:
                del absolute[name]
    return Reply.json({"limits": {"rate": [], "absolute": absolute}})


ROUTES = (
    Route("GET", "/v2.1/limits", show_limits, rule="os_compute_api:limits", summary="Show limits and use"),
)
