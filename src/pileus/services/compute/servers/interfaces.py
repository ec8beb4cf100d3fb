"""Interfaces of servers: attach, detach, list.

Source: Compute API reference, "Port interfaces". A change is written in one unit
with the port's; the host's next look plugs or unplugs it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, func, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.errors import BadRequest, PortBindingFailed
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, is_admin, rules
from pileus.services.compute.replies import TEXT, TEXT_OR_NULL, UUID, always, named, named_list
from pileus.services.compute.servers.attached import AttachedPort, attached_ports, holders_of, ports_of
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import (
    change,
    find_server,
    must_be_free,
    must_be_unlocked,
    must_permit,
)
from pileus.services.compute.servers.requested_networks import PortInUse, networks_check
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.tables.servers import server_interfaces
from pileus.services.compute.uses.network import (
    NetworkConfig,
    as_update,
    bindings_refused,
    is_networks_own,
    networks_visible,
    new_port,
    port_create,
    port_delete,
    port_update,
    ports_by_id,
    subnets_of,
)
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route


class PortNotFound(NotFound):
    message = "Port id {port_id} could not be found."


class InterfaceNotFound(NotFound):
    message = "Instance {id} does not have a port with id {port_id}"


class NetworkNotFound(NotFound):
    message = "Network {network_id} could not be found."


def _attach_body(version: Version) -> Type:
    fields: dict[str, Type] = {
        "port_id": types.uuid,
        "net_id": types.uuid,
        "fixed_ips": types.list_of(
            types.dict_of({"ip_address": types.ip_address}, required=("ip_address",)), minimum=1, maximum=1
        ),
    }
    if at_least(version, "2.49"):
        fields["tag"] = types.string(60, minimum=1, pattern=r"[^,/]*")
    return types.dict_of({"interfaceAttachment": types.dict_of(fields)})


_FIXED_IP = always({"subnet_id": UUID, "ip_address": TEXT})
_RULE = "os_compute_api:os-attach-interfaces:"


def _shown(version: Version) -> Type:
    fields = {
        "port_id": UUID,
        "net_id": UUID,
        "mac_addr": types.mac,
        "port_state": TEXT,
        "fixed_ips": types.list_of(_FIXED_IP),
    }
    return always({**fields, "tag": TEXT_OR_NULL} if at_least(version, "2.70") else fields)


_ONE = ByVersion(lambda version: named("interfaceAttachment", _shown(version)))


class InterfaceHandlers:
    """Handlers that know the network's settings."""

    def __init__(self, network: NetworkConfig) -> None:
        self._network = network

    def _view(self, request: Request, one: AttachedPort) -> dict[str, Any]:
        port = one.port
        view = {
            "port_id": port["id"],
            "net_id": port["network_id"],
            "mac_addr": port["mac_address"],
            "port_state": port["status"],
            "fixed_ips": [
                {"subnet_id": ip["subnet_id"], "ip_address": ip["ip_address"]}
                for ip in port["fixed_ips"] or []
            ],
        }
        if since(request, "2.70"):
            view["tag"] = one.tag
        return view

    def _list(self, tx: Tx, request: Request) -> list[AttachedPort]:
        server = find_server(tx, request)
        return attached_ports(tx, [server["id"]]).get(server["id"], [])

    async def list_interfaces(self, request: Request) -> Reply:
        """List a server's ports in their order."""
        found = await request.read(self._list, request)
        return Reply.json({"interfaceAttachments": [self._view(request, one) for one in found]})

    async def show(self, request: Request) -> Reply:
        """Show one of them."""
        port_id = request.path["port_id"]
        for one in await request.read(self._list, request):
            if one.port["id"] == port_id:
                return Reply.json({"interfaceAttachment": self._view(request, one)})
        raise InterfaceNotFound(id=request.path["id"], port_id=port_id)

    # -- attach, detach

    def _attach(self, tx: Tx, request: Request, asked: dict[str, Any]) -> AttachedPort:
        server = permitted(tx, request, "attach_interface")
        must_be_free(request, server)
        owned = f"compute:{server['availability_zone'] or ''}"
        if asked.get("port_id"):
            port = self._given(tx, request, server, asked["port_id"])
            update = as_update(
                port,
                device_id=server["id"],
                device_owner=owned,
                binding__host_id=server["host"],
                quarantined=server["quarantined"] is not None,
            )
            port = port_update(tx, request.context, [update], config=self._network)[0]
            made = False
        else:
            network_id = self._network_of(tx, request, asked.get("net_id"))
            values: dict[str, Any] = {"fixed_ips": asked["fixed_ips"]} if asked.get("fixed_ips") else {}
            spec = new_port(
                as_admin(request),
                project_id=server["project_id"],
                network_id=network_id,
                device_id=server["id"],
                device_owner=owned,
                **{"binding:host_id": server["host"]},
                **values,
            )
            spec["quarantined"] = server["quarantined"] is not None
            port = port_create(tx, as_admin(request), [spec], config=self._network)[0]
            made = True
        for port_id, reason in bindings_refused(tx, request.context, [port], self._network).items():
            raise PortBindingFailed(port_id=port_id, reason=reason)
        last = tx.scalar(
            select(func.max(server_interfaces.c.position)).where(
                server_interfaces.c.server_id == server["id"]
            )
        )
        tx.insert(
            server_interfaces,
            [
                {
                    "port_id": port["id"],
                    "server_id": server["id"],
                    "position": 0 if last is None else last + 1,
                    "made": made,
                    "tag": asked.get("tag"),
                }
            ],
        )
        action_begin(tx, request.context, [server["id"]], "attach_interface", done=True)
        change(tx, request.context, server)
        wake(tx, request, server, attached=port["id"])
        return AttachedPort(port, made, 0, asked.get("tag"), "", {})

    def _given(self, tx: Tx, request: Request, server: Values, port_id: str) -> Values:
        port = ports_by_id(tx, [port_id], lock=True).get(port_id)
        if port is None or not (port["project_id"] == request.context.project_id or is_admin(request.access)):
            raise PortNotFound(port_id=port_id)
        if port["device_id"] or holders_of(tx, [port_id]):
            raise PortInUse(port_id=port_id)
        return port

    def _network_of(self, tx: Tx, request: Request, network_id: str | None) -> str:
        if network_id is not None:
            found = networks_visible(tx, request.access, [network_id])
            if not found:
                raise NetworkNotFound(network_id=network_id)
            networks_check(request.access, [network_id], found, subnets_of(tx, [network_id]))
            return network_id
        networks = networks_visible(tx, request.access)
        if len(networks) != 1:
            raise BadRequest(
                "No network was named, and there is none to choose."
                if not networks
                else "Multiple possible networks found, use a Network ID to be more specific."
            )
        return str(networks[0]["id"])

    async def attach(self, request: Request) -> Reply:
        """Plug in a port that is given, or one made on a network."""
        body = declared_body(request) if request.body else {}
        asked = body.get("interfaceAttachment", {})
        if asked.get("net_id") and asked.get("port_id"):
            raise BadRequest("Must not input both network_id and port_id")
        if asked.get("fixed_ips") and not asked.get("net_id"):
            raise BadRequest("Must input network_id when request IP address")
        attached = await request.write(self._attach, request, asked)
        return Reply.json({"interfaceAttachment": self._view(request, attached)})

    def _detach(self, tx: Tx, request: Request) -> None:
        server = find_server(tx, request, lock=True)
        must_be_unlocked(request, server)
        must_be_free(request, server)
        port_id = request.path["port_id"]
        attached = {one.port["id"]: one for one in attached_ports(tx, [server["id"]]).get(server["id"], [])}
        if port_id not in attached:
            raise InterfaceNotFound(id=server["id"], port_id=port_id)
        must_permit("detach_interface", server)
        one = attached[port_id]
        context = as_admin(request)
        if one.made and not is_networks_own(one.port):
            port_delete(tx, context, [one.port], config=self._network)
        elif one.port["device_id"] in ("", server["id"]):
            freed = as_update(one.port, device_id="", device_owner="", binding__host_id="", quarantined=False)
            port_update(tx, context, [freed], config=self._network)
        tx.execute(delete(server_interfaces).where(server_interfaces.c.port_id == port_id))
        action_begin(tx, request.context, [server["id"]], "detach_interface", done=True)
        change(tx, request.context, server)
        wake(tx, request, server, detached=port_id)

    async def detach(self, request: Request) -> Reply:
        """Unplug a port; one that was made for the server goes."""
        await request.write(self._detach, request)
        return Reply.empty(202)

    # -- addresses, until 2.43

    def _add_address(self, tx: Tx, request: Request, network_id: str) -> None:
        server = permitted(tx, request, "attach_interface")
        must_be_free(request, server)
        ports = [port for port in ports_of(tx, server["id"]) if port["network_id"] == network_id]
        if not ports:
            raise NetworkNotFound(network_id=network_id)
        subnets = [one for one in subnets_of(tx, [network_id]) if one["ip_version"] == 4]
        if not subnets:
            raise BadRequest(f"Network {network_id} has no IPv4 subnet.")
        wanted = [*(ports[0]["fixed_ips"] or []), {"subnet_id": subnets[0]["id"]}]
        port_update(tx, as_admin(request), [as_update(ports[0], fixed_ips=wanted)], config=self._network)

    async def add_address(self, request: Request, argument: Any) -> Reply:
        """The verb ``addFixedIp``."""
        await request.write(self._add_address, request, argument["networkId"])
        return Reply.empty(202)

    def _remove_address(self, tx: Tx, request: Request, address: str) -> None:
        server = permitted(tx, request, "detach_interface")
        must_be_free(request, server)
        for port in ports_of(tx, server["id"]):
            kept = [ip for ip in port["fixed_ips"] or [] if ip["ip_address"] != address]
            if len(kept) != len(port["fixed_ips"] or []):
                port_update(tx, as_admin(request), [as_update(port, fixed_ips=kept)], config=self._network)
                return
        raise BadRequest(f"Fixed IP {address} is not associated with server {server['id']}.")

    async def remove_address(self, request: Request, argument: Any) -> Reply:
        """The verb ``removeFixedIp``."""
        await request.write(self._remove_address, request, argument["address"])
        return Reply.empty(202)


def interface_actions(handlers: InterfaceHandlers) -> dict[str, Action]:
    """The actions about addresses of interfaces, until 2.43."""
    network = types.dict_of({"networkId": types.uuid}, required=("networkId",))
    address = types.dict_of({"address": types.ip_address}, required=("address",))
    return {
        "addFixedIp": Action(
            network,
            handlers.add_address,
            rule="os_compute_api:os-multinic:add",
            versions=("", "2.43"),
            summary="Add an address on a network",
        ),
        "removeFixedIp": Action(
            address,
            handlers.remove_address,
            rule="os_compute_api:os-multinic:remove",
            versions=("", "2.43"),
            summary="Remove an address",
        ),
    }


def interfaces_noun(handlers: InterfaceHandlers) -> Noun:
    """The noun; its actions are ``interface_actions``."""
    every, one_of_them = "/v2.1/servers/{id}/os-interface", "/v2.1/servers/{id}/os-interface/{port_id}"
    return Noun(
        name="server_interface",
        rules=rules(
            {
                "os-attach-interfaces:list": ADMIN_OR_READER,
                "os-attach-interfaces:show": ADMIN_OR_READER,
                "os-attach-interfaces:create": ADMIN_OR_MEMBER,
                "os-attach-interfaces:delete": ADMIN_OR_MEMBER,
                "os-multinic:add": ADMIN_OR_MEMBER,
                "os-multinic:remove": ADMIN_OR_MEMBER,
            }
        ),
        extensions=(Extension("os-attach-interfaces", "AttachInterfaces", "Attach interface support."),),
        routes=(
            Route(
                "GET",
                every,
                handlers.list_interfaces,
                rule=_RULE + "list",
                reply=ByVersion(lambda version: named_list("interfaceAttachments", _shown(version))),
                summary="List a server's interfaces",
            ),
            Route(
                "POST",
                every,
                handlers.attach,
                rule=_RULE + "create",
                body=ByVersion(_attach_body),
                reply=_ONE,
                summary="Attach an interface",
            ),
            Route(
                "GET",
                one_of_them,
                handlers.show,
                rule=_RULE + "show",
                reply=_ONE,
                summary="Show an interface",
            ),
            Route(
                "DELETE",
                one_of_them,
                handlers.detach,
                rule=_RULE + "delete",
                reply=NO_BODY,
                status=202,
                summary="Detach an interface",
            ),
        ),
    )


def as_admin(request: Request) -> Context:
    """The same caller, for what compute does in the network on his behalf: it names hosts."""
    return msgspec.structs.replace(request.context, is_admin=True)
