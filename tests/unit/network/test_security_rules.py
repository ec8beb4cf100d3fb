"""Security group rules: normal forms, refusals with Neutron's names, and sameness."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.core.errors import Fault
from pileus.services.network.rules import security


def rule(**fields: Any) -> dict[str, Any]:
    return security.normalise({"direction": "ingress", **fields})


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ethertype": "IPX"}, "SecurityGroupRuleInvalidEtherType"),
        ({"protocol": "256"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "quic"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "ipv6-icmp"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"port_range_min": 1, "port_range_max": 2}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 9, "port_range_max": 2}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 9}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 2}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "6", "port_range_min": 1, "port_range_max": 65536}, "SecurityGroupInvalidPortValue"),
        (
            {"protocol": "vrrp", "port_range_min": 1, "port_range_max": 2},
            "SecurityGroupInvalidProtocolForPort",
        ),
        ({"protocol": "icmp", "port_range_min": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmp", "port_range_max": 3}, "SecurityGroupMissingIcmpType"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "x"}, "SecurityGroupMultipleRemoteEntites"),
        ({"remote_ip_prefix": "fd00::/8"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/99"}, "InvalidCIDR"),
    ],
)
def test_refusals(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Fault) as refused:
        rule(**fields)
    assert refused.value.code == code
    assert "{" not in refused.value.text


def test_normal_forms() -> None:
    found = rule(protocol="TCP", ethertype="ipv4", port_range_min=1, port_range_max=65535)
    assert (found["protocol"], found["ethertype"], found["port_range_min"]) == ("tcp", "IPv4", None)
    assert rule(protocol="any")["protocol"] is None
    assert rule(protocol="icmp", ethertype="IPv6")["protocol"] == "ipv6-icmp"
    assert rule(protocol=6)["protocol"] == "6"
    host_bits = rule(remote_ip_prefix="10.1.2.3/8")
    assert (host_bits["remote_ip_prefix"], host_bits["normalized_cidr"]) == ("10.1.2.3/8", "10.0.0.0/8")


def test_same_rules_in_other_words() -> None:
    same = [
        ({"protocol": "tcp"}, {"protocol": "6"}),
        ({"remote_ip_prefix": "0.0.0.0/0"}, {}),
        ({"remote_ip_prefix": "10.1.2.3/8"}, {"remote_ip_prefix": "10.0.0.0/8"}),
    ]
    for one, other in same:
        assert security.key(rule(**one)) == security.key(rule(**other))
    assert security.key(rule()) != security.key(rule(ethertype="IPv6"))
    assert security.key(rule()) != security.key(rule(protocol="udp"))
