"""The whole line by the stock ``openstack`` command, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clouds import Cloud, program, simulated_cloud, until


class Shell:
    """Runs ``openstack`` with what ``pileus up`` wrote into clouds.yaml."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        self._environment = {**kept, "OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds), "OS_CLOUD": "pileus"}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("openstack"), *line.split()],
            env=self._environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def __call__(self, line: str) -> None:
        done = self.run(line)
        assert done.returncode == 0, f"openstack {line}: {done.stderr}"

    def json(self, line: str) -> Any:
        done = self.run(f"{line} -f json")
        assert done.returncode == 0, f"openstack {line}: {done.stderr}"
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def openstack() -> Iterator[Shell]:
    with simulated_cloud() as cloud:
        yield Shell(cloud)


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
    shown = openstack.json("port list --long --network demo")
    assert [(one["Name"], one["Status"], one["Tags"]) for one in shown] == [("p", "ACTIVE", ["blue"])]

    openstack("port set --name q --description hello --no-security-group --disable-port-security p")
    assert openstack.json("port show q")["port_security_enabled"] is False
    refused = openstack.run("network delete demo")
    assert refused.returncode == 1
    assert "There are one or more ports still in use on the network" in refused.stderr

    openstack("port delete q")
    openstack("network delete demo")
    openstack("security group delete web")
    for noun in ("network", "subnet", "port"):
        assert openstack.json(f"{noun} list") == []


def test_agents(openstack: Shell) -> None:
    agents = openstack.json("network agent list")
    assert {(agent["Host"], agent["Alive"], agent["State"]) for agent in agents} == {
        ("host-1", True, True),
        ("host-2", True, True),
    }
    one = next(agent["ID"] for agent in agents if agent["Host"] == "host-2")
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
    over = openstack.run(f"{as_worker} network create two")
    assert over.returncode == 1
    assert "Quota exceeded for resources: ['network']" in over.stderr
    assert openstack.json(f"{as_worker} network agent list") == [], "not for everybody"
    assert openstack.json(f"{as_worker} network list")[0]["Name"] == "one"
    services = {row["Type"] for row in openstack.json("catalog list")}
    assert {"identity", "network"} <= services
    openstack("network delete one")
    openstack("user delete worker")
    openstack("project delete lab")
    assert openstack.run(f"project show {project['id']}").returncode == 1


def test_a_rate_limit(openstack: Shell) -> None:
    openstack("network qos policy create slow")
    rule = openstack.json("network qos rule create --type bandwidth-limit --max-kbps 1000 --egress slow")
    assert (rule["max_kbps"], rule["direction"]) == (1000, "egress")
    assert len(openstack.json("network qos rule list slow")) == 1
    openstack(f"network qos rule delete slow {rule['id']}")
    openstack("network qos policy delete slow")
