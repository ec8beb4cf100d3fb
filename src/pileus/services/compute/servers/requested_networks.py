"""Which networks and ports a server is to be plugged into: checked when it is asked for."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import Conflict, Forbidden
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import is_admin
from pileus.services.compute.servers.attached import holders_of
from pileus.services.compute.uses.network import (
    addresses_taken,
    default_groups,
    groups_named,
    is_automatic,
    may_have,
    networks_visible,
    ports_by_id,
    subnets_of,
)
from pileus.store.tx import Tx

AUTO, NONE = "auto", "none"


class PortInUse(Conflict):
    message = "Port {port_id} is still in use."


class NetworkAmbiguous(Conflict):
    message = "Multiple possible networks found, use a Network ID to be more specific."


class ExternalNetworkForbidden(Forbidden):
    message = "It is not allowed to create an interface on external network {id}"


def requested_network(
    network_id: str, *, port_id: str | None = None, fixed_ip: str | None = None, tag: str | None = None
) -> dict[str, Any]:
    """A requested network, as it is kept until the boot: a port that exists, or one to be made."""
    return {"network_id": network_id, "port_id": port_id, "fixed_ip": fixed_ip, "tag": tag}


def requested_networks_check(
    tx: Tx,
    access: Access,
    asked: str | Sequence[dict[str, Any]] | None,
    count: int,
    *,
    with_groups: bool = False,
) -> list[dict[str, Any]]:
    """The requested networks for ``count`` servers; at most seven statements. Raises what Nova answers.

    ``with_groups``: security groups are named for the ports that will be made.
    """
    if asked == NONE:
        return []
    if asked is None or asked == AUTO or asked == []:
        networks = networks_visible(tx, access)
        if len(networks) > 1:
            raise NetworkAmbiguous
        if not networks:
            if asked == AUTO:
                raise BadRequest("Unable to automatically allocate a network for project")
            return []
        _fit_for_servers(tx, networks, with_groups)
        return [requested_network(networks[0]["id"])]
    assert not isinstance(asked, str)
    ports = _ports(tx, access, asked, count)
    requested = []
    for one in asked:
        port_id = one.get("port")
        if port_id:
            if one.get("fixed_ip"):
                raise BadRequest(
                    f"Specified Fixed IP '{one['fixed_ip']}' cannot be used with port '{port_id}': "
                    "the two cannot be specified together."
                )
            requested.append(
                requested_network(ports[port_id]["network_id"], port_id=port_id, tag=one.get("tag"))
            )
        elif one.get("uuid"):
            requested.append(requested_network(one["uuid"], fixed_ip=one.get("fixed_ip"), tag=one.get("tag")))
        else:
            raise BadRequest("Bad network format: missing 'uuid'")
    if count > 1 and any(one["fixed_ip"] for one in requested):
        raise BadRequest(
            "Invalid fixed IP and maximum count request: max_count cannot be greater than 1 if a "
            "fixed_ip is specified."
        )
    subnets = networks_check(
        tx, access, [one["network_id"] for one in requested if not one["port_id"]], with_groups
    )
    addresses_check(
        tx, [(one["network_id"], one["fixed_ip"]) for one in requested if one["fixed_ip"]], subnets
    )
    return requested


def addresses_check(tx: Tx, wanted: Sequence[tuple[str, str]], subnets: Sequence[Values]) -> None:
    """BadRequest for addresses that networks (of these subnets) do not have, or somebody has already."""
    for network_id, address in wanted:
        ours = [one for one in subnets if one["network_id"] == network_id and _inside(one["cidr"], address)]
        if not ours:
            raise BadRequest(f"Fixed IP {address} is not a valid ip address for network {network_id}.")
        if is_automatic(ours[0]["ipv6_ra_mode"], ours[0]["ipv6_address_mode"]):
            raise BadRequest(
                f"Fixed IP {address} can not be chosen: the addresses of subnet {ours[0]['id']} follow from "
                "the hardware address."
            )
    taken: dict[tuple[str, str], str | None] = dict(addresses_taken(tx, wanted))
    for pair in wanted:
        if pair in taken:
            raise BadRequest(f"Fixed IP address {pair[1]} is already in use on instance {taken[pair]}.")
        taken[pair] = None


def _inside(cidr: str, address: str) -> bool:
    return may_have(ipaddress.ip_network(cidr), ipaddress.ip_address(address), of_router=False)


def _ports(tx: Tx, access: Access, asked: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    wanted = [one["port"] for one in asked if one.get("port")]
    if not wanted:
        return {}
    if count > 1:
        raise BadRequest(
            "Unable to launch multiple instances with a single configured port ID. Please launch your "
            "instance one by one with different ports."
        )
    if len(set(wanted)) != len(wanted):
        raise BadRequest("Duplicate ports in the request")
    found = ports_by_id(tx, wanted, lock=True)
    held = holders_of(tx, wanted)
    admin = is_admin(access)
    for port_id in wanted:
        port = found.get(port_id)
        if port is None or not (admin or port["project_id"] == access.context.project_id):
            raise BadRequest(f"Port id {port_id} could not be found.")
        if port["device_id"] or port_id in held:
            raise PortInUse(port_id=port_id)
        if not port["fixed_ips"]:
            raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.")
    return found


def networks_check(
    tx: Tx, access: Access, network_ids: Collection[str], with_groups: bool = False
) -> list[Values]:
    """The subnets of networks that the caller may plug servers into; raises for the others."""
    if not network_ids:
        return []
    found = {one["id"]: one for one in networks_visible(tx, access, set(network_ids))}
    for network_id in network_ids:
        network = found.get(network_id)
        if network is None:
            raise BadRequest(f"Network {network_id} could not be found.")
        external = network["router:external"] and not network["shared"]
        own = network["project_id"] == access.context.project_id
        if external and not own and not access.allows("os_compute_api:servers:create:attach_external"):
            raise ExternalNetworkForbidden(id=network_id)
    return _fit_for_servers(tx, list(found.values()), with_groups)


def _fit_for_servers(tx: Tx, networks: Sequence[Values], with_groups: bool) -> list[Values]:
    """The networks' subnets; BadRequest where one has none, or can't have the security groups asked for."""
    subnets = subnets_of(tx, {network["id"] for network in networks})
    having = {subnet["network_id"] for subnet in subnets}
    for network in networks:
        if network["id"] not in having:
            raise BadRequest(f"Network {network['id']} requires a subnet in order to boot instances on.")
        if with_groups and not network["port_security_enabled"]:
            raise BadRequest(
                "Network requires port_security_enabled and subnet associated in order to apply "
                "security groups."
            )
    return subnets


def groups_check(tx: Tx, context: Context, names: Collection[str]) -> list[str] | None:
    """Ids of the security groups of these names or ids; None where none is asked for."""
    if not names:
        return None
    wanted = sorted(set(names))
    project_id = context.project_id or ""
    ids = list(default_groups(tx, context, {project_id}).values()) if "default" in wanted else []
    wanted = [name for name in wanted if name != "default"]
    found = groups_named(tx, context, wanted)
    for name in wanted:
        matching = [one for one in found if one["id"] == name] or [
            one for one in found if one["name"] == name
        ]
        if not matching:
            raise BadRequest(f"Unable to find security_group with name or id '{name}'")
        if len(matching) > 1:
            raise Conflict(
                f"Multiple security_group matches found for name '{name}', use an ID to be more specific."
            )
        ids.append(matching[0]["id"])
    return ids
