"""``GET /v2.1/extensions``: since v2.1 a fixed list of what is there, kept for clients that look first."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.services.compute.policy import ANYBODY, rules
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULES = rules({"extensions": ANYBODY})

EXTENSIONS: tuple[tuple[str, str, str], ...] = (
    ("OS-DCF", "DiskConfig", "Disk Management Extension."),
    ("OS-EXT-AZ", "ExtendedAvailabilityZone", "Extended Availability Zone support."),
    ("OS-EXT-IPS", "ExtendedIps", "Adds type parameter to the ip list."),
    ("OS-EXT-IPS-MAC", "ExtendedIpsMac", "Adds mac address parameter to the ip list."),
    ("OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "Extended Server Attributes support."),
    ("OS-EXT-STS", "ExtendedStatus", "Extended Status support."),
    ("OS-FLV-DISABLED", "FlavorDisabled", "Support to show the disabled status of a flavor."),
    ("OS-FLV-EXT-DATA", "FlavorExtraData", "Provide additional data for flavors."),
    ("OS-SCH-HNT", "SchedulerHints", "Pass arbitrary key/value pairs to the scheduler."),
    ("OS-SRV-USG", "ServerUsage", "Adds launched_at and terminated_at on Servers."),
    ("os-aggregates", "Aggregates", "Admin-only aggregate administration."),
    ("os-admin-actions", "AdminActions", "Enable admin-only server actions."),
    ("os-admin-password", "AdminPassword", "Admin password management support."),
    ("os-attach-interfaces", "AttachInterfaces", "Attach interface support."),
    ("os-availability-zone", "AvailabilityZone", "Availability zone list and server creation."),
    ("os-config-drive", "ConfigDrive", "Config Drive Extension."),
    ("os-console-output", "Console_output", "Console log output support."),
    ("os-deferred-delete", "DeferredDelete", "Instance deferred delete."),
    ("os-extended-hypervisors", "ExtendedHypervisors", "Extended hypervisors support."),
    ("os-extended-quotas", "ExtendedQuotas", "Adds ability for admins to delete quota."),
    ("os-extended-services", "ExtendedServices", "Extended services support."),
    ("os-flavor-access", "FlavorAccess", "Flavor access support."),
    ("os-flavor-extra-specs", "FlavorExtraSpecs", "Flavors extra specs support."),
    ("os-flavor-manage", "FlavorManage", "Flavor create/delete API support."),
    ("os-flavor-swap", "FlavorSwap", "Support to show the swap status of a flavor."),
    ("os-hosts", "Hosts", "Admin-only host administration."),
    ("os-hypervisors", "Hypervisors", "Admin-only hypervisor administration."),
    ("os-hypervisor-status", "HypervisorStatus", "Show hypervisor status."),
    ("os-instance-actions", "InstanceActions", "View a log of actions and events taken on an instance."),
    ("os-keypairs", "Keypairs", "Keypair Support."),
    ("os-multiple-create", "MultipleCreate", "Allow multiple create in the Create Server v2.1 API."),
    ("os-quota-class-sets", "QuotaClasses", "Quota classes management support."),
    ("os-quota-sets", "Quotas", "Quotas management support."),
    ("os-security-groups", "SecurityGroups", "Security group support."),
    ("os-server-groups", "ServerGroups", "Server group support."),
    (
        "os-server-list-multi-status",
        "ServerListMultiStatus",
        "Allow to filter the servers by a set of status values.",
    ),
    ("os-server-password", "ServerPassword", "Server password support."),
    ("os-server-sort-keys", "ServerSortKeys", "Add sorting support in get Server v2 API."),
    ("os-server-start-stop", "ServerStartStop", "Start/Stop instance compute API support."),
    ("os-services", "Services", "Services support."),
    ("os-simple-tenant-usage", "SimpleTenantUsage", "Simple tenant usage extension."),
    ("os-used-limits", "UsedLimits", "Provide data on limited resource being used."),
    ("os-user-data", "UserData", "Add user_data to the Create Server API."),
)


def _view(alias: str, name: str, description: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }


class ExtensionNotFound(NotFound):
    message = "The resource could not be found."


async def list_extensions(request: Request) -> Reply:
    """All of them."""
    return Reply.json({"extensions": [_view(*one) for one in EXTENSIONS]})


async def show_extension(request: Request) -> Reply:
    """One, by alias."""
    for one in EXTENSIONS:
        if one[0] == request.path["alias"]:
            return Reply.json({"extension": _view(*one)})
    raise ExtensionNotFound


ROUTES = (
    Route("GET", "/v2.1/extensions", list_extensions, summary="List extensions"),
    Route("GET", "/v2.1/extensions/{alias}", show_extension, summary="Show an extension"),
)
