"""A server's life by openstacksdk: image, key, boot, addresses, actions, floating IP, and nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.clouds import Cloud, simulated_cloud, until


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


@pytest.fixture(scope="module")
def image(sdk: Connection) -> Any:
    made = sdk.image.create_image(name="disk", disk_format="raw", container_format="bare", min_disk=1)
    headers = {"Content-Type": "application/octet-stream"}
    sdk.image.put(f"/images/{made.id}/file", data=bytes(1 << 20), headers=headers)
    found = sdk.image.get_image(made.id)
    assert (found.status, found.size) == ("active", 1 << 20)
    assert found.hash_algo == "sha512"
    return found


@pytest.fixture(scope="module")
def network(sdk: Connection) -> Any:
    network = sdk.network.create_network(name="servers")
    sdk.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")
    return network


def boot(sdk: Connection, image: Any, network: Any, name: str, **values: Any) -> Any:
    flavor = sdk.compute.find_flavor("m1.tiny")
    server = sdk.compute.create_server(
        name=name, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], **values
    )
    return sdk.compute.wait_for_server(server, wait=30, interval=0.2)


def test_the_life_of_a_server(sdk: Connection, image: Any, network: Any) -> None:
    key = sdk.compute.create_keypair(name="mine")
    assert "PRIVATE KEY" in key.private_key
    server = boot(sdk, image, network, "one", key_name="mine", metadata={"tier": "web"})
    assert (server.status, server.power_state, server.key_name) == ("ACTIVE", 1, "mine")
    assert server.metadata == {"tier": "web"}
    assert server.addresses["servers"][0]["addr"].startswith("10.9.0.")
    assert [action.action for action in sdk.compute.server_actions(server)] == ["create"]
    console = sdk.compute.get_server_console_output(server, length=5)
    assert "login" in console["output"]

    sdk.compute.stop_server(server)
    sdk.compute.wait_for_server(server, status="SHUTOFF", wait=30, interval=0.2)
    with pytest.raises(exceptions.ConflictException, match="vm_state stopped"):
        sdk.compute.pause_server(server)

    def at_rest() -> bool:
        now = sdk.compute.get_server(server.id)
        return (now.status, now.task_state) == ("ACTIVE", None)

    sdk.compute.start_server(server)
    until(at_rest)
    sdk.compute.reboot_server(server, "HARD")
    until(at_rest)
    sdk.compute.rebuild_server(server, image=image.id, name="one-anew")
    until(at_rest)
    assert sdk.compute.get_server(server.id).name == "one-anew"

    sdk.compute.delete_server(server)
    sdk.compute.wait_for_delete(server, wait=30, interval=0.2)
    assert not list(sdk.network.ports(device_id=server.id))
    sdk.compute.delete_keypair("mine")


def test_a_floating_ip_and_a_second_interface(sdk: Connection, image: Any, network: Any) -> None:
    public = sdk.network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    sdk.network.create_subnet(
        network_id=public.id, ip_version=4, cidr="203.0.113.0/24", is_dhcp_enabled=False
    )
    router = sdk.network.create_router(name="out", external_gateway_info={"network_id": public.id})
    subnet = next(sdk.network.subnets(network_id=network.id))
    sdk.network.add_interface_to_router(router, subnet_id=subnet.id)
    server = boot(sdk, image, network, "two")
    port = next(sdk.network.ports(device_id=server.id))
    floating = sdk.network.create_ip(floating_network_id=public.id, port_id=port.id)
    until(lambda: sdk.network.get_ip(floating.id).status == "ACTIVE")
    kinds = {one["OS-EXT-IPS:type"] for one in sdk.compute.get_server(server.id).addresses["servers"]}
    assert kinds == {"fixed", "floating"}
    with pytest.raises(exceptions.ConflictException):
        sdk.network.delete_router(router)

    other = sdk.network.create_network(name="second")
    sdk.network.create_subnet(network_id=other.id, ip_version=4, cidr="10.10.0.0/24")
    attached = sdk.compute.create_server_interface(server, net_id=other.id)
    until(lambda: sdk.network.get_port(attached.port_id).status == "ACTIVE")
    assert "second" in sdk.compute.get_server(server.id).addresses
    sdk.compute.delete_server_interface(attached.port_id, server=server)
    until(lambda: "second" not in sdk.compute.get_server(server.id).addresses)

    sdk.network.delete_ip(floating)
    sdk.compute.delete_server(server)
    sdk.compute.wait_for_delete(server, wait=30, interval=0.2)
    sdk.network.remove_interface_from_router(router, subnet_id=subnet.id)
    sdk.network.delete_router(router)
    sdk.network.delete_network(public)


def test_what_does_not_fit_says_why(sdk: Connection, image: Any, network: Any) -> None:
    flavor = sdk.compute.create_flavor(name="huge", ram=64, vcpus=1, disk=50_000)
    server = sdk.compute.create_server(
        name="huge", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
    )
    until(lambda: sdk.compute.get_server(server.id).status == "ERROR")
    fault = sdk.compute.get_server(server.id).fault
    assert "No valid host was found" in fault["message"]
    steps = sdk.compute.get(f"/servers/{server.id}/os-pileus-timeline").json()["timeline"]
    refused = next(step for step in steps if step.get("refused"))["refused"]
    assert {one["host"] for one in refused} == {"host-1", "host-2"}, "each host says why"
    sdk.compute.delete_server(server)
    sdk.compute.wait_for_delete(server, wait=30, interval=0.2)
    sdk.compute.delete_flavor(flavor)


def test_hypervisors_services_and_limits(sdk: Connection) -> None:
    assert sorted(one.name for one in sdk.compute.hypervisors()) == ["host-1", "host-2"]
    binaries = {service.binary for service in sdk.compute.services()}
    assert {"nova-compute", "nova-conductor", "nova-scheduler"} <= binaries
    assert sdk.compute.get_limits().absolute.instances == 10
    assert [zone.name for zone in sdk.compute.availability_zones()] == ["nova"]
