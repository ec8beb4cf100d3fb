"""Limits: what a project may have and has, in the form that clients read before they ask."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version, parse
from pileus.services.compute.api import enforce
from pileus.services.compute.policy import ADMIN, EVERYBODY, rules
from pileus.services.compute.quotas.counting import Usage, limits_of, usage_with_groups
from pileus.services.compute.replies import COUNT, INTEGER, always, named
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

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
_USED = (
    "totalInstancesUsed",
    "totalCoresUsed",
    "totalRAMUsed",
    "totalServerGroupsUsed",
    "totalFloatingIpsUsed",
    "totalSecurityGroupsUsed",
)
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


def _gone(version: Version) -> set[str]:
    """The names that a microversion does not have any more."""
    return {name for first, names in _GONE.items() if version >= parse(first) for name in names}


def _reply(version: Version) -> Type:
    fields = {**dict.fromkeys(_LIMITS, INTEGER), **dict.fromkeys(_USED, COUNT)}
    absolute = always({name: kind for name, kind in fields.items() if name not in _gone(version)})
    return named("limits", always({"rate": types.list_of(types.anything, maximum=0), "absolute": absolute}))


def _read(tx: Tx, project_id: str) -> tuple[dict[str, int], Usage]:
    return limits_of(tx, project_id), usage_with_groups(tx, project_id)


async def show_limits(request: Request) -> Reply:
    """Show those of the caller's project, or of ``tenant_id`` for those whom a rule of its own lets ask.

    As in Nova that rule is asked whichever project the parameter names.
    """
    enforce(request)
    named = request.parameter("tenant_id")
    project_id = request.context.project_id or ""
    if named is not None:
        project_id = named or project_id
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
    for name in _gone(request.version):
        del absolute[name]
    return Reply.json({"limits": {"rate": [], "absolute": absolute}})


LIMITS = Noun(
    name="limit",
    rules=rules({"limits": EVERYBODY, "limits:other_project": ADMIN}),
    extensions=(Extension("os-used-limits", "UsedLimits", "Provide data on limited resource being used."),),
    routes=(
        Route(
            "GET",
            "/v2.1/limits",
            show_limits,
            rule="os_compute_api:limits",
            reply=ByVersion(_reply),
            summary="Show limits and use",
        ),
    ),
)
