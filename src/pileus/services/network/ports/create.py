"""Creating ports, whoever asks for them: addresses, groups and bindings, all of them or none.

The addresses of a port live twice: as JSON in its row, for lists, and as rows of
``ip_allocations``, whose key keeps an address from being given twice; likewise its
security groups. ``create.py``, ``update.py`` and ``slaac.py`` write both together.

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
from pileus.services.network.ports import events, rules, traits
from pileus.services.network.ports.addressing import IpAddressGenerationFailure, allocate, slots_of
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.facts import PortFacts, facts_of_new
from pileus.services.network.ports.macs import give_macs
from pileus.services.network.ports.qos import check_supported, show_requests
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.rows import (
    ATTEMPTS,
    AddressesContended,
    allocation_rows,
    membership_rows,
)
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.names import assignment, keywords_of
from pileus.services.network.security_groups.membership import check_one_kind
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx

DOWN, NOT_APPLICABLE = "DOWN", "N/A"


def create_ports(
    tx: Tx, context: Context, specs: Sequence[Values], facts: PortFacts, *, config: NetworkConfig
) -> list[Values]:
    """Write new ports by the facts that were read for them; quotas and followers are the caller's."""
    specs = copied(specs)
    for spec in specs:
        _decide(spec, facts)
        if "<" in (spec["dns_domain"] or facts.networks[spec["network_id"]].dns_domain):
            spec["dns_keywords"] = keywords_of(context, spec["project_id"])
    check_supported(tx, specs)
    waiting = [spec["ip_allocation"] == traits.DEFERRED for spec in specs]
    named_macs = [spec["mac_address"] for spec in specs]
    wished = [(spec["fixed_ips"], spec["allowed_address_pairs"]) for spec in specs]
    for _ in range(ATTEMPTS):
        give_macs(tx, specs, named_macs, config)
        for spec, (fixed_ips, _) in zip(specs, wished, strict=True):
            spec["fixed_ips"] = fixed_ips
        slots = [
            (spec["network_id"], [] if deferred else slots_of(spec, facts.subnets_of(spec), config))
            for spec, deferred in zip(specs, waiting, strict=True)
        ]
        given = allocate(tx, slots, facts.by_id, config)
        for spec, fixed_ips, (_, pairs) in zip(specs, given, wished, strict=True):
            spec["fixed_ips"] = fixed_ips
            spec["allowed_address_pairs"] = rules.address_pairs(
                pairs, spec["mac_address"], config.max_address_pairs
            )
            spec["dns_assignment"] = assignment(spec, facts.networks[spec["network_id"]].dns_domain)
        try:
            with tx.savepoint():
                PORT.insert(tx, context, specs)
                tx.insert(ip_allocations, allocation_rows(specs))
                tx.insert(security_group_ports, membership_rows(specs))
        except Duplicate:
            continue
        except Referenced:
            # The network, a subnet or a group went away since the look; a fresh look says which.
            facts = facts_of_new(tx, context, specs, config)
            continue
        tx.emit_many([events.created(context, spec) for spec in specs])
        show_requests(tx, specs)
        return specs
    raise AddressesContended(net_id=specs[0]["network_id"])


def _decide(spec: Values, facts: PortFacts) -> None:
    """Fill in port security, groups, DHCP options and the binding. Pure."""
    spec["port_security_enabled"] = rules.port_security(
        spec.get("port_security_enabled"),
        spec["device_owner"],
        facts.networks[spec["network_id"]].port_security_enabled,
    )
    groups = spec.get("security_groups")
    check_one_kind(facts.stateful, groups or ())
    if groups is None:
        default = facts.default_groups.get(spec["project_id"])
        groups = (
            [default] if default and rules.needs_default_group(spec, spec["port_security_enabled"]) else []
        )
    spec["security_groups"] = sorted(set(groups))
    spec["extra_dhcp_opts"] = rules.dhcp_options((), spec.get("extra_dhcp_opts") or ())
    spec["allowed_address_pairs"] = spec.get("allowed_address_pairs") or []
    spec["binding:profile"] = spec.get("binding:profile") or {}
    traits.fill_profile({}, spec)
    rules.check_profile(spec["binding:profile"])
    spec["ip_allocation"] = traits.allocation_kind(
        spec.get("fixed_ips"), deferred=not spec["binding:host_id"] and facts.is_routed(spec["network_id"])
    )
    if spec["ip_allocation"] == traits.DEFERRED and device_owners.is_trusted(spec["device_owner"]):
        raise IpAddressGenerationFailure(net_id=spec["network_id"])  # nobody tells where it will be
    spec["status"] = NOT_APPLICABLE if spec["device_owner"] == device_owners.FLOATING_IP else DOWN
    rules.check_security(
        spec["port_security_enabled"],
        spec["security_groups"],
        spec["allowed_address_pairs"],
        groups_given=True,
    )
    spec["qos_network_policy_id"] = facts.networks[spec["network_id"]].qos_policy_id
    binding = bind_port(spec, facts.networks, facts.agents)
    spec["binding:vif_type"], spec["binding:vif_details"] = binding.vif_type, binding.vif_details
