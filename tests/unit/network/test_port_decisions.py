"""Decisions about ports are pure: facts in, values out."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pileus.resource.declaration import Update, Values
from pileus.services.network.config import Followers, NetworkConfig
from pileus.services.network.ports import rules
from pileus.services.network.ports.addressing import InvalidIpForSubnet, Slot, slots_of
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.facts import NetworkFacts, PortFacts, SubnetFacts
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND, AgentFacts

CONFIG = NetworkConfig(followers=Followers(), dice=random.Random(1))
NETWORK = NetworkFacts("n", "p", "vxlan", None, port_security_enabled=True)


def subnet(key: str, cidr: str, mode: str | None = None, **more: Any) -> SubnetFacts:
    version = 6 if ":" in cidr else 4
    facts = {"allocation_pools": [], "service_types": [], "enable_dhcp": True, **more}
    return SubnetFacts(key, "n", version, cidr, mode, mode, **facts)


OLD, NEW = subnet("old", "10.0.0.0/24"), subnet("new", "10.0.1.0/24", enable_dhcp=False)
SLAAC = subnet("slaac", "2001:db8::/64", "slaac")


def port(**values: Any) -> dict[str, Any]:
    mac = {"mac_address": "fa:16:3e:00:00:01", "device_owner": "", "network_id": "n", "fixed_ips": None}
    return {**mac, **values}


def test_a_port_gets_one_address_of_any_subnet_and_one_of_each_that_guests_take_themselves() -> None:
    slots = slots_of(port(), [OLD, NEW, SLAAC], CONFIG)
    assert slots == [Slot(("old", "new")), Slot(("slaac",), "2001:db8::f816:3eff:fe00:1")]
    own = slots_of(port(device_owner="network:router_interface"), [OLD, SLAAC], CONFIG)
    assert own == [Slot(("old",))]


def test_addresses_by_name_are_of_their_subnet() -> None:
    named = [{"subnet_id": "new", "ip_address": "10.0.1.9"}]
    assert slots_of(port(fixed_ips=named), [OLD, NEW], CONFIG) == [Slot(("new",), "10.0.1.9")]
    with pytest.raises(InvalidIpForSubnet):
        slots_of(port(fixed_ips=[{**named[0], "subnet_id": "old"}]), [OLD, NEW], CONFIG)


@pytest.mark.parametrize(
    ("spec", "network_default", "needs"),
    [
        ({"device_owner": ""}, True, True),
        ({"device_owner": ""}, False, False),
        ({"device_owner": "", "port_security_enabled": True}, False, True),
        ({"device_owner": "", "security_groups": []}, True, False),
        ({"device_owner": "network:dhcp"}, True, False),
        ({"device_owner": "network:dhcp", "port_security_enabled": True}, True, False),
    ],
)
def test_who_gets_the_default_group(spec: dict[str, Any], network_default: bool, needs: bool) -> None:
    assert rules.needs_default_group(spec, network_default) is needs


@pytest.mark.parametrize(
    ("vif_type", "changes", "rebound"),
    [
        ("ovs", {"name": "x"}, False),
        ("ovs", {"binding:host_id": "h1"}, False),
        ("ovs", {"binding:host_id": "h2"}, True),
        ("ovs", {"binding:host_id": ""}, True),
        ("ovs", {"binding:profile": {"a": 1}}, False),
        (UNBOUND, {"binding:profile": {"a": 1}}, True),
        (BINDING_FAILED, {"binding:host_id": "h1"}, True),
    ],
)
def test_when_a_port_is_bound_anew(vif_type: str, changes: dict[str, Any], rebound: bool) -> None:
    original = Values({"binding:vif_type": vif_type, "binding:host_id": "h1", "binding:vnic_type": "normal"})
    assert rules.is_rebound(Update(original, Values(changes))) is rebound


def test_a_port_is_bound_by_the_agents_that_were_read() -> None:
    wanted = {"network_id": "n", "binding:host_id": "h1", "binding:vnic_type": "normal"}
    alive = {"h1": [AgentFacts("Open vSwitch agent", True, {"tunnel_types": ["vxlan"]})]}
    assert bind_port(wanted, {"n": NETWORK}, alive).vif_type == "ovs"
    assert bind_port(wanted, {"n": NETWORK}, {}).vif_type == BINDING_FAILED
    assert bind_port({**wanted, "binding:host_id": ""}, {"n": NETWORK}, alive).vif_type == UNBOUND


def test_facts_know_which_networks_have_dhcp() -> None:
    facts = PortFacts({"n": NETWORK}, {"n": [OLD, NEW], "m": [NEW._replace(network_id="m")]}, {}, {}, {})
    assert facts.with_dhcp == {"n"} and set(facts.by_id) == {"old", "new"}
