"""Event rows of ports, and the scopes of those who have to look again because of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.rules import device_owners
from pileus.store.event import Event
from pileus.wire import scopes

GROUP_ADDRESSES = "group_addresses"
"""Their name in the payload of an event of a port."""

# What a node must know of a port: a change of anything else wakes nobody.
_ON_NODE = frozenset(
    {
        "admin_state_up",
        "allowed_address_pairs",
        "binding:host_id",
        "binding:vif_type",
        "device_id",
        "device_owner",
        "extra_dhcp_opts",
        "fixed_ips",
        "hints",
        "mac_address",
        "port_security_enabled",
        "qos_policy_id",
        "quarantined",
        "security_groups",
    }
)


# What DHCP tells guests, or finds them by.
_ON_DHCP = frozenset(
    {"device_owner", "dns_domain", "dns_name", "extra_dhcp_opts", "fixed_ips", "mac_address"}
)

# What a router's own port is to its L3 agent.
_ON_ROUTER = frozenset({"binding:host_id", "device_id", "device_owner", "fixed_ips", "mac_address"})


def own(port: Mapping[str, Any]) -> set[str]:
    """The port's host, which serves the port itself when it is plugged already."""
    host = port["binding:host_id"]
    return {scopes.host(host), scopes.port(port["id"])} if host else set()


def agents_of(port: Mapping[str, Any]) -> set[str]:
    """The agent that a port of the network's own services belongs to."""
    owner = port["device_owner"]
    if owner == device_owners.DHCP and port["binding:host_id"]:
        return {scopes.dhcp(port["binding:host_id"])}
    if owner in device_owners.OF_ROUTERS and port["device_id"]:
        return {scopes.router(port["device_id"])}
    return set()


def everybody(port: Mapping[str, Any]) -> set[str]:
    """Who must look again when a port is plugged or leaves: its host, its agent, the other hosts of its
    network that send to it through tunnels (only once it is bound), whoever lets its groups' members in."""
    found = own(port) | agents_of(port)
    found |= {scopes.security_group(group) for group in port["security_groups"]}
    if port["binding:host_id"]:
        found.add(scopes.network(port["network_id"]))
    return found


def group_addresses(*versions: Mapping[str, Any]) -> list[str]:
    """By what a port is a member of its groups, before a change and after it: who has read the groups
    before looks at these addresses alone (``ports.group_changes``)."""
    found = {ip["ip_address"] for port in versions for ip in port["fixed_ips"]}
    found |= {pair["ip_address"] for port in versions for pair in port.get("allowed_address_pairs", ())}
    return sorted(found)


def deleted(context: Context, port: Mapping[str, Any]) -> Event:
    """Make the event of a port that is deleted."""
    return _of_all(context, "port.delete", port)


def created(context: Context, port: Mapping[str, Any]) -> Event:
    """Make the event of a new port."""
    return _of_all(context, "port.create", port)


def _of_all(context: Context, kind: str, port: Mapping[str, Any]) -> Event:
    return event(
        context,
        kind,
        port["id"],
        port["project_id"],
        everybody(port) | {scopes.dhcp_network(port["network_id"])},
        host=port["binding:host_id"],
        network_id=port["network_id"],
        device_id=port["device_id"],
        **({GROUP_ADDRESSES: group_addresses(port)} if port["security_groups"] else {}),
    )


def updated(context: Context, before: Mapping[str, Any], after: Mapping[str, Any]) -> Event:
    """Make the event of a change; its scopes are those whom the differences concern."""
    differing = {name for name in after if name in before and after[name] != before[name]}
    concerned = own(before) | own(after) if differing & _ON_NODE else set()
    if differing & {"binding:host_id", "binding:vif_type", "fixed_ips", "mac_address"}:
        concerned |= everybody(before) | everybody(after)
    if differing & _ON_DHCP:
        # Its switch may be the one that tells its guest.
        concerned |= {scopes.dhcp_network(after["network_id"])} | own(after)
    if differing & _ON_ROUTER:
        concerned |= agents_of(before) | agents_of(after)
    groups = {
        scopes.security_group(group) for group in (*before["security_groups"], *after["security_groups"])
    }
    if differing & {"security_groups", "allowed_address_pairs"}:
        concerned |= groups
    return event(
        context,
        "port.update",
        after["id"],
        after["project_id"],
        concerned,
        host=after["binding:host_id"],
        network_id=after["network_id"],
        device_id=after["device_id"],
        changed=sorted(differing - {"updated_at", "revision_number"}),
        **({GROUP_ADDRESSES: group_addresses(before, after)} if groups & concerned else {}),
    )
