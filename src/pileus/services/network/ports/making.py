"""Making ports, whoever asks for them: addresses, groups and bindings, all of them or none.

The addresses of a port live twice: as JSON in its row, for lists, and as rows of
``ip_allocations``, whose key keeps an address from being given twice; likewise its
security groups. ``make_ports``, ``change_ports`` and ``automatic.py`` write both together.

A clash (somebody committed the address or hardware address that we drew) undoes the
savepoint and draws anew: what was asked for by name is found taken at the next look
and refused, what was drawn is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.common.copies import copied
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports import announce, rules
from pileus.services.network.ports.addressing import allocate, wishes
from pileus.services.network.ports.binding import bind_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.world import (
    ATTEMPTS,
    DOWN,
    NOT_APPLICABLE,
    AddressesContended,
    World,
    allocation_rows,
    give_macs,
    membership_rows,
    read_world,
)
from pileus.services.network.qos.reading import check_policies
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.device_owners import is_trusted
from pileus.services.network.security_groups.membership import check_groups, check_one_kind, default_groups
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


def make_ports(
    tx: Tx, context: Context, specs: Sequence[Values], world: World, *, config: NetworkConfig
) -> list[Values]:
    """Write new ports with their addresses, groups and bindings; quotas and DHCP are the caller's."""
    specs = copied(specs)
    check_policies(tx, context, {spec.get("qos_policy_id") for spec in specs})
    _complete(tx, context, specs, world, config)
    named_macs = [spec["mac_address"] for spec in specs]
    wished = [spec["fixed_ips"] for spec in specs]
    bindings = bind_ports(tx, context, specs, world.networks, config)
    for spec, binding in zip(specs, bindings, strict=True):
        spec["binding:vif_type"], spec["binding:vif_details"] = binding.vif_type, binding.vif_details
    for _ in range(ATTEMPTS):
        give_macs(tx, specs, named_macs, config)
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
                tx.insert(ip_allocations, allocation_rows(specs))
                tx.insert(security_group_ports, membership_rows(specs))
        except Duplicate:
            continue
        except Referenced:
            # The network, a subnet or a group went away since the look; a fresh look says which.
            read_world(tx, {spec["network_id"] for spec in specs})
            check_groups(tx, context, {group for spec in specs for group in spec["security_groups"]})
            continue
        tx.emit_many([announce.created(context, spec) for spec in specs])
        return specs
    raise AddressesContended(net_id=specs[0]["network_id"])


def _complete(tx: Tx, context: Context, specs: Sequence[Values], world: World, config: NetworkConfig) -> None:
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
        elif spec["port_security_enabled"] and not is_trusted(spec["device_owner"]):
            projects.add(spec["project_id"])
        else:
            spec["security_groups"] = []
        spec["extra_dhcp_opts"] = rules.dhcp_options((), spec.get("extra_dhcp_opts") or ())
        spec["allowed_address_pairs"] = spec.get("allowed_address_pairs") or []
        spec["binding:profile"] = spec.get("binding:profile") or {}
        spec["status"] = NOT_APPLICABLE if spec["device_owner"] == device_owners.FLOATING_IP else DOWN
    stateful = check_groups(tx, context, named)
    for spec in specs:
        check_one_kind(stateful, spec.get("security_groups") or ())
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
