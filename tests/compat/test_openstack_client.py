"""The whole line by the stock ``openstack`` command, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests import openstack_command
from tests.clouds import Cloud, program, simulated_cloud, until


class Shell:
    """The command with what ``pileus up`` wrote into clouds.yaml."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
        self.cloud = cloud
        self._command = command
        for name in [name for name in os.environ if name.startswith("OS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.folder.clouds))
        monkeypatch.setenv("OS_CLOUD", "pileus")

    def run(self, line: str) -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        command = [self._command, *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr

    def __call__(self, line: str) -> None:
        status, _, complaint = self.run(line)
        assert status == 0, f"openstack {line}: {complaint}"

    def json(self, line: str) -> Any:
        status, said, complaint = self.run(f"{line} -f json")
        assert status == 0, f"openstack {line}: {complaint}"
        return json.loads(said)

    def refused(self, line: str) -> str:
        """Why the command could not do it."""
        status, _, complaint = self.run(line)
        assert status == 1
        return complaint


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def openstack(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(cloud, monkeypatch, f"{openstack_command.folder()}/openstack")


def test_the_program_itself(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as it is installed; the other stories save its start."""
    openstack = Shell(cloud, monkeypatch, program("openstack"))
    assert {one["Type"] for one in openstack.json("catalog list")} >= {"identity", "network"}
    assert "No Network found" in openstack.refused("network show nothing")


def test_the_line(openstack: Shell) -> None:
    network = openstack.json("network create demo")
    assert (network["status"], network["mtu"], network["provider:network_type"]) == ("ACTIVE", 1450, "vxlan")
    subnet = openstack.json(
        "subnet create --network demo --subnet-range 10.1.0.0/24 --dns-nameserver 9.9.9.9 s"
    )
    assert subnet["gateway_ip"] == "10.1.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]
    group = openstack.json("security group create web")
    rule = openstack.json("security group rule create --protocol tcp --dst-port 80:81 web")
    assert (rule["port_range_min"], rule["port_range_max"], rule["security_group_id"]) == (
        80,
        81,
        group["id"],
    )
    fixed = "--fixed-ip subnet=s,ip-address=10.1.0.77"
    port = openstack.json(
        f"port create --network demo {fixed} --security-group web --host host-1 --tag blue p"
    )
    assert (port["status"], port["binding_vif_type"], port["tags"]) == ("DOWN", "ovs", ["blue"])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.1.0.77"}]

    openstack.cloud.plug("host-1", port["id"])
    until(lambda: openstack.cloud.api.status(port["id"]) == "ACTIVE")
    shown = openstack.json("port list --long --network demo --tags blue")
    assert [(one["Name"], one["Status"], one["Tags"]) for one in shown] == [("p", "ACTIVE", ["blue"])]

    openstack("port set --name q --description hello --no-security-group --disable-port-security p")
    assert openstack.cloud.api.ports(name="q")[0]["port_security_enabled"] is False
    assert "There are one or more ports still in use on the network" in openstack.refused(
        "network delete demo"
    )

    openstack("port delete q")
    openstack("network delete demo")
    openstack("security group delete web")
    assert openstack.json("port list") == [], "not even one that was made for DHCP"


def test_agents(openstack: Shell) -> None:
    agents = openstack.json("network agent list")
    switches = [agent for agent in agents if agent["Binary"] == "neutron-openvswitch-agent"]
    assert sorted((agent["Host"], agent["Alive"], agent["State"]) for agent in switches) == [
        ("host-1", True, True),
        ("host-2", True, True),
    ]
    one = next(agent["ID"] for agent in switches if agent["Host"] == "host-2")
    openstack(f"network agent set --disable --description resting {one}")
    shown = openstack.json(f"network agent show {one}")
    assert (shown["admin_state_up"], shown["description"]) == (False, "resting")
    openstack(f"network agent set --enable {one}")


def test_identity_and_quota(openstack: Shell) -> None:
    project = openstack.json("project create --description testing lab")
    openstack("user create --project lab --password secret worker")
    openstack("role add --user worker --project lab member")
    roles = openstack.json("role assignment list --user worker --project lab --names")
    assert [(one["Role"], one["Project"]) for one in roles] == [("member", "lab@Default")]
    openstack("quota set --networks 1 --ports 2 lab")
    quota = {one["Resource"]: one["Limit"] for one in openstack.json("quota show --network lab")}
    assert (quota["networks"], quota["ports"]) == (1, 2)
    as_worker = "--os-username worker --os-password secret --os-project-name lab"
    openstack(f"{as_worker} network create one")
    assert "Quota exceeded for resources: ['network']" in openstack.refused(f"{as_worker} network create two")
    assert openstack.json(f"{as_worker} network agent list") == [], "not for everybody"
    assert openstack.json(f"{as_worker} network list")[0]["Name"] == "one"
    services = {row["Type"] for row in openstack.json("catalog list")}
    assert {"identity", "network"} <= services
    openstack("network delete one")
    openstack("user delete worker")
    openstack("project delete lab")
    assert "No Project found" in openstack.refused(f"project show {project['id']}")


def test_a_rate_limit(openstack: Shell) -> None:
    openstack("network qos policy create slow")
    rule = openstack.json("network qos rule create --type bandwidth-limit --max-kbps 1000 --egress slow")
    assert (rule["max_kbps"], rule["direction"]) == (1000, "egress")
    assert len(openstack.json("network qos rule list slow")) == 1
    openstack(f"network qos rule delete slow {rule['id']}")
    openstack("network qos policy delete slow")


def test_resources(openstack: Shell) -> None:
    """By the plugin of the Placement service."""
    host = openstack.json("resource provider list")[0]
    key = host["uuid"]
    has = {one["resource_class"]: one for one in openstack.json(f"resource provider inventory list {key}")}
    assert set(has) == {"VCPU", "MEMORY_MB", "DISK_GB"}
    version = "--os-placement-api-version 1.39"
    openstack(f"{version} resource class create CUSTOM_FPGA")
    openstack(f"{version} trait create CUSTOM_FAST")
    card = openstack.json(f"{version} resource provider create --parent-provider {key} card")
    openstack(f"{version} resource provider inventory set {card['uuid']} --resource CUSTOM_FPGA=2")
    openstack(f"{version} resource provider trait set --trait CUSTOM_FAST {card['uuid']}")
    wanted = "--resource VCPU=1 --resource CUSTOM_FPGA=1 --required CUSTOM_FAST"
    found = openstack.json(f"{version} allocation candidate list {wanted}")
    assert {one["resource provider"] for one in found} == {key, card["uuid"]}
    consumer = "5b3c0a4e-3a4a-4c1c-9d7c-0d4b2f6f4a10"
    openstack(
        f"{version} resource provider allocation set --allocation rp={card['uuid']},CUSTOM_FPGA=1 "
        f"--project-id p --user-id u --consumer-type RACK {consumer}"
    )
    (usage,) = openstack.json(f"{version} resource provider usage show {card['uuid']}")
    assert (usage["resource_class"], usage["usage"]) == ("CUSTOM_FPGA", 1)
    assert (
        "in use" in openstack.refused(f"{version} resource provider inventory delete {card['uuid']}").lower()
    )
    openstack(f"{version} resource provider allocation delete {consumer}")
    openstack(
        f"{version} resource provider inventory set {key} --amend --resource VCPU:reserved=1 "
        "--resource VCPU:allocation_ratio=2.0"
    )
    (vcpu,) = [
        one
        for one in openstack.json(f"resource provider inventory list {key}")
        if one["resource_class"] == "VCPU"
    ]
    assert (vcpu["reserved"], vcpu["allocation_ratio"]) == (1, 2.0)
    openstack(f"{version} resource provider delete {card['uuid']}")
