"""Random calls of the network API while simulated nodes follow, die and come back: in the end each node is as
the server wants it, and when everything has been deleted nothing is left of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.system.random_site import Site

NUMBERS = st.integers(0, 7)
NODES = st.integers(0, 1)
LIMIT = {"bandwidth_limit_rule": {"max_kbps": 2000, "direction": "ingress"}}
CHANGES: list[dict[str, Any]] = [
    {"admin_state_up": False},
    {"admin_state_up": True},
    {"port_security_enabled": False, "security_groups": []},
    {"port_security_enabled": True},
    {"allowed_address_pairs": [{"ip_address": "10.99.0.0/24"}]},
    {"binding:host_id": "host-1"},
    {"binding:host_id": "host-2"},
    {"binding:host_id": ""},
    {"extra_dhcp_opts": [{"opt_name": "ntp-server", "opt_value": "192.0.2.123"}]},
]
ORDER = ("trunks", "floatingips", "routers", "ports", "networks", "qos/policies")
"""Of what is deleted in the end, each before what it stands on."""


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.numbers = itertools.count(1)
        self.plugged: dict[str, int] = {}
        """Ports that a hypervisor has plugged, and on which node."""

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.site = Site()

        async def begin() -> None:
            await self.site.open()
            self.bare = await self.site.pictures()
            outside = {"name": "outside", "router:external": True, "provider:network_type": "flat"}
            outside["provider:physical_network"] = "physnet1"
            await self.network(outside, {"cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": False})

        self.runner.run(begin())

    # -- what stories are made of

    def run(self, act: Awaitable[Any]) -> None:
        """Do something, and let the agents run on for a moment that differs."""

        async def both() -> None:
            await act
            for _ in range(self.dice.randrange(60)):
                await asyncio.sleep(0)

        self.runner.run(both())

    async def network(self, values: dict[str, Any], *subnets: dict[str, Any]) -> None:
        made = await self.site.ask("POST", "networks", {"network": values})
        if made.status == 201:
            for subnet in subnets:
                body = {"network_id": made.json["network"]["id"], **subnet}
                await self.site.ask("POST", "subnets", {"subnet": body})

    async def pick(self, path: str, number: int) -> dict[str, Any] | None:
        found = await self.site.all(path)
        return found[number % len(found)] if found else None

    async def guests(self) -> list[dict[str, Any]]:
        return await self.site.all("ports?device_owner=")

    async def guest(self, number: int) -> dict[str, Any] | None:
        found = await self.guests()
        return found[number % len(found)] if found else None

    # -- rules

    @rule(kind=st.sampled_from(["vxlan", "vxlan", "vlan"]), dhcp=st.booleans(), new=st.booleans())
    def make_network(self, kind: str, dhcp: bool, new: bool) -> None:
        number = next(self.numbers)
        values = {"provider:network_type": kind}
        if kind == "vlan":
            values["provider:physical_network"] = "physnet1"
        subnets = [{"cidr": f"10.{number}.0.0/24", "ip_version": 4, "enable_dhcp": dhcp}]
        if new:
            modes = (
                {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if dhcp else {"enable_dhcp": False}
            )
            subnets.append({"cidr": f"fd00:{number}::/64", "ip_version": 6, **modes})
        self.run(self.network(values, *subnets))

    @rule(number=NUMBERS, node=st.sampled_from([0, 1, None]), plug=st.booleans())
    def make_port(self, number: int, node: int | None, plug: bool) -> None:
        async def make() -> None:
            network = await self.pick("networks?router:external=false", number)
            if network is None:
                return
            values = {"network_id": network["id"]}
            if node is not None:
                values["binding:host_id"] = self.site.nodes[node].host
            made = await self.site.ask("POST", "ports", {"port": values})
            if made.status == 201 and node is not None and plug:
                await self.plugs(made.json["port"], node)

        self.run(make())

    async def plugs(self, port: dict[str, Any], node: int) -> None:
        if port["id"] not in self.plugged:
            self.plugged[port["id"]] = node
            await self.site.nodes[node].plug(port["id"], port["mac_address"])

    @rule(number=NUMBERS, change=st.sampled_from(CHANGES))
    def change_port(self, number: int, change: dict[str, Any]) -> None:
        async def do() -> None:
            if port := await self.guest(number):
                await self.site.ask("PUT", f"ports/{port['id']}", {"port": change})

        self.run(do())

    @rule(number=NUMBERS, node=NODES)
    def plug(self, number: int, node: int) -> None:
        async def do() -> None:
            if port := await self.guest(number):
                await self.plugs(port, node)

        self.run(do())

    @rule(number=NUMBERS)
    def unplug(self, number: int) -> None:
        if self.plugged:
            port = sorted(self.plugged)[number % len(self.plugged)]
            self.run(self.site.nodes[self.plugged.pop(port)].unplug(port))

    @rule(number=NUMBERS, remote=st.booleans())
    def change_group(self, number: int, remote: bool) -> None:
        async def do() -> None:
            rules = await self.site.all("security-group-rules?direction=ingress")
            if number % 3 == 0 and rules:
                await self.site.ask("DELETE", f"security-group-rules/{rules[number % len(rules)]['id']}")
            elif group := await self.pick("security-groups", number):
                values = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
                values |= {"port_range_min": 20 + number, "port_range_max": 30}
                values |= {"remote_group_id": group["id"]} if remote else {}
                await self.site.ask("POST", "security-group-rules", {"security_group_rule": values})

        self.run(do())

    @rule(distributed=st.booleans(), ha=st.booleans())
    def make_router(self, distributed: bool, ha: bool) -> None:
        body = {"router": {"distributed": distributed, "ha": ha}}
        self.run(self.site.ask("POST", "routers", body))

    @rule(number=NUMBERS, other=NUMBERS, verb=st.sampled_from(["add", "add", "remove"]))
    def change_interface(self, number: int, other: int, verb: str) -> None:
        async def do() -> None:
            router = await self.pick("routers", number)
            subnet = await self.pick("subnets?enable_dhcp=true", other)
            if router and subnet:
                path = f"routers/{router['id']}/{verb}_router_interface"
                await self.site.ask("PUT", path, {"subnet_id": subnet["id"]})

        self.run(do())

    @rule(number=NUMBERS, there=st.sampled_from([True, True, False]))
    def change_gateway(self, number: int, there: bool) -> None:
        async def do() -> None:
            router = await self.pick("routers", number)
            outside = await self.pick("networks?router:external=true", 0)
            if router and outside:
                info = {"network_id": outside["id"]} if there else None
                await self.site.ask(
                    "PUT", f"routers/{router['id']}", {"router": {"external_gateway_info": info}}
                )

        self.run(do())

    @rule(number=NUMBERS, flag=st.sampled_from(["distributed", "ha"]), value=st.booleans())
    def change_router(self, number: int, flag: str, value: bool) -> None:
        async def do() -> None:
            if router := await self.pick("routers", number):
                for values in ({"admin_state_up": False}, {flag: value}, {"admin_state_up": True}):
                    await self.site.ask("PUT", f"routers/{router['id']}", {"router": values})

        self.run(do())

    @rule(number=NUMBERS, away=st.booleans())
    def change_floating_ip(self, number: int, away: bool) -> None:
        async def do() -> None:
            port, outside = await self.guest(number), await self.pick("networks?router:external=true", 0)
            floating = await self.pick("floatingips", number)
            if floating and away:
                values = {"port_id": None if floating["port_id"] else port and port["id"]}
                await self.site.ask("PUT", f"floatingips/{floating['id']}", {"floatingip": values})
            elif port and outside:
                values = {"floating_network_id": outside["id"], "port_id": port["id"]}
                await self.site.ask("POST", "floatingips", {"floatingip": values})

        self.run(do())

    @rule(number=NUMBERS, outer=st.integers(1000, 1004))
    def forward_a_port(self, number: int, outer: int) -> None:
        async def do() -> None:
            outside, port = await self.pick("networks?router:external=true", 0), await self.guest(number)
            if not (outside and port and port["fixed_ips"]):
                return
            free = [one for one in await self.site.all("floatingips") if one["port_id"] is None]
            if not free:
                values = {"floating_network_id": outside["id"]}
                await self.site.ask("POST", "floatingips", {"floatingip": values})
                return
            forwarding = {
                "internal_port_id": port["id"],
                "internal_ip_address": port["fixed_ips"][0]["ip_address"],
                "internal_port": 80,
                "external_port": outer,
                "protocol": "tcp",
            }
            path = f"floatingips/{free[0]['id']}/port_forwardings"
            await self.site.ask("POST", path, {"port_forwarding": forwarding})

        self.run(do())

    @rule(number=NUMBERS, where=st.sampled_from(["ports", "networks", "floatingips"]), there=st.booleans())
    def change_qos(self, number: int, where: str, there: bool) -> None:
        async def do() -> None:
            policy = await self.pick("qos/policies", 0)
            if policy is None:
                made = await self.site.ask("POST", "qos/policies", {"policy": {"name": "slow"}})
                policy = made.json["policy"]
                await self.site.ask("POST", f"qos/policies/{policy['id']}/bandwidth_limit_rules", LIMIT)
            one = await (self.guest(number) if where == "ports" else self.pick(where, number))
            if one:
                body = {where[:-1]: {"qos_policy_id": policy["id"] if there else None}}
                await self.site.ask("PUT", f"{where}/{one['id']}", body)

        self.run(do())

    @rule(number=NUMBERS, other=NUMBERS, tag=st.integers(1, 3))
    def change_trunk(self, number: int, other: int, tag: int) -> None:
        async def do() -> None:
            parent, sub = await self.guest(number), await self.guest(other)
            if not (parent and sub) or parent == sub:
                return
            subports = [{"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": tag}]
            if trunk := await self.pick("trunks", number):
                verb = "add_subports" if tag > 1 else "remove_subports"
                await self.site.ask("PUT", f"trunks/{trunk['id']}/{verb}", {"sub_ports": subports})
            else:
                values = {"port_id": parent["id"], "sub_ports": subports}
                await self.site.ask("POST", "trunks", {"trunk": values})

        self.run(do())

    @rule(number=NUMBERS, what=st.sampled_from(["trunks", "floatingips", "routers", "ports", "networks"]))
    def delete(self, number: int, what: str) -> None:
        async def do() -> None:
            if one := await (self.guest(number) if what == "ports" else self.pick(what, number)):
                await self.site.ask("DELETE", f"{what}/{one['id']}")

        self.run(do())

    @rule(node=NODES)
    def kill_or_start(self, node: int) -> None:
        async def do() -> None:
            one = self.site.nodes[node]
            if one.runs:
                await one.kill()
            else:
                one.start()

        self.run(do())

    @rule(node=NODES)
    def lose_the_database(self, node: int) -> None:
        self.site.nodes[node].switch.disconnect()

    # -- the end

    def teardown(self) -> None:
        try:
            if hasattr(self, "site"):
                self.runner.run(self._peace())
        finally:
            self.runner.close()

    async def _peace(self) -> None:
        try:
            for node in self.site.nodes:
                if not node.runs:
                    node.start()
            await self.site.settle()
            await self._check()
            await self._delete_everything()
            await self.site.settle()
            assert await self.site.pictures() == self.bare
        finally:
            await self.site.close()

    async def _check(self) -> None:
        """What is bound, plugged there and up is active, and nothing else of the guests."""
        networks = {one["id"]: one["admin_state_up"] for one in await self.site.all("networks")}
        for port in await self.guests():
            node = self.plugged.get(port["id"])
            here = node is not None and self.site.nodes[node].host == port["binding:host_id"]
            up = here and port["admin_state_up"] and networks[port["network_id"]]
            assert port["status"] == ("ACTIVE" if up else "DOWN"), port

    async def _delete_everything(self) -> None:
        for router in await self.site.all("routers"):
            for port in await self.site.all(f"ports?device_id={router['id']}"):
                if "interface" in port["device_owner"] and "ha_" not in port["device_owner"]:
                    path = f"routers/{router['id']}/remove_router_interface"
                    for floating in await self.site.all("floatingips"):
                        await self.site.ask("DELETE", f"floatingips/{floating['id']}")
                    await self.site.ask("PUT", path, {"port_id": port["id"]})
        for port in await self.guests():
            await self.site.ask("PUT", f"ports/{port['id']}", {"port": {"qos_policy_id": None}})
        for path in ORDER:
            for one in await (self.guests() if path == "ports" else self.site.all(path)):
                answer = await self.site.ask("DELETE", f"{path}/{one['id']}")
                assert answer.status in (204, 404), (path, one, answer)
        for node in self.site.nodes:
            await node.unplug(*(port for port, at in self.plugged.items() if self.site.nodes[at] is node))
        assert await self.site.all("ports") == []


TestCalls = Calls.TestCase
TestCalls.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
