"""Units of work of ports.

The addresses of a port live twice: as JSON in its row, for lists, and as rows of
``ip_allocations``, whose key keeps an address from being given twice; likewise its
security groups. These units, and ``automatic.py``, write both together.

A clash (somebody committed the address or hardware address that we drew) undoes the
savepoint and draws anew: what was asked for by name is found taken at the next look
and refused, what was drawn is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Unavailable
from pileus.services.network.again import own, own_updates
from pileus.services.network.config import NetworkConfig
from pileus.services.network.errors import InUse, NetworkNotFound
from pileus.services.network.events import event
from pileus.services.network.ports import rules
from pileus.services.network.ports.addressing import SubnetFacts, allocate, subnet_facts, wishes
from pileus.services.network.ports.binding import NetworkFacts, bind_ports, network_facts
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.reading import check_policies_exist
from pileus.services.network.quotas import PORT_QUOTA, spend
from pileus.services.network.rules import macs
from pileus.services.network.rules.binding import UNBOUND
from pileus.services.network.security_groups.membership import check_groups, default_groups
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.web.resource import Update, Values
from pileus.wire import scopes

ATTEMPTS = 16
ACTIVE, DOWN = "ACTIVE", "DOWN"


class MacAddressInUse(InUse):
    message = "Unable to complete operation for network {net_id}. The mac address {mac} is in use."


class PortBound(InUse):
    message = (
        "Unable to complete operation on port {port_id}, port is already bound, port type: {vif_type}, "
        "old_mac {old_mac}, new_mac {new_mac}."
    )


class AddressesContended(Unavailable):
    """Every address that was drawn in several attempts was taken by somebody else at the same moment."""

    message = "Too many ports are being created on network {net_id}; please try again."


_MACS = select(ports.c.network_id, ports.c.mac_address).where(
    ports.c.network_id.in_(bindparam("networks", expanding=True)),
    ports.c.mac_address.in_(bindparam("macs", expanding=True)),
)
_DELETE_ALLOCATIONS = delete(ip_allocations).where(
    ip_allocations.c.port_id.in_(bindparam("ids", expanding=True))
)
_DELETE_MEMBERSHIPS = delete(security_group_ports).where(
    security_group_ports.c.port_id.in_(bindparam("ids", expanding=True))
)


class _World(NamedTuple):
    """What is read once for all ports of a unit."""

    networks: dict[str, NetworkFacts]
    subnets: dict[str, list[SubnetFacts]]

    @property
    def by_id(self) -> dict[str, SubnetFacts]:
        return {one.id: one for several in self.subnets.values() for one in several}


def port_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig) -> list[Values]:
    """Write new ports with their addresses, groups and bindings; all of them or none."""
    specs = own(specs)
    world = _read_world(tx, {spec["network_id"] for spec in specs})
    check_policies_exist(tx, {spec.get("qos_policy_id") for spec in specs})
    spend(tx, specs, PORT_QUOTA)
    _complete(tx, context, specs, world, config)
    named_macs = [spec["mac_address"] for spec in specs]
    wished = [spec["fixed_ips"] for spec in specs]
    bindings = bind_ports(tx, context, specs, world.networks, config)
    for spec, binding in zip(specs, bindings, strict=True):
        spec["binding:vif_type"], spec["binding:vif_details"] = binding.vif_type, binding.vif_details
    for _ in range(ATTEMPTS):
        _give_macs(tx, specs, named_macs, config)
        for spec, wish in zip(specs, wished, strict=True):
            spec["fixed_ips"] = wish
        slots = [
            (spec["network_id"], wishes(spec, world.subnets[spec["network_id"]], config)) for spec in specs
        ]
        given = allocate(tx, slots, world.by_id, config)
        for spec, addresses in zip(specs, given, strict=True):
            spec["fixed_ips"] = addresses
            spec["allowed_address_pairs"] = rules.address_pairs(
                spec["allowed_address_pairs"], spec["mac_address"], config.max_address_pairs
            )
        try:
            with tx.savepoint():
                PORT.insert(tx, context, specs)
                tx.insert(ip_allocations, _allocation_rows(specs))
                tx.insert(security_group_ports, _membership_rows(specs))
        except Duplicate:
            continue
        except Referenced:
            # The network, a subnet or a group went away since the look; a fresh look says which.
            _read_world(tx, {spec["network_id"] for spec in specs})
            check_groups(tx, context, {group for spec in specs for group in spec["security_groups"]})
            continue
        tx.emit_many([_created(context, spec) for spec in specs])
        return specs
    raise AddressesContended(net_id=specs[0]["network_id"])


def port_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ports; addresses, groups and binding follow what is asked."""
    updates = own_updates(updates)
    world = _read_world(tx, {one.original["network_id"] for one in updates})
    check_policies_exist(tx, {one.changes.get("qos_policy_id") for one in updates})
    groups = {group for one in updates for group in one.changes.get("security_groups") or ()}
    check_groups(tx, context, groups)
    for one in updates:
        _check_update(one, config)
    _rebind(tx, context, updates, world, config)
    readdressed = [
        (one, _asked_addresses(one, world))
        for one in updates
        if {"fixed_ips", "mac_address"} & {*one.changes}
    ]
    for _ in range(ATTEMPTS):
        try:
            with tx.savepoint():
                if readdressed:
                    _readdress(tx, readdressed, world, config)
                regrouped = [one for one in updates if "security_groups" in one.changes]
                if regrouped:
                    tx.execute(_DELETE_MEMBERSHIPS, {"ids": [one.original["id"] for one in regrouped]})
                    after = [
                        {"id": one.original["id"], "security_groups": one.changes["security_groups"]}
                        for one in regrouped
                    ]
                    tx.insert(security_group_ports, _membership_rows(after))
                changed = PORT.change(tx, context, updates)
        except Duplicate:
            for one in updates:
                _refuse_taken_mac(tx, one)
            continue
        tx.emit_many(
            [_updated(context, one.original, port) for one, port in zip(updates, changed, strict=True)]
        )
        return changed
    raise AddressesContended(net_id=updates[0].original["network_id"])


def port_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete ports; their addresses and memberships go with them."""
    PORT.remove(tx, originals)
    tx.emit_many(
        [
            event(
                context,
                "port.delete",
                port["id"],
                port["project_id"],
                _everybody(port),
                host=port["binding:host_id"],
                network_id=port["network_id"],
                device_id=port["device_id"],
            )
            for port in originals
        ]
    )


def _read_world(tx: Tx, network_ids: set[str]) -> _World:
    networks = network_facts(tx, network_ids)
    missing = network_ids - networks.keys()
    if missing:
        raise NetworkNotFound(network_id=min(missing))
    return _World(networks, subnet_facts(tx, network_ids))


def _complete(
    tx: Tx, context: Context, specs: Sequence[Values], world: _World, config: NetworkConfig
) -> None:
    """Port security, groups and DHCP options of new ports."""
    named: set[str] = set()
    projects: set[str] = set()
    for spec in specs:
        network = world.networks[spec["network_id"]]
        spec["port_security_enabled"] = rules.port_security(
            spec.get("port_security_enabled"), spec["device_owner"], network.port_security_enabled
        )
        if spec.get("security_groups") is not None:
            named.update(spec["security_groups"])
        elif spec["port_security_enabled"] and not rules.is_trusted(spec["device_owner"]):
            projects.add(spec["project_id"])
        else:
            spec["security_groups"] = []
        spec["extra_dhcp_opts"] = rules.dhcp_options((), spec.get("extra_dhcp_opts") or ())
        spec["allowed_address_pairs"] = spec.get("allowed_address_pairs") or []
        spec["binding:profile"] = spec.get("binding:profile") or {}
        spec["status"] = DOWN
    check_groups(tx, context, named)
    defaults = default_groups(tx, context, projects)
    for spec in specs:
        if spec.get("security_groups") is None:
            spec["security_groups"] = [defaults[spec["project_id"]]]
        spec["security_groups"] = sorted(set(spec["security_groups"]))
        rules.check_security(
            spec["port_security_enabled"],
            spec["security_groups"],
            spec["allowed_address_pairs"],
            groups_given=True,
        )


def _give_macs(tx: Tx, specs: Sequence[Values], named: Sequence[str | None], config: NetworkConfig) -> None:
    """Keep the hardware addresses asked for, make the others. Only those asked for are looked up: a drawn
    one is taken once in millions, and the key tells."""
    asked: set[tuple[str, str]] = set()
    for spec, mac in zip(specs, named, strict=True):
        if mac is not None:
            if (spec["network_id"], mac) in asked:
                raise MacAddressInUse(net_id=spec["network_id"], mac=mac)
            asked.add((spec["network_id"], mac))
    chosen = {mac for _, mac in asked}
    if asked:
        where = {"networks": sorted({network_id for network_id, _ in asked}), "macs": sorted(chosen)}
        for row in tx.rows(_MACS, where):
            if (row.network_id, row.mac_address) in asked:
                raise MacAddressInUse(net_id=row.network_id, mac=row.mac_address)
    made = iter(macs.make(len(specs) - len(asked), config.dice, chosen, config.base_mac))
    for spec, mac in zip(specs, named, strict=True):
        spec["mac_address"] = mac if mac is not None else next(made)


def _allocation_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """In the order of their keys: two units that insert many then never wait for each other in a circle."""
    rows = [{**address, "port_id": port["id"]} for port in several for address in port["fixed_ips"]]
    return sorted(rows, key=lambda row: (row["subnet_id"], row["ip_address"]))


def _membership_rows(several: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {"port_id": port["id"], "security_group_id": group}
        for port in several
        for group in port["security_groups"]
    ]


def _check_update(one: Update, config: NetworkConfig) -> None:
    port, changes = one.original, one.changes
    if changes.get("security_groups", ()) is None:
        changes["security_groups"] = []
    if "security_groups" in changes:
        changes["security_groups"] = sorted(set(changes["security_groups"]))
    mac = changes.get("mac_address")
    if "mac_address" in changes and mac is None:
        changes["mac_address"] = mac = macs.make(1, config.dice, base=config.base_mac)[0]
    if mac is not None and mac != port["mac_address"] and port["binding:host_id"]:
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


def _rebind(
    tx: Tx, context: Context, updates: Sequence[Update], world: _World, config: NetworkConfig
) -> None:
    """Decide anew where the host, the kind or the profile of the plug is asked for."""
    asked = [
        one for one in updates if {"binding:host_id", "binding:vnic_type", "binding:profile"} & {*one.changes}
    ]
    for one in asked:
        if one.changes.get("binding:host_id", "") is None:
            one.changes["binding:host_id"] = ""
        if one.changes.get("binding:profile", {}) is None:
            one.changes["binding:profile"] = {}
    moved = [
        one
        for one in asked
        if one.original["binding:vif_type"] in (UNBOUND, "binding_failed")
        or any(
            one.changes.get(name, one.original[name]) != one.original[name]
            for name in ("binding:host_id", "binding:vnic_type")
        )
    ]
    merged = [{**one.original, **one.changes} for one in moved]
    for one, binding in zip(moved, bind_ports(tx, context, merged, world.networks, config), strict=True):
        one.changes["binding:vif_type"] = binding.vif_type
        one.changes["binding:vif_details"] = binding.vif_details
        if (
            one.changes.get("binding:host_id", one.original["binding:host_id"])
            != one.original["binding:host_id"]
        ):
            one.changes["status"] = DOWN


def _asked_addresses(one: Update, world: _World) -> list[Mapping[str, str]]:
    """The addresses that a port is to have now; without a word on them, those that it has."""
    if "fixed_ips" in one.changes:
        return _keep_by_name(one.changes["fixed_ips"] or [], one.original["fixed_ips"])
    return list(_without_automatic(one.original, world))


def _readdress(
    tx: Tx,
    updates: Sequence[tuple[Update, list[Mapping[str, str]]]],
    world: _World,
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
        slots.append((port["network_id"], wishes(merged, world.subnets[port["network_id"]], config, had)))
    given = allocate(tx, slots, world.by_id, config, keep)
    rows = []
    for (one, _), addresses in zip(updates, given, strict=True):
        one.changes["fixed_ips"] = addresses
        rows.append({"id": one.original["id"], "fixed_ips": addresses})
    tx.execute(_DELETE_ALLOCATIONS, {"ids": [one.original["id"] for one, _ in updates]})
    tx.insert(ip_allocations, _allocation_rows(rows))


def _without_automatic(port: Values, world: _World) -> list[dict[str, str]]:
    """The addresses that don't follow from the hardware address."""
    return [
        ip
        for ip in port["fixed_ips"]
        if not (ip["subnet_id"] in world.by_id and world.by_id[ip["subnet_id"]].is_automatic)
    ]


def _keep_by_name(
    asked: Sequence[Mapping[str, str]], had: Sequence[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """A wish for "any address of this subnet" is met by one that the port has there already."""
    named = {wish["ip_address"] for wish in asked if wish.get("ip_address")}
    spare = [ip for ip in had if ip["ip_address"] not in named]
    kept: list[Mapping[str, str]] = []
    for wish in asked:
        if not wish.get("ip_address"):
            match = next((ip for ip in spare if ip["subnet_id"] == wish.get("subnet_id")), None)
            if match is not None:
                spare.remove(match)
                wish = match
        kept.append(wish)
    return kept


def _refuse_taken_mac(tx: Tx, one: Update) -> None:
    mac = one.changes.get("mac_address")
    if mac is not None and tx.rows(_MACS, {"networks": [one.original["network_id"]], "macs": [mac]}):
        raise MacAddressInUse(net_id=one.original["network_id"], mac=mac)


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
        "mac_address",
        "port_security_enabled",
        "qos_policy_id",
        "security_groups",
    }
)


def _own(port: Mapping[str, Any]) -> set[str]:
    """The port's host, which serves the port itself when it is plugged already."""
    host = port["binding:host_id"]
    return {scopes.host(host), scopes.port(port["id"])} if host else set()


def _everybody(port: Mapping[str, Any]) -> set[str]:
    """Who must look again when a port comes or goes: its host, the other hosts of its network that send to
    it through tunnels (only once it is bound), and whoever lets its groups' members in."""
    found = _own(port) | {scopes.security_group(group) for group in port["security_groups"]}
    if port["binding:host_id"]:
        found.add(scopes.network(port["network_id"]))
    return found


def _created(context: Context, port: Values) -> Any:
    return event(
        context,
        "port.create",
        port["id"],
        port["project_id"],
        _everybody(port),
        host=port["binding:host_id"],
        network_id=port["network_id"],
        device_id=port["device_id"],
    )


def _updated(context: Context, before: Values, after: Values) -> Any:
    differing = {name for name in after if name in before and after[name] != before[name]}
    concerned = _own(before) | _own(after) if differing & _ON_NODE else set()
    if differing & {"binding:host_id", "binding:vif_type", "fixed_ips", "mac_address"}:
        concerned |= _everybody(before) | _everybody(after)
    if differing & {"security_groups", "allowed_address_pairs"}:
        concerned |= {
            scopes.security_group(group) for group in (*before["security_groups"], *after["security_groups"])
        }
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
    )
