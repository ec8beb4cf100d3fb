"""The networks and ports that a server is to have: facts are read at once, and decided on purely."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pileus.core.context import Context
from pileus.core.errors import Conflict, Forbidden
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ATTACH_EXTERNAL, is_admin
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

Requested = str | Sequence[dict[str, Any]] | None
"""``auto``, ``none``, a list of networks and ports, or None: as a request has it."""

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


class NetworkFacts(NamedTuple):
    """Facts about the networks and ports of a request.

    ``networks`` are those that the caller may use, of which ``subnets`` are; ``held`` says which servers have
    the ``ports`` already, and ``taken`` which devices the addresses that are asked for.
    """

    networks: list[Values]
    subnets: list[Values]
    ports: Mapping[str, Values]
    held: Mapping[str, str]
    taken: Mapping[tuple[str, str], str]


def network_facts_read(tx: Tx, access: Access, asked: Requested) -> NetworkFacts:
    """Read them, in at most seven statements; ports are held until the transaction ends."""
    if asked == NONE:
        return NetworkFacts([], [], {}, {}, {})
    if _is_automatic(asked):
        networks = networks_visible(tx, access)
        usable = {networks[0]["id"]} if len(networks) == 1 else set()
        return NetworkFacts(networks, subnets_of(tx, usable), {}, {}, {})
    assert asked is not None and not isinstance(asked, str)
    port_ids = [one["port"] for one in asked if one.get("port")]
    named = {one["uuid"] for one in asked if one.get("uuid") and not one.get("port")}
    networks = networks_visible(tx, access, named) if named else []
    return NetworkFacts(
        networks=networks,
        subnets=subnets_of(tx, {network["id"] for network in networks}),
        ports=ports_by_id(tx, port_ids, lock=True),
        held=holders_of(tx, port_ids),
        taken=addresses_taken(
            tx,
            [
                (one["uuid"], one["fixed_ip"])
                for one in asked
                if one.get("fixed_ip") and one.get("uuid") and not one.get("port")
            ],
        ),
    )


def _is_automatic(asked: Requested) -> bool:
    return asked is None or asked == AUTO or asked == []


def networks_decide(
    access: Access, asked: Requested, facts: NetworkFacts, count: int, *, with_groups: bool = False
) -> list[dict[str, Any]]:
    """The interfaces of each of ``count`` servers; pure. Raises what Nova answers.

    ``with_groups``: security groups are named for the ports that will be made.
    """
    if asked == NONE:
        return []
    if _is_automatic(asked):
        if len(facts.networks) > 1:
            raise NetworkAmbiguous
        if not facts.networks:
            if asked == AUTO:
                raise BadRequest("Unable to automatically allocate a network for project")
            return []
        _check_fit(facts.networks, facts.subnets, with_groups)
        return [requested_network(facts.networks[0]["id"])]
    assert asked is not None and not isinstance(asked, str)
    _check_ports(access, [one["port"] for one in asked if one.get("port")], facts, count)
    interfaces = [_interface(one, facts.ports) for one in asked]
    if count > 1 and any(one["fixed_ip"] for one in interfaces):
        raise BadRequest(
            "Invalid fixed IP and maximum count request: max_count cannot be greater than 1 if a "
            "fixed_ip is specified."
        )
    made = [one for one in interfaces if not one["port_id"]]
    networks_check(access, [one["network_id"] for one in made], facts.networks, facts.subnets, with_groups)
    _check_addresses([(one["network_id"], one["fixed_ip"]) for one in made if one["fixed_ip"]], facts)
    return interfaces


def _interface(one: dict[str, Any], ports: Mapping[str, Values]) -> dict[str, Any]:
    port_id = one.get("port")
    if port_id:
        if one.get("fixed_ip"):
            raise BadRequest(
                f"Specified Fixed IP '{one['fixed_ip']}' cannot be used with port '{port_id}': "
                "the two cannot be specified together."
            )
        return requested_network(ports[port_id]["network_id"], port_id=port_id, tag=one.get("tag"))
    if one.get("uuid"):
        return requested_network(one["uuid"], fixed_ip=one.get("fixed_ip"), tag=one.get("tag"))
    raise BadRequest("Bad network format: missing 'uuid'")


def _check_addresses(wanted: Sequence[tuple[str, str]], facts: NetworkFacts) -> None:
    """BadRequest for addresses that networks do not have, or somebody has already."""
    for network_id, address in wanted:
        ours = [
            one for one in facts.subnets if one["network_id"] == network_id and _inside(one["cidr"], address)
        ]
        if not ours:
            raise BadRequest(f"Fixed IP {address} is not a valid ip address for network {network_id}.")
        if is_automatic(ours[0]["ipv6_ra_mode"], ours[0]["ipv6_address_mode"]):
            raise BadRequest(
                f"Fixed IP {address} can not be chosen: the addresses of subnet {ours[0]['id']} follow from "
                "the hardware address."
            )
    taken: dict[tuple[str, str], str | None] = dict(facts.taken)
    for pair in wanted:
        if pair in taken:
            raise BadRequest(f"Fixed IP address {pair[1]} is already in use on instance {taken[pair]}.")
        taken[pair] = None


def _inside(cidr: str, address: str) -> bool:
    return may_have(ipaddress.ip_network(cidr), ipaddress.ip_address(address), of_router=False)


def _check_ports(access: Access, wanted: Sequence[str], facts: NetworkFacts, count: int) -> None:
    if not wanted:
        return
    if count > 1:
        raise BadRequest(
            "Unable to launch multiple instances with a single configured port ID. Please launch your "
            "instance one by one with different ports."
        )
    if len(set(wanted)) != len(wanted):
        raise BadRequest("Duplicate ports in the request")
    admin = is_admin(access)
    for port_id in wanted:
        port = facts.ports.get(port_id)
        if port is None or not (admin or port["project_id"] == access.context.project_id):
            raise BadRequest(f"Port id {port_id} could not be found.")
        if port["device_id"] or port_id in facts.held:
            raise PortInUse(port_id=port_id)
        if not port["fixed_ips"]:
            raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.")


def networks_check(
    access: Access,
    network_ids: Collection[str],
    networks: Sequence[Values],
    subnets: Sequence[Values],
    with_groups: bool = False,
) -> None:
    """Raise for networks that the caller may not use for servers; ``networks`` are those that he may see."""
    found = {one["id"]: one for one in networks}
    for network_id in network_ids:
        network = found.get(network_id)
        if network is None:
            raise BadRequest(f"Network {network_id} could not be found.")
        external = network["router:external"] and not network["shared"]
        own = network["project_id"] == access.context.project_id
        if external and not own and not access.allows(ATTACH_EXTERNAL.name):
            raise ExternalNetworkForbidden(id=network_id)
    _check_fit(list(found.values()), subnets, with_groups)


def _check_fit(networks: Sequence[Values], subnets: Sequence[Values], with_groups: bool) -> None:
    """BadRequest where a network has no subnet, or can't have the security groups asked for."""
    having = {subnet["network_id"] for subnet in subnets}
    for network in networks:
        if network["id"] not in having:
            raise BadRequest(f"Network {network['id']} requires a subnet in order to boot instances on.")
        if with_groups and not network["port_security_enabled"]:
            raise BadRequest(
                "Network requires port_security_enabled and subnet associated in order to apply "
                "security groups."
            )


class GroupFacts(NamedTuple):
    """The security groups of a request's names or ids, and the project's default one where it is named."""

    default: list[str]
    named: list[Values]


def group_facts_read(tx: Tx, context: Context, names: Collection[str]) -> GroupFacts:
    """Read them; the project's default group is made where it is named and there is none yet."""
    default: list[str] = []
    if "default" in names:
        default = list(default_groups(tx, context, {context.project_id or ""}).values())
    return GroupFacts(default, groups_named(tx, context, sorted({*names} - {"default"})))


def groups_decide(names: Collection[str], facts: GroupFacts) -> list[str] | None:
    """Ids of the security groups of these names or ids; None where none is asked for. Pure."""
    if not names:
        return None
    ids = list(facts.default)
    for name in sorted({*names} - {"default"}):
        matching = [one for one in facts.named if one["id"] == name] or [
            one for one in facts.named if one["name"] == name
        ]
        if not matching:
            raise BadRequest(f"Unable to find security_group with name or id '{name}'")
        if len(matching) > 1:
            raise Conflict(
                f"Multiple security_group matches found for name '{name}', use an ID to be more specific."
            )
        ids.append(matching[0]["id"])
    return ids
