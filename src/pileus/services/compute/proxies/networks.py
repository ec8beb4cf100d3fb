"""Networks as the Compute API shows them (``os-networks``, ``os-tenant-networks``).

Source: Compute API reference, "Networks (os-networks) (DEPRECATED)" and "Project networks
(os-tenant-networks) (DEPRECATED)".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.types import Type
from pileus.services.compute.api import enforce
from pileus.services.compute.policy import ADMIN_OR_READER, is_admin, rules
from pileus.services.compute.proxies.common import PROXIED, NetworkNotFound, networks_seen
from pileus.services.compute.replies import NULL, TEXT, UUID, always, named, named_list
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

# Of what the old network service knew, the network service tells an id and a name.
_EVERYBODYS = (
    "cidr",
    "netmask",
    "gateway",
    "broadcast",
    "dns1",
    "dns2",
    "cidr_v6",
    "gateway_v6",
    "netmask_v6",
)
_ADMINISTRATORS = (
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "injected",
    "bridge",
    "vlan",
    "vpn_public_address",
    "vpn_public_port",
    "vpn_private_address",
    "dhcp_start",
    "project_id",
    "host",
    "bridge_interface",
    "multi_host",
    "priority",
    "rxtx_base",
    "mtu",
    "dhcp_server",
    "enable_dhcp",
    "share_address",
)

View = Callable[[Request, dict[str, Any]], dict[str, Any]]


def _view(request: Request, network: dict[str, Any]) -> dict[str, Any]:
    unknown = (*_EVERYBODYS, *_ADMINISTRATORS) if is_admin(request.access) else _EVERYBODYS
    return {"id": network["id"], "label": network["name"], **dict.fromkeys(unknown)}


def _project_view(_: Request, network: dict[str, Any]) -> dict[str, Any]:
    return {"id": network["id"], "cidr": "None", "label": network["name"]}


def _lister(view: View) -> Handler:
    async def list_networks(request: Request) -> Reply:
        """List the networks that the project's servers may be on."""
        enforce(request, {"project_id": request.context.project_id})
        found = await networks_seen(request)
        return Reply.json({"networks": [view(request, one) for one in found]})

    return list_networks


def _shower(view: View) -> Handler:
    async def show_network(request: Request) -> Reply:
        """Show one that the caller sees."""
        enforce(request, {"project_id": request.context.project_id})
        try:
            found = await request.forward("network", "GET", f"/v2.0/networks/{request.path['id']}")
        except NotFound:
            raise NetworkNotFound from None
        return Reply.json({"network": view(request, found["network"])})

    return show_network


_ONE = always(
    {"id": UUID, "label": TEXT, **dict.fromkeys(_EVERYBODYS, NULL)}, dict.fromkeys(_ADMINISTRATORS, NULL)
)
_PROJECTS = always({"id": UUID, "cidr": types.enum("None"), "label": TEXT})


def _routes(path: str, what: str, rule: str, view: View, kind: Type) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            path,
            _lister(view),
            versions=PROXIED,
            rule=f"os_compute_api:{rule}:list",
            reply=named_list("networks", kind),
            summary=f"List {what}",
        ),
        Route(
            "GET",
            f"{path}/{{id}}",
            _shower(view),
            versions=PROXIED,
            rule=f"os_compute_api:{rule}:show",
            reply=named("network", kind),
            summary=f"Show one of {what}",
        ),
    )


NETWORKS = Noun(
    name="proxied_network",
    rules=rules(
        {
            "os-networks:list": ADMIN_OR_READER,
            "os-networks:show": ADMIN_OR_READER,
            "os-tenant-networks:list": ADMIN_OR_READER,
            "os-tenant-networks:show": ADMIN_OR_READER,
        }
    ),
    routes=(
        *_routes("/v2.1/os-networks", "networks", "os-networks", _view, _ONE),
        *_routes(
            "/v2.1/os-tenant-networks",
            "the project's networks",
            "os-tenant-networks",
            _project_view,
            _PROJECTS,
        ),
    ),
)
