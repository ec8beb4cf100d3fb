"""What openstacksdk asks, with its own errors and its own way of paging."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.clouds import Cloud, simulated_cloud, until

_numbers = itertools.count(1)
UNKNOWN = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def sdk(cloud: Cloud) -> Iterator[Connection]:
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.folder.clouds)], load_envvars=False)
    connection = Connection(config=config.get_one(cloud="pileus"))
    yield connection
    connection.close()


@pytest.fixture
def network(sdk: Connection) -> Any:
    """A network with a subnet of its own."""
    number = next(_numbers)
    network = sdk.network.create_network(name=f"net-{number}")
    sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr=f"10.{number}.0.0/24")
    return network


def test_every_service_of_the_catalog_is_found(sdk: Connection) -> None:
    assert sdk.endpoint_for("identity").endswith("/identity")
    assert sdk.endpoint_for("network").endswith("/networking")
    assert sdk.current_project.name == "admin"
    assert [region.id for region in sdk.identity.regions()] == ["RegionOne"]


def test_create_show_update_delete(sdk: Connection, network: Any) -> None:
    port = sdk.network.create_port(network_id=network.id, name="one")
    revision = port.revision_number
    assert sdk.network.get_port(port.id).name == "one"
    assert sdk.network.find_port("one", network_id=network.id).id == port.id
    changed = sdk.network.update_port(port, name="uno", description="hola", is_admin_state_up=False)
    assert (changed.name, changed.description, changed.is_admin_state_up) == ("uno", "hola", False)
    assert changed.revision_number > revision
    sdk.network.delete_port(port)
    assert sdk.network.find_port(port.id) is None
    sdk.network.delete_port(port, ignore_missing=True)
    with pytest.raises(exceptions.NotFoundException):
        sdk.network.delete_port(port, ignore_missing=False)


def test_filters_and_pages(sdk: Connection, network: Any) -> None:
    bulk = [{"network_id": network.id, "name": f"p{n:02}", "device_owner": "a:b"} for n in range(25)]
    made = sdk.network.create_ports(bulk)
    assert len(list(made)) == 25
    everything = list(sdk.network.ports(network_id=network.id, device_owner="a:b"))
    paged = list(sdk.network.ports(network_id=network.id, device_owner="a:b", limit=4))
    assert [p.id for p in paged] == [p.id for p in everything]
    assert len(everything) == 25
    by_name = list(sdk.network.ports(device_owner="a:b", sort_key="name", sort_dir="desc", limit=10))
    assert [p.name for p in by_name] == [f"p{n:02}" for n in reversed(range(25))]
    assert [p.name for p in sdk.network.ports(network_id=network.id, name="p07")] == ["p07"]
    assert list(sdk.network.ports(device_owner="a:b", status="ACTIVE")) == []
    address = everything[3].fixed_ips[0]["ip_address"]
    found = list(sdk.network.ports(network_id=network.id, fixed_ips=f"ip_address={address}"))
    assert [p.id for p in found] == [everything[3].id]
    assert list(sdk.network.ports(network_id=network.id, device_owner="x")) == []


def test_an_update_of_an_older_revision_is_refused(sdk: Connection, network: Any) -> None:
    stale = sdk.network.get_network(network.id)
    sdk.network.update_network(network.id, description="newer")
    with pytest.raises(exceptions.PreconditionFailedException):
        sdk.network.update_network(stale, if_revision=stale.revision_number, description="older")
    fresh = sdk.network.get_network(network.id)
    assert fresh.description == "newer"
    sdk.network.update_network(fresh, if_revision=fresh.revision_number, description="newest")
    assert sdk.network.get_network(network.id).description == "newest"


def test_tags(sdk: Connection, network: Any) -> None:
    sdk.network.set_tags(network, ["red", "blue"])
    sdk.network.add_tag(network, "green")
    sdk.network.remove_tag(network, "red")
    assert sorted(sdk.network.get_network(network.id).tags) == ["blue", "green"]
    assert [n.id for n in sdk.network.networks(tags="blue,green")] == [network.id]
    assert network.id not in [n.id for n in sdk.network.networks(not_tags="blue")]
    sdk.network.remove_all_tags(network)
    assert sdk.network.get_network(network.id).tags == []


def test_quota(sdk: Connection, network: Any) -> None:
    project = sdk.identity.create_project(name=f"poor-{network.name}")
    assert sdk.network.get_quota_default(project.id).ports == 500
    sdk.network.update_quota(project.id, ports=1)
    assert sdk.network.get_quota(project.id).ports == 1
    assert project.id in [quota.project_id for quota in sdk.network.quotas()]
    sdk.network.create_port(network_id=network.id, project_id=project.id)
    with pytest.raises(exceptions.ConflictException, match="Quota exceeded"):
        sdk.network.create_port(network_id=network.id, project_id=project.id)
    details = sdk.network.get_quota(project.id, details=True)
    assert details.ports["used"] == 1
    sdk.network.delete_quota(project.id)
    sdk.network.create_port(network_id=network.id, project_id=project.id)


def test_security_group_rules(sdk: Connection, network: Any) -> None:
    group = sdk.network.create_security_group(name="web")
    assert {(rule["direction"], rule["ethertype"]) for rule in group.security_group_rules} == {
        ("egress", "IPv4"),
        ("egress", "IPv6"),
    }
    wanted = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
    rule = sdk.network.create_security_group_rule(**wanted, port_range_min=80, port_range_max=80)
    with pytest.raises(exceptions.ConflictException, match="already exists"):
        sdk.network.create_security_group_rule(**wanted, port_range_min=80, port_range_max=80)
    with pytest.raises(exceptions.BadRequestException):
        sdk.network.create_security_group_rule(**wanted, port_range_min=90, port_range_max=80)
    bulk = [{**wanted, "port_range_min": n, "port_range_max": n} for n in range(1000, 1050)]
    assert len(list(sdk.network.create_security_group_rules(bulk))) == 50
    port = sdk.network.create_port(network_id=network.id, security_group_ids=[group.id])
    with pytest.raises(exceptions.ConflictException, match="in use"):
        sdk.network.delete_security_group(group)
    sdk.network.delete_security_group_rule(rule)
    assert len(list(sdk.network.security_group_rules(security_group_id=group.id))) == 52
    sdk.network.delete_port(port)
    sdk.network.delete_security_group(group)


def test_agents(sdk: Connection, cloud: Cloud) -> None:
    kind = "Open vSwitch agent"
    agents = {agent.host: agent for agent in sdk.network.agents(agent_type=kind)}
    assert agents.keys() == {"host-1", "host-2"}
    agent = sdk.network.get_agent(agents["host-2"].id)
    assert (agent.agent_type, agent.is_alive) == (kind, True)
    assert agent.configuration["tunnel_types"] == ["vxlan"]
    assert [a.host for a in sdk.network.agents(host="host-1", agent_type=kind)] == ["host-1"]
    changed = sdk.network.update_agent(agent, description="spare", is_admin_state_up=False)
    assert (changed.description, changed.is_admin_state_up) == ("spare", False)
    sdk.network.delete_agent(agent)
    with pytest.raises(exceptions.NotFoundException):
        sdk.network.get_agent(agent.id)
    # It reports again (at the latest with its next heartbeat; here because it is started anew), as enabled.
    cloud.kill("agent")
    until(lambda: {a.host for a in sdk.network.agents(agent_type=kind)} == agents.keys())
    assert all(a.is_admin_state_up for a in sdk.network.agents())


@pytest.mark.parametrize(
    ("error", "act"),
    [
        (exceptions.NotFoundException, lambda n: n.get_network(UNKNOWN)),
        (exceptions.NotFoundException, lambda n: n.create_port(network_id=UNKNOWN)),
        (exceptions.BadRequestException, lambda n: n.create_network(name=["a", "list"])),
        (exceptions.BadRequestException, lambda n: n.create_network(nonsense=1, mtu="x")),
        (exceptions.BadRequestException, lambda n: n.create_subnet(network_id=UNKNOWN, ip_version=5)),
        (exceptions.BadRequestException, lambda n: list(n.ports(limit=-1))),
    ],
)
def test_errors_are_those_that_clients_know(sdk: Connection, error: type[Exception], act: Any) -> None:
    with pytest.raises(error) as caught:
        act(sdk.network)
    assert caught.type is error
    assert caught.value.details or caught.value.message
    assert caught.value.request_id


def test_an_address_is_never_given_twice(sdk: Connection, network: Any) -> None:
    subnet = next(iter(sdk.network.subnets(network_id=network.id)))
    wanted = [{"subnet_id": subnet.id, "ip_address": subnet.cidr.replace("0/24", "9")}]
    sdk.network.create_port(network_id=network.id, fixed_ips=wanted)
    with pytest.raises(exceptions.ConflictException):
        sdk.network.create_port(network_id=network.id, fixed_ips=wanted)
    with pytest.raises(exceptions.ConflictException):
        sdk.network.delete_subnet(subnet)
