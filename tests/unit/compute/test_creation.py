"""New servers are decided on from facts alone: no database is at hand here."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.core.errors import Fault
from pileus.policy import Policies
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.policy import ADMIN, ATTACH_EXTERNAL, BASE_RULES, rules
from pileus.services.compute.quotas.counting import DEFAULTS, Limits
from pileus.services.compute.servers.creation import decide
from pileus.services.compute.servers.creation_facts import CreationFacts
from pileus.services.compute.servers.devices import DeviceFacts
from pileus.services.compute.servers.requested_networks import GroupFacts, NetworkFacts
from pileus.services.compute.servers.server_spec import ServerSpec

CONTEXT = Context(now=ManualClock().now(), user_id="u", project_id="p", roles=("member",))
RULES = (*rules({"servers:create:zero_disk_flavor": ADMIN}), ATTACH_EXTERNAL)
ACCESS = Access(Policies({"compute": (*BASE_RULES, *RULES)}, {}).of("compute"), CONTEXT, NOVA)
FLAVOR = Values(
    {
        "id": "1",
        "name": "m",
        "vcpus": 1,
        "ram": 512,
        "disk": 1,
        "swap": 0,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "extra_specs": {},
    }
)
IMAGE = Values(
    {
        "id": "i", "status": "active", "min_ram": 0, "min_disk": 0, "size": 1, "disk_format": "qcow2",
        "properties": {},
    }
)  # fmt: skip
NETWORK = Values(
    {"id": "n", "router:external": False, "shared": False, "project_id": "p", "port_security_enabled": True}
)
SUBNET = Values(
    {
        "id": "s",
        "network_id": "n",
        "cidr": "10.0.0.0/24",
        "enable_dhcp": True,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
    }
)
PORT = Values({"id": "x", "network_id": "n", "project_id": "p", "device_id": "", "fixed_ips": [{}]})
NETWORKS = NetworkFacts([NETWORK], [SUBNET], {"x": PORT}, {}, {("n", "10.0.0.9"): "other"})
FACTS = CreationFacts(
    flavor=FLAVOR,
    image=IMAGE,
    keypair=None,
    nodes=[],
    limits=Limits(dict(DEFAULTS), {}),
    server_group=None,
    group_size=0,
    hinted=frozenset({"mine"}),
    groups=GroupFacts(["d"], [Values({"id": "g", "name": "web"})]),
    networks=NETWORKS,
    qos_policy_usable=True,
    wanted_devices=(),
    devices=DeviceFacts(),
)


def asked(**values: Any) -> ServerSpec:
    given = {"name": "vm", "flavor_id": "1", "image_id": "i", "ids": ("a",), **values}
    return ServerSpec(operation_id="o", reservation_id="r", **given)


def test_what_is_asked_for_becomes_a_plan() -> None:
    request = asked(
        networks=[{"port": "x"}, {"uuid": "n", "fixed_ip": "10.0.0.5", "tag": "t"}],
        groups=("default", "web"),
        hints={"same_host": ["mine", "theirs"]},
    )
    plan = decide(ACCESS, request, FACTS, ComputeConfig())
    assert plan.interfaces == [
        {"network_id": "n", "port_id": "x", "fixed_ip": None, "tag": None},
        {"network_id": "n", "port_id": None, "fixed_ip": "10.0.0.5", "tag": "t"},
    ]
    assert (plan.groups, plan.hints) == (["d", "g"], {"same_host": ["mine"]})
    assert (plan.config_drive, plan.hardware) == (False, {})


def test_an_image_that_needs_a_config_drive_gets_one() -> None:
    image = Values({**IMAGE, "properties": {"img_config_drive": "mandatory"}})
    assert decide(ACCESS, asked(), FACTS._replace(image=image), ComputeConfig()).config_drive


@pytest.mark.parametrize(
    ("values", "facts", "words"),
    [
        ({}, {"flavor": None}, "Flavor 1 could not be found."),
        ({"image_id": ""}, {}, "servers begin from an image or a bootable volume"),
        ({}, {"image": None}, "Image i could not be found."),
        ({}, {"flavor": Values({**FLAVOR, "disk": 0})}, "flavors with zero disk"),
        ({"key_name": "k"}, {}, "Invalid key_name provided."),
        ({"zone": "far"}, {}, "availability zone is not available"),
        ({"host": "h"}, {}, "Compute host h could not be found."),
        ({"hints": {"group": "g"}}, {}, "Instance group g could not be found."),
        ({"hints": {"group": "g"}}, {"server_group": object(), "group_size": 10}, "too many servers in"),
        ({"metadata": dict.fromkeys(map(str, range(129)), "")}, {}, "exceeds 128"),
        ({"groups": ("db",)}, {}, "Unable to find security_group with name or id 'db'"),
        ({"networks": "auto"}, {"networks": NETWORKS._replace(networks=[])}, "automatically allocate"),
        ({}, {"networks": NETWORKS._replace(networks=[NETWORK, NETWORK])}, "Multiple possible networks"),
        ({}, {"networks": NETWORKS._replace(subnets=[])}, "requires a subnet"),
        ({"networks": [{"uuid": "m"}]}, {}, "Network m could not be found."),
        ({"networks": [{}]}, {}, "missing 'uuid'"),
        ({"networks": [{"uuid": "n", "fixed_ip": "10.1.0.5"}]}, {}, "is not a valid ip address for network"),
        ({"networks": [{"uuid": "n", "fixed_ip": "10.0.0.9"}]}, {}, "in use on instance other"),
        ({"networks": [{"port": "x"}]}, {"networks": NETWORKS._replace(held={"x": "b"})}, "still in use"),
        ({"networks": [{"port": "x"}], "ids": ("a", "b")}, {}, "with a single configured port ID"),
        ({"networks": [{"port": "x"}, {"port": "x"}]}, {}, "Duplicate ports"),
        ({"qos_policy_id": "q"}, {"qos_policy_usable": False}, "QoS policy q could not be found."),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(values: dict[str, Any], facts: dict[str, Any], words: str) -> None:
    with pytest.raises(Fault) as refused:
        decide(ACCESS, asked(**values), FACTS._replace(**facts), ComputeConfig())
    assert words in refused.value.text
