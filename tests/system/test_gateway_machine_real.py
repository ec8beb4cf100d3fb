"""A router that is a virtual machine, for real: its guests ask it for addresses and reach the outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.system.cloud_world import BEYOND, story_in_a_cloud
from tests.system.gateway_world import (
    BEHIND_6,
    BEYOND_6,
    DHCLIENT,
    FAR_6,
    OUTSIDE_6,
    WORKS_WITHIN_S,
    GatewayWorld,
    why_not,
)
from tests.system.ipv6_links import made_of
from tests.system.node_world import REAL

from pileus.app.commands.image import default_cache
from pileus.drivers.guestimage import CannotBuildImage, build_image
from pileus.drivers.netlink.links import Address, Route
from pileus.drivers.process import ProgramFailed, run

pytestmark = [*REAL, pytest.mark.alone, pytest.mark.nightly]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("image") / "gateway.qcow2"
    try:
        build_image(path, default_cache(), lambda text: None, kind="gateway")
    except CannotBuildImage as error:
        pytest.skip(str(error))
    return path


def test_a_gateway_machine_routes_and_gives_addresses(image: Path) -> None:
    GatewayWorld.image = image

    async def story(world: Any) -> None:
        api = world.api
        flavor = await world.flavored()
        network = await api.make("network", name="inside")
        pool = {"start": "10.7.0.100", "end": "10.7.0.110"}
        subnet = await api.make(
            "subnet", network_id=network["id"], cidr="10.7.0.0/24", ip_version=4, allocation_pools=[pool]
        )
        info = {"network_id": world.public}
        router = (await api.make("router", flavor_id=flavor, external_gateway_info=info))["id"]
        assert await world.status(router) in ("BUILD", "ACTIVE")
        path = f"/v2.0/routers/{router}/add_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet["id"]})).status == 200
        guest, port = await world.plugged(network["id"])
        await world.until(lambda: world.works(router), WORKS_WITHIN_S)

        # From the machine the guest has its address, of the allocation range, and by it the outside.
        told = await world.leased(guest, port)
        address = port["fixed_ips"][0]["ip_address"]
        assert told["address"] == address and 100 <= int(address.rpartition(".")[2]) <= 110
        assert told["server"] == told["router"] == "10.7.0.1"
        await world.pings_soon(guest.namespace, BEYOND)

        # The server hears of the lease, and of what passes.
        await world.lease_told(port, address)
        labels, rules = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
        body = {"metering_label": {"name": "out", "shared": True}}
        label = (await world.admin("POST", labels, body)).json["metering_label"]["id"]
        rule = {"metering_label_id": label, "direction": "egress", "remote_ip_prefix": "0.0.0.0/0"}
        assert (await world.admin("POST", rules, {"metering_label_rule": rule})).status == 201

        async def counted() -> bool:
            await world.pings(guest.namespace, BEYOND, 3)
            answer = await world.admin("GET", f"{labels}/{label}/counters")
            found = [one for one in answer.json["counters"] if one["router_id"] == router]
            return bool(found) and found[0]["packets"] >= 3

        await world.until(counted)

        # A floating IP and a change of routes arrive without a restart of the machine.
        floating = await world.floating(port["id"])
        await world.pings_soon(world.outside, floating)
        (first,) = await world.servers()
        consoles = world.consoles()[first["id"]]
        assert sum(line.startswith("boot ") for line in consoles) == 1

        # It is killed: another takes its place.
        await world.kill_machine(first["id"])

        async def replaced() -> bool:
            servers = await world.servers()
            return bool(servers and servers[0]["id"] != first["id"]) and await world.works(router)

        await world.until(replaced, WORKS_WITHIN_S)
        assert (await world.leased(guest, port))["address"] == address
        await world.pings_soon(guest.namespace, BEYOND)
        await world.pings_soon(world.outside, floating)

        # Nothing of it is left.
        for one_of_them in (await api("GET", "/v2.0/floatingips")).json["floatingips"]:
            assert (await api("DELETE", f"/v2.0/floatingips/{one_of_them['id']}")).status == 204
        path = f"/v2.0/routers/{router}/remove_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet["id"]})).status == 200
        assert (await api("DELETE", f"/v2.0/routers/{router}")).status == 204

        async def gone() -> bool:
            return not await world.servers() and not await world.hypervisor.list_domains()

        await world.until(gone, 30)
        await world.until(world.nothing_left, 30)

    story_in_a_cloud(story, hosts=1, routing=(), kind=GatewayWorld)


@pytest.mark.skipif(not Path(DHCLIENT).exists(), reason="not installed: isc-dhcp-client")
def test_a_gateway_machine_carries_ipv6(image: Path, tmp_path: Path) -> None:
    GatewayWorld.image = image

    async def story(world: Any) -> None:
        api = world.api
        six = {"network_id": world.public, "cidr": "2001:db8:f::/64", "ip_version": 6}
        await world.admin.make("subnet", **six, gateway_ip=OUTSIDE_6, enable_dhcp=False)
        await world.links.ensure_addresses(
            [
                Address(world.outside, "eth0", f"{OUTSIDE_6}/64"),
                Address(world.outside, "lo", f"{BEYOND_6}/128"),
            ]
        )
        info = {"network_id": world.public}
        flavor = await world.flavored()
        router = await api.make("router", flavor_id=flavor, external_gateway_info=info)
        path = f"/v2.0/routers/{router['id']}"

        async def network(number: int, mode: str | None) -> str:
            made = (await api.make("network", name=f"inside-{number}"))["id"]
            modes = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode}
            values = {
                "cidr": f"2001:db8:{number}::/64",
                "ip_version": 6,
                "dns_nameservers": ["2001:db8:f::53"],
            }
            subnet = await api.make("subnet", network_id=made, **values, **modes)
            answer = await api("PUT", f"{path}/add_router_interface", {"subnet_id": subnet["id"]})
            assert answer.status == 200, answer
            return str(made)

        own, options, given = (
            await network(1, "slaac"),
            await network(2, "dhcpv6-stateless"),
            await network(3, "dhcpv6-stateful"),
        )
        four = await api.make("subnet", network_id=own, cidr="10.7.0.0/24", ip_version=4)
        assert (await api("PUT", f"{path}/add_router_interface", {"subnet_id": four["id"]})).status == 200
        outer = (await api("GET", path)).json["router"]["external_gateway_info"]["external_fixed_ips"]
        gateway = next(one["ip_address"] for one in outer if ":" in one["ip_address"])
        await world.links.ensure_routes(
            [
                Route(world.outside, cidr, via=gateway, device="eth0")
                for cidr in (*(f"2001:db8:{number}::/64" for number in (1, 2, 3)), BEHIND_6)
            ]
        )
        first, first_port = await world.plugged(own)
        second, second_port = await world.plugged(options)
        third, third_port = await world.plugged(given, allowed_address_pairs=[{"ip_address": BEHIND_6}])
        await world.until(lambda: world.works(router["id"]), WORKS_WITHIN_S)

        # Guests make their addresses, or are given them, and reach the outside, which reaches them.
        by_itself = made_of(first_port["mac_address"], "2001:db8:1::/64")
        await world.has_address(first, by_itself)
        await world.pings_soon(first.namespace, BEYOND_6)
        await world.pings_soon(world.outside, by_itself)
        told = await world.leased(first, first_port)
        assert told["address"].startswith("10.7.0.")
        await world.pings_soon(first.namespace, BEYOND)

        by_option = made_of(second_port["mac_address"], "2001:db8:2::/64")
        await world.has_address(second, by_option)
        answered = await world.asked_6(second, tmp_path, "-S")
        assert answered["new_dhcp6_name_servers"] == "2001:db8:f::53" and "new_ip6_address" not in answered
        await world.pings_soon(second.namespace, by_itself)

        leased = third_port["fixed_ips"][0]["ip_address"]
        answered = await world.asked_6(third, tmp_path)
        assert answered["new_ip6_address"] == leased
        assert answered["new_dhcp6_name_servers"] == "2001:db8:f::53"
        await world.links.ensure_addresses([Address(third.namespace, "eth0", f"{leased}/64")])
        link = (await world.links.links(third.namespace))["eth0"]
        assert not [
            one
            for one in link.addresses
            if one.startswith(made_of(third_port["mac_address"], "2001:db8:3::/64"))
        ]
        await world.pings_soon(third.namespace, BEYOND_6)
        await world.lease_told(third_port, leased)

        # What is too long for the network is told of, and then comes in pieces.
        await world.pings(world.outside, by_itself)
        long = ("ip", "netns", "exec", world.outside, "ping", "-c", "3", "-i", "0.2", "-s", "1460", by_itself)
        await run(("sh", "-c", '"$@" || true', "sh", *long))
        way = await run(("ip", "-n", world.outside, "-6", "route", "get", by_itself))
        assert b"mtu 1450" in way, way
        await run(long)

        # A forged source goes nowhere, an extra route leads behind a guest.
        forged = "2001:db8:1::bad"
        await world.links.ensure_addresses([Address(first.namespace, "lo", f"{forged}/128")])
        asked = ("ip", "netns", "exec", first.namespace, "ping", "-c", "2", "-W", "1", "-I", forged, BEYOND_6)
        with pytest.raises(ProgramFailed):
            await run(asked)
        await world.links.ensure_addresses([Address(third.namespace, "lo", f"{FAR_6}/128")])
        assert not await world.pings(world.outside, FAR_6, 1)
        body = {"router": {"routes": [{"destination": BEHIND_6, "nexthop": leased}]}}
        assert (await api("PUT", path, body)).status == 200
        await world.pings_soon(world.outside, FAR_6)
        (server,) = await world.servers()
        assert sum(line.startswith("boot ") for line in world.consoles()[server["id"]]) == 1

    story_in_a_cloud(story, hosts=1, routing=(), kind=GatewayWorld)
