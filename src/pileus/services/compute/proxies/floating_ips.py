"""Floating IPs as the Compute API has them: ``os-floating-ips``, their pools, and the two actions of servers.

Source: Compute API reference, "Floating IPs (os-floating-ips) (DEPRECATED)", "Floating IP pools
(os-floating-ip-pools) (DEPRECATED)", "Add (Associate) Floating Ip (addFloatingIp Action)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Conflict, Fault, NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.services.compute.api import enforce
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.proxies.common import PROXIED, network_names, refusal
from pileus.services.compute.replies import TEXT, TEXT_OR_NULL, UUID, always, named, named_list
from pileus.services.compute.servers.attached import ports_of
from pileus.services.compute.servers.lookup import find_server, must_be_free
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, Route

_PATH = "/v2.0/floatingips"
_NO_MORE = ("ExternalIpAddressExhausted", "IpAddressGenerationFailure")


class FloatingIpNotFound(NotFound):
    message = "Floating IP not found for ID {id}"


class PoolNotFound(NotFound):
    message = "Floating IP pool not found."


class AddressNotFound(NotFound):
    message = "floating IP not found"


async def _views(request: Request, floating: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = await network_names(request, {one["floating_network_id"] for one in floating})
    return [
        {
            "id": one["id"],
            "ip": one["floating_ip_address"],
            "fixed_ip": one["fixed_ip_address"],
            "instance_id": (one["port_details"] or {}).get("device_id") or None,
            "pool": names.get(one["floating_network_id"], one["floating_network_id"]),
        }
        for one in floating
    ]


async def _found(request: Request) -> dict[str, Any]:
    """The one that the path names. Raises FloatingIpNotFound."""
    key = request.path["id"]
    try:
        found = await request.forward("network", "GET", f"{_PATH}/{key}")
    except NotFound:
        raise FloatingIpNotFound(id=key) from None
    return dict(found["floatingip"])


async def list_floating_ips(request: Request) -> Reply:
    """List those of the project."""
    enforce(request, {"project_id": request.context.project_id})
    query = [("project_id", request.context.project_id or "")]
    found = await request.forward("network", "GET", _PATH, query=query)
    return Reply.json({"floating_ips": await _views(request, found["floatingips"])})


async def show_floating_ip(request: Request) -> Reply:
    """Show one."""
    enforce(request, {"project_id": request.context.project_id})
    (view,) = await _views(request, [await _found(request)])
    return Reply.json({"floating_ip": view})


async def _pools(request: Request) -> list[dict[str, Any]]:
    found = await request.forward("network", "GET", "/v2.0/networks", query=[("router:external", "true")])
    return list(found["networks"])


async def list_pools(request: Request) -> Reply:
    """List the networks that floating IPs are taken from."""
    enforce(request)
    return Reply.json(
        {"floating_ip_pools": [{"name": one["name"] or one["id"]} for one in await _pools(request)]}
    )


async def _pool(request: Request, wanted: str | None) -> str:
    """The id of the pool of a name or id; where none is named, the default one, or the only one there is.
    Raises PoolNotFound or Conflict."""
    pools = await _pools(request)
    if wanted is None:
        found = [one for one in pools if one.get("is_default")] or pools
        if len(found) != 1:
            raise PoolNotFound
    else:
        found = [one for one in pools if one["id"] == wanted] or [
            one for one in pools if one["name"] == wanted
        ]
        if not found:
            raise PoolNotFound
        if len(found) > 1:
            raise Conflict(f"Multiple floating IP pools matches found for name '{wanted}'")
    return str(found[0]["id"])


async def create_floating_ip(request: Request) -> Reply:
    """Take one from a pool."""
    enforce(request, {"project_id": request.context.project_id})
    body = declared_body(request) if request.body else None
    pool = (body or {}).get("pool")
    network_id = await _pool(request, pool)
    spec = {"floating_network_id": network_id, "project_id": request.context.project_id}
    try:
        made = await request.forward("network", "POST", _PATH, {"floatingip": spec})
    except Fault as fault:
        if fault.code in _NO_MORE:
            raise NotFound(f"No more floating IPs {f'in pool {pool}' if pool else 'available'}.") from None
        refused = refusal(fault)
        if isinstance(refused, QuotaError):
            raise QuotaError(f"IP allocation over quota{f' in pool {pool}' if pool else ''}.") from None
        raise refused from None
    (view,) = await _views(request, [made["floatingip"]])
    return Reply.json({"floating_ip": view})


async def delete_floating_ip(request: Request) -> Reply:
    """Give one back, wherever it leads."""
    enforce(request, {"project_id": request.context.project_id})
    one = await _found(request)
    try:
        await request.forward("network", "DELETE", f"{_PATH}/{one['id']}")
    except NotFound:
        raise FloatingIpNotFound(id=one["id"]) from None
    return Reply.empty(202)


def _servers_ports(tx: Tx, request: Request) -> list[Values]:
    server = find_server(tx, request)
    must_be_free(request, server)
    return ports_of(tx, server["id"])


async def _of_address(request: Request, address: str) -> dict[str, Any]:
    """The floating IP that has an address. Raises AddressNotFound, or Conflict where several have it."""
    query = [("floating_ip_address", address)]
    found = (await request.forward("network", "GET", _PATH, query=query))["floatingips"]
    if not found:
        raise AddressNotFound
    if len(found) > 1:
        raise Conflict(f"Multiple floating IPs are found for address {address}.")
    return dict(found[0])


async def add_floating_ip(request: Request, argument: Any) -> Reply:
    """The verb ``addFloatingIp``: let an address lead to a server, wherever it led before."""
    ports = await request.read(_servers_ports, request)
    address, wanted = argument["address"], argument.get("fixed_address")
    fixed = [(port["id"], ip["ip_address"]) for port in ports for ip in port["fixed_ips"]]
    if not fixed:
        raise BadRequest("No fixed IPs associated to instance")
    chosen = [one for one in fixed if (one[1] == wanted if wanted else "." in one[1])]
    if not chosen and wanted:
        raise BadRequest("Specified fixed address not assigned to instance")
    if not chosen:
        raise BadRequest(
            f"Unable to associate floating IP {address} to any fixed IPs for instance {request.path['id']}. "
            "Instance has no fixed IPv4 addresses to associate."
        )
    floating = await _of_address(request, address)
    port_id, fixed_address = chosen[0]
    change = {"port_id": port_id, "fixed_ip_address": fixed_address}
    try:
        await request.forward("network", "PUT", f"{_PATH}/{floating['id']}", {"floatingip": change})
    except NotFound as missing:  # such as a router that leads to the address's network
        raise BadRequest(
            f"Unable to associate floating IP {address} to fixed IP {fixed_address} for instance "
            f"{request.path['id']}. Error: {missing.text}"
        ) from None
    except Fault as fault:
        raise refusal(fault) from None
    return Reply.empty(202)


async def remove_floating_ip(request: Request, argument: Any) -> Reply:
    """The verb ``removeFloatingIp``."""
    ports = {port["id"] for port in await request.read(_servers_ports, request)}
    floating = await _of_address(request, argument["address"])
    if floating["port_id"] not in ports:
        raise Conflict(
            f"Floating IP {argument['address']} is not associated with instance {request.path['id']}."
        )
    await request.forward("network", "PUT", f"{_PATH}/{floating['id']}", {"floatingip": {"port_id": None}})
    return Reply.empty(202)


_FLOATING_IP = always(
    {"id": UUID, "ip": TEXT, "fixed_ip": TEXT_OR_NULL, "instance_id": TEXT_OR_NULL, "pool": TEXT}
)
_NEW = types.nullable(types.dict_of({"pool": types.nullable(types.string(255))}))
_TO_ADD = types.dict_of(
    {"address": types.ip_address, "fixed_address": types.ip_address}, required=("address",)
)
_TO_REMOVE = types.dict_of({"address": types.ip_address}, required=("address",))
_RULE = "os_compute_api:os-floating-ips:"
_ALL, _ONE = "/v2.1/os-floating-ips", "/v2.1/os-floating-ips/{id}"
_WITH_ACTIONS = ("2.1", "2.43")

FLOATING_IP_ACTIONS = {
    "addFloatingIp": Action(
        _TO_ADD,
        add_floating_ip,
        rule=_RULE + "add",
        versions=_WITH_ACTIONS,
        reply=NO_BODY,
        summary="Let a floating IP lead to a server",
    ),
    "removeFloatingIp": Action(
        _TO_REMOVE,
        remove_floating_ip,
        rule=_RULE + "remove",
        versions=_WITH_ACTIONS,
        reply=NO_BODY,
        summary="Let a floating IP lead to a server no longer",
    ),
}

FLOATING_IPS = Noun(
    name="proxied_floating_ip",
    rules=rules(
        {
            "os-floating-ips:add": ADMIN_OR_MEMBER,
            "os-floating-ips:remove": ADMIN_OR_MEMBER,
            "os-floating-ips:list": ADMIN_OR_READER,
            "os-floating-ips:show": ADMIN_OR_READER,
            "os-floating-ips:create": ADMIN_OR_MEMBER,
            "os-floating-ips:delete": ADMIN_OR_MEMBER,
            "os-floating-ip-pools": "@",
        }
    ),
    extensions=(
        Extension("os-floating-ips", "FloatingIps", "Floating IPs support."),
        Extension("os-floating-ip-pools", "FloatingIpPools", "Floating IPs support."),
    ),
    routes=(
        Route(
            "GET",
            _ALL,
            list_floating_ips,
            versions=PROXIED,
            rule=_RULE + "list",
            reply=named_list("floating_ips", _FLOATING_IP),
            summary="List floating IPs",
        ),
        Route(
            "POST",
            _ALL,
            create_floating_ip,
            versions=PROXIED,
            rule=_RULE + "create",
            body=_NEW,
            reply=named("floating_ip", _FLOATING_IP),
            summary="Allocate a floating IP",
        ),
        Route(
            "GET",
            _ONE,
            show_floating_ip,
            versions=PROXIED,
            rule=_RULE + "show",
            reply=named("floating_ip", _FLOATING_IP),
            summary="Show a floating IP",
        ),
        Route(
            "DELETE",
            _ONE,
            delete_floating_ip,
            versions=PROXIED,
            rule=_RULE + "delete",
            status=202,
            reply=NO_BODY,
            summary="Release a floating IP",
        ),
        Route(
            "GET",
            "/v2.1/os-floating-ip-pools",
            list_pools,
            versions=PROXIED,
            rule="os_compute_api:os-floating-ip-pools",
            reply=named_list("floating_ip_pools", always({"name": TEXT})),
            summary="List pools of floating IPs",
        ),
    ),
)
