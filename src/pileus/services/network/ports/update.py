"""Updating ports: addresses, groups and binding follow what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.services.network.common.copies import copied_updates
from pileus.services.network.common.errors import InUse
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports import events, rules, traits
from pileus.services.network.ports.addressing import allocate, slots_of
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.create import DOWN
from pileus.services.network.ports.facts import PortFacts, facts_of_changes
from pileus.services.network.ports.macs import refuse_taken_mac
from pileus.services.network.ports.qos import check_supported, show_requests
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.rows import (
    ATTEMPTS,
    AddressesContended,
    allocation_rows,
    membership_rows,
)
from pileus.services.network.rules import device_owners, macs
from pileus.services.network.rules.binding import is_plugged
from pileus.services.network.rules.names import assignment, keywords_of
from pileus.services.network.security_groups.membership import check_one_kind
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class HostNotCompatibleWithFixedIps(Conflict):
    message = (
        "Host {host} is not connected to a segment where the existing fixed_ips on port {port_id} will "
        "function given the routed network topology."
    )


class PortBound(InUse):
    message = (
        "Unable to complete operation on port {port_id}, port is already bound, port type: {vif_type}, "
        "old_mac {old_mac}, new_mac {new_mac}."
    )


_DELETE_ALLOCATIONS = delete(ip_allocations).where(
    ip_allocations.c.port_id.in_(bindparam("ids", expanding=True))
)
_DELETE_MEMBERSHIPS = delete(security_group_ports).where(
    security_group_ports.c.port_id.in_(bindparam("ids", expanding=True))
)


def update_ports(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ports; addresses, groups and binding follow what is asked. The followers are the caller's."""
    updates = copied_updates(updates)
    facts = facts_of_changes(tx, context, updates, config)
    for one in updates:
        check_one_kind(facts.stateful, one.changes.get("security_groups") or ())
        _decide(one, config)
        if "<" in (one.changes.get("dns_domain") or "") and not one.original["dns_keywords"]:
            one.changes["dns_keywords"] = keywords_of(context, one.original["project_id"])
    check_supported(
        tx, [{**one.original, **one.changes} for one in updates if one.changes.get("qos_policy_id")]
    )
    for one in updates:
        _rebind(one, facts)
    readdressed = [
        (one, _asked_addresses(one, facts))
        for one in updates
        if {"fixed_ips", "mac_address"} & {*one.changes} or _is_awaited(one)
    ]
    for one in updates:
        _check_place(one, facts)
    regrouped = [one for one in updates if "security_groups" in one.changes]
    for _ in range(ATTEMPTS):
        try:
            with tx.savepoint():
                if readdressed:
                    _readdress(tx, readdressed, facts, config)
                if regrouped:
                    _regroup(tx, regrouped)
                for one in updates:
                    if {"fixed_ips", "dns_name", "dns_domain"} & {*one.changes}:
                        network = facts.networks[one.original["network_id"]]
                        merged = {**one.original, **one.changes}
                        one.changes["dns_assignment"] = assignment(merged, network.dns_domain)
                changed = PORT.change(tx, context, updates)
        except Duplicate:
            for one in updates:
                if one.changes.get("mac_address") is not None:
                    refuse_taken_mac(tx, one.original["network_id"], one.changes["mac_address"])
            continue
        tx.emit_many(
            [events.updated(context, one.original, port) for one, port in zip(updates, changed, strict=True)]
        )
        show_requests(tx, changed)
        return changed
    raise AddressesContended(net_id=updates[0].original["network_id"])


def _decide(one: Update, config: NetworkConfig) -> None:
    """Fill in groups, hardware address, address pairs and DHCP options, and check what goes together."""
    port, changes = one.original, one.changes
    if "security_groups" in changes:
        changes["security_groups"] = sorted(set(changes["security_groups"] or ()))
    traits.fill_profile(port, changes)
    if changes.get("binding:profile"):
        rules.check_profile(changes["binding:profile"])
    if "mac_address" not in changes and traits.takes_mac(port, changes):
        changes["mac_address"] = traits.mac_of_device(changes)
    mac = changes.get("mac_address")
    if "mac_address" in changes and mac is None:
        changes["mac_address"] = mac = macs.make(1, config.dice, base=config.base_mac)[0]
    if mac is not None and mac != port["mac_address"] and is_plugged(port):
        raise PortBound(
            port_id=port["id"],
            vif_type=port["binding:vif_type"],
            old_mac=port["mac_address"],
            new_mac=mac,
        )
    if mac == port["mac_address"]:
        changes.pop("mac_address")
    if "allowed_address_pairs" in changes:
        changes["allowed_address_pairs"] = rules.address_pairs(
            changes["allowed_address_pairs"] or (), mac or port["mac_address"], config.max_address_pairs
        )
    if "extra_dhcp_opts" in changes:
        changes["extra_dhcp_opts"] = rules.dhcp_options(
            port["extra_dhcp_opts"], changes["extra_dhcp_opts"] or ()
        )
    merged = {**port, **changes}
    rules.check_security(
        merged["port_security_enabled"],
        merged["security_groups"],
        merged["allowed_address_pairs"],
        groups_given="security_groups" in changes,
    )


def _rebind(one: Update, facts: PortFacts) -> None:
    """Decide anew where the host, the kind or the profile of the binding is asked for."""
    port, changes = one.original, one.changes
    rebound = rules.is_rebound(one)
    if changes.get("binding:host_id", "") is None:
        changes["binding:host_id"] = ""
    if changes.get("binding:profile", {}) is None:
        changes["binding:profile"] = {}
    if not rebound:
        return
    binding = bind_port({**port, **changes}, facts.networks, facts.agents)
    changes["binding:vif_type"] = binding.vif_type
    changes["binding:vif_details"] = binding.vif_details
    if changes.get("binding:host_id", port["binding:host_id"]) != port["binding:host_id"]:
        changes["status"] = DOWN


def _regroup(tx: Tx, updates: Sequence[Update]) -> None:
    """Write the memberships anew."""
    tx.execute(_DELETE_MEMBERSHIPS, {"ids": [one.original["id"] for one in updates]})
    after = [{"id": one.original["id"], "security_groups": one.changes["security_groups"]} for one in updates]
    tx.insert(security_group_ports, membership_rows(after))


def _is_awaited(one: Update) -> bool:
    """Whether a host is named now that a port has waited for with its addresses."""
    port = one.original
    return (
        port["ip_allocation"] == traits.DEFERRED
        and not port["fixed_ips"]
        and "fixed_ips" not in one.changes
        and bool(one.changes.get("binding:host_id"))
    )


def _check_place(one: Update, facts: PortFacts) -> None:
    """HostNotCompatibleWithFixedIps where a guest's addresses are of another segment than its new host's."""
    port = one.original
    host = one.changes.get("binding:host_id") or port["binding:host_id"]
    if (
        host == port["binding:host_id"]
        or "fixed_ips" in one.changes
        or not facts.is_routed(port["network_id"])
    ):
        return
    if port["fixed_ips"] and not device_owners.is_trusted(port["device_owner"]):
        near = {subnet.id for subnet in facts.subnets_of({**port, **one.changes})}
        if not near.issuperset(ip["subnet_id"] for ip in port["fixed_ips"]):
            raise HostNotCompatibleWithFixedIps(host=host, port_id=port["id"])


def _asked_addresses(one: Update, facts: PortFacts) -> list[Mapping[str, str]] | None:
    """The addresses that a port is to have now; without a word on them, those that it has; None for any."""
    if _is_awaited(one):
        return None
    if "fixed_ips" in one.changes:
        return _keep_by_name(one.changes["fixed_ips"] or [], one.original["fixed_ips"])
    return list(_without_slaac(one.original, facts))


def _readdress(
    tx: Tx,
    updates: Sequence[tuple[Update, list[Mapping[str, str]] | None]],
    facts: PortFacts,
    config: NetworkConfig,
) -> None:
    """Give ports the addresses they now ask for; what stays is kept by name."""
    slots = []
    keep: set[tuple[str, str]] = set()
    for one, asked in updates:
        port = one.original
        had = {(ip["subnet_id"], ip["ip_address"]) for ip in port["fixed_ips"]}
        keep |= had
        merged = {**port, **one.changes, "fixed_ips": asked}
        slots.append((port["network_id"], slots_of(merged, facts.subnets_of(merged), config, had)))
    given = allocate(tx, slots, facts.by_id, config, keep)
    rows = []
    for (one, _), addresses in zip(updates, given, strict=True):
        one.changes["fixed_ips"] = addresses
        rows.append({"id": one.original["id"], "fixed_ips": addresses})
    tx.execute(_DELETE_ALLOCATIONS, {"ids": [one.original["id"] for one, _ in updates]})
    tx.insert(ip_allocations, allocation_rows(rows))


def _without_slaac(port: Values, facts: PortFacts) -> list[dict[str, str]]:
    """The addresses that don't follow from the hardware address."""
    return [
        ip
        for ip in port["fixed_ips"]
        if not (ip["subnet_id"] in facts.by_id and facts.by_id[ip["subnet_id"]].is_automatic)
    ]


def _keep_by_name(
    asked: Sequence[Mapping[str, str]], had: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """A request for "any address of this subnet" is met by one that the port has there already."""
    named = {requested["ip_address"] for requested in asked if requested.get("ip_address")}
    spare = [ip for ip in had if ip["ip_address"] not in named]
    kept: list[Mapping[str, str]] = []
    for requested in asked:
        if not requested.get("ip_address"):
            match = next((ip for ip in spare if ip["subnet_id"] == requested.get("subnet_id")), None)
            if match is not None:
                spare.remove(match)
                requested = match
        kept.append(requested)
    return kept
