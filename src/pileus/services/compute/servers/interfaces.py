"""Interfaces of servers, while they live: attach, detach, list; their security groups.

Source: Compute API reference, "Port interfaces" and "Server security groups". A change is written in one unit
with the port's; the host's next look plugs or unplugs it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version, parse
from pileus.services.compute.declared import body_of, by_version, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.neighbours import (
    NetworkConfig,
    as_update,
    groups_by_id,
    groups_named,
    is_networks_own,
    networks_visible,
    new_port,
    port_create,
    port_delete,
    port_update,
    ports_by_id,
    subnets_of,
)
from pileus.services.compute.policy import is_admin
from pileus.services.compute.servers.actions import Verb, permitted, wake
from pileus.services.compute.servers.attached import holders_of, ports_of
from pileus.services.compute.servers.extras import Plugged, plugged_of
from pileus.services.compute.servers.finding import (
    change,
    find_server,
    must_be_free,
    must_be_unlocked,
    must_permit,
)
from pileus.services.compute.servers.history import action_begin
from pileus.services.compute.servers.plugs import PortInUse, networks_check
from pileus.services.compute.servers.tables import server_interfaces
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class PortNotFound(NotFound):
    message = "Port id {port_id} could not be found."


class InterfaceNotFound(NotFound):
    message = "Instance {id} does not have a port with id {port_id}"


class NetworkNotFound(NotFound):
    message = "Network {network_id} could not be found."


class GroupNotFound(NotFound):
    message = "Security group {name} not found for project {project_id}."


@by_version
def _attach_type(version: Version) -> Type:
    fields: dict[str, Type] = {
        "port_id": types.uuid,
        "net_id": types.uuid,
        "fixed_ips": types.list_of(
            types.dict_of({"ip_address": types.ip_address}, required=("ip_address",)), minimum=1, maximum=1
        ),
    }
    if version >= parse("2.49"):
        fields["tag"] = types.string(60, minimum=1, pattern=r"[^,/]*")
    return types.dict_of({"interfaceAttachment": types.dict_of(fields)})


class InterfaceHandlers:
    """Handlers that know the network's settings."""

    def __init__(self, network: NetworkConfig) -> None:
        self._network = network

    def _view(self, request: Request, one: Plugged) -> dict[str, Any]:
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

    def _list(self, tx: Tx, request: Request, rule: str) -> list[Plugged]:
        server = find_server(tx, request, rule=f"os_compute_api:os-attach-interfaces:{rule}")
        return plugged_of(tx, [server["id"]]).get(server["id"], [])

    async def list_interfaces(self, request: Request) -> Reply:
        """A server's ports in their order."""
        found = await request.read(self._list, request, "list")
        return Reply.json({"interfaceAttachments": [self._view(request, one) for one in found]})

    async def show(self, request: Request) -> Reply:
        """One of them."""
        port_id = request.path["port_id"]
        for one in await request.read(self._list, request, "show"):
            if one.port["id"] == port_id:
                return Reply.json({"interfaceAttachment": self._view(request, one)})
        raise InterfaceNotFound(id=request.path["id"], port_id=port_id)

    # -- attach, detach

    def _attach(self, tx: Tx, request: Request, asked: dict[str, Any]) -> Plugged:
        server = permitted(tx, request, "os_compute_api:os-attach-interfaces:create", "attach_interface")
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
        return Plugged(port, made, 0, asked.get("tag"), "", {})

    def _given(self, tx: Tx, request: Request, server: Values, port_id: str) -> Values:
        port = ports_by_id(tx, [port_id], lock=True).get(port_id)
        context = request.context
        if port is None or not (
            port["project_id"] == context.project_id or is_admin(context.roles, context.is_admin)
        ):
            raise PortNotFound(port_id=port_id)
        if port["device_id"] or holders_of(tx, [port_id]):
            raise PortInUse(port_id=port_id)
        return port

    def _network_of(self, tx: Tx, request: Request, network_id: str | None) -> str:
        if network_id is not None:
            if not networks_visible(tx, request.context, [network_id]):
                raise NetworkNotFound(network_id=network_id)
            networks_check(tx, request.context, [network_id])
            return network_id
        networks = networks_visible(tx, request.context)
        if len(networks) != 1:
            raise BadRequest(
                "No network was named, and there is none to choose."
                if not networks
                else "Multiple possible networks found, use a Network ID to be more specific."
            )
        return str(networks[0]["id"])

    async def attach(self, request: Request) -> Reply:
        """Plug in a port that is given, or one made on a network."""
        body = body_of(request, _attach_type(request)) if request.body else {}
        asked = body.get("interfaceAttachment", {})
        if asked.get("net_id") and asked.get("port_id"):
            raise BadRequest("Must not input both network_id and port_id")
        if asked.get("fixed_ips") and not asked.get("net_id"):
            raise BadRequest("Must input network_id when request IP address")
        plugged = await request.write(self._attach, request, asked)
        return Reply.json({"interfaceAttachment": self._view(request, plugged)})

    def _detach(self, tx: Tx, request: Request) -> None:
        server = find_server(tx, request, rule="os_compute_api:os-attach-interfaces:delete", lock=True)
        must_be_unlocked(request, server)
        must_be_free(request, server)
        port_id = request.path["port_id"]
        plugged = {one.port["id"]: one for one in plugged_of(tx, [server["id"]]).get(server["id"], [])}
        if port_id not in plugged:
            raise InterfaceNotFound(id=server["id"], port_id=port_id)
        must_permit("detach_interface", server)
        one = plugged[port_id]
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
        server = permitted(tx, request, "os_compute_api:os-attach-interfaces:create", "attach_interface")
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
        server = permitted(tx, request, "os_compute_api:os-attach-interfaces:delete", "detach_interface")
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

    # -- security groups

    def _regroup(self, tx: Tx, request: Request, name: str, add: bool) -> None:
        rule = f"os_compute_api:os-security-groups:{'add' if add else 'remove'}"
        server = find_server(tx, request, rule=rule, lock=True)
        must_be_free(request, server)
        found = groups_named(tx, request.context, [name])
        found = [one for one in found if one["id"] == name] or found
        if not found:
            raise GroupNotFound(name=name, project_id=request.context.project_id)
        if len(found) > 1:
            raise Conflict(
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        group_id = found[0]["id"]
        ports = [port for port in ports_of(tx, server["id"]) if port["port_security_enabled"]]
        updates = []
        for port in ports:
            groups = list(port["security_groups"])
            if add and group_id not in groups:
                updates.append(as_update(port, security_groups=[*groups, group_id]))
            elif not add and group_id in groups:
                updates.append(as_update(port, security_groups=[one for one in groups if one != group_id]))
        if not add and not updates:
            raise GroupNotFound(f"Security group {name} not associated with the instance {server['id']}")
        if updates:
            port_update(tx, request.context, updates, config=self._network)

    async def add_group(self, request: Request, argument: Any) -> Reply:
        """The verb ``addSecurityGroup``."""
        await request.write(self._regroup, request, argument["name"], True)
        return Reply.empty(202)

    async def remove_group(self, request: Request, argument: Any) -> Reply:
        """The verb ``removeSecurityGroup``."""
        await request.write(self._regroup, request, argument["name"], False)
        return Reply.empty(202)

    def _groups(self, tx: Tx, request: Request) -> list[dict[str, Any]]:
        server = find_server(tx, request, rule="os_compute_api:os-security-groups:list")
        ids = {group for port in ports_of(tx, server["id"]) for group in port["security_groups"]}
        return [_group_view(one) for one in groups_by_id(tx, ids)]

    async def list_groups(self, request: Request) -> Reply:
        """The groups of all its ports."""
        return Reply.json({"security_groups": await request.read(self._groups, request)})

    def verbs(self) -> dict[str, Verb]:
        """The verbs of this file, for the table of actions."""
        name = types.dict_of(
            {"name": types.string(255, minimum=1)}, required=("name",), additional=types.anything
        )
        network = types.dict_of({"networkId": types.uuid}, required=("networkId",))
        address = types.dict_of({"address": types.ip_address}, required=("address",))
        return {
            "addSecurityGroup": Verb(lambda version: name, self.add_group),
            "removeSecurityGroup": Verb(lambda version: name, self.remove_group),
            "addFixedIp": Verb(lambda version: network, self.add_address, last="2.43"),
            "removeFixedIp": Verb(lambda version: address, self.remove_address, last="2.43"),
        }

    def routes(self) -> tuple[Route, ...]:
        """Paths and verbs."""
        one = "/v2.1/servers/{id}/os-interface"
        return (
            Route("GET", one, self.list_interfaces, summary="List a server's interfaces"),
            Route("POST", one, self.attach, summary="Attach an interface"),
            Route("GET", f"{one}/{{port_id}}", self.show, summary="Show an interface"),
            Route("DELETE", f"{one}/{{port_id}}", self.detach, status=202, summary="Detach an interface"),
            Route(
                "GET",
                "/v2.1/servers/{id}/os-security-groups",
                self.list_groups,
                summary="List a server's security groups",
            ),
        )


def as_admin(request: Request) -> Context:
    """The same caller, for what compute does in the network on his behalf: it names hosts."""
    return msgspec.structs.replace(request.context, is_admin=True)


def _group_view(group: Values) -> dict[str, Any]:
    rules = [
        {
            "id": rule["id"],
            "parent_group_id": group["id"],
            "ip_protocol": rule["protocol"],
            "from_port": rule["port_range_min"],
            "to_port": rule["port_range_max"],
            "ip_range": {"cidr": rule["remote_ip_prefix"]} if rule["remote_ip_prefix"] else {},
            "group": {"name": rule["remote_group_id"]} if rule["remote_group_id"] else {},
        }
        for rule in group.get("security_group_rules") or []
        if rule["direction"] == "ingress"
    ]
    return {
        "id": group["id"],
        "name": group["name"],
        "description": group["description"],
        "tenant_id": group["project_id"],
        "rules": rules,
    }
