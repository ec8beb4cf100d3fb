"""The L3 agent and the prefixes that its routers ask for, with a simulated delegating router."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.l3.scene import inner, outer, router, router_id
from tests.unit.l3.test_l3_agent import QG, contents
from tests.unit.namespace_bench import Bench, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.addresses import link_local
from pileus.core.clock import SystemClock
from pileus.drivers.delegation.simulated import SimulatedPrefixClients
from pileus.host.agent import AgentSettings
from pileus.host.l3.agent import L3Agent
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire.dhcp import PortAddress
from pileus.wire.l3 import RouterDetails, RouterSubnet

KEY = "six-1"


def delegated(cidr: str = "::/64", **changes: object) -> RouterDetails:
    """A router with an interface on a subnet whose prefix is delegated."""
    (port,) = router().interfaces
    address = cidr.replace("::/64", "::1")
    six = RouterSubnet(KEY, cidr, address, "slaac", delegated=True)
    own = replace(port.port, addresses=(*port.port.addresses, PortAddress(address, KEY)))
    return router(interfaces=(replace(inner(), port=own, subnets=(*port.subnets, six)),), **changes)


def test_a_prefix_is_asked_for_told_and_given_back() -> None:
    clients = SimulatedPrefixClients()

    def agent(bench: Bench) -> L3Agent:
        return L3Agent(
            AgentSettings(host="n1"),
            bench.server,
            SystemClock(),
            *(bench.client, bench.links, bench.filter, bench.advertisers),
            prefix_clients=clients,
            namespaces=NamespaceSettings(namespace_prefix="qrouter-", watch_interval_s=0.01),
        )

    async def story() -> None:
        server = NamespaceServer()
        server.put_router(delegated(standby=True))
        async with running(server, agent) as bench:
            await bench.settled()
            assert not clients.asked, "whoever is to be silent asks for nothing"
            await bench.after(lambda: server.put_router(delegated()))
            await until(lambda: bool(server.statuses[-1].prefixes))
            prefix = server.statuses[-1].prefixes[KEY]
            asked = clients.asked[KEY]
            assert (asked.owner, asked.interface, asked.hint) == (router_id(1), QG, None)
            assert asked.source == link_local(outer().port.mac_address)
            # Nobody has an address of the provisional prefix, and nothing is advertised.
            place = await contents(bench)
            assert not any(one == "::1/64" for link in place.links.values() for one in link.addresses)
            assert not bench.advertisers.current
            await bench.after(lambda: server.put_router(delegated(prefix)))
            assert clients.asked[KEY].hint == prefix and not clients.released
            (said,) = bench.advertisers.current
            assert [one.cidr for one in said.prefixes] == [prefix]
            # Another one comes, and is lost.
            for given, told in (("2001:db8:9::/64", "2001:db8:9::/64"), (None, "::/64")):
                clients.give(KEY, given)
                await until(lambda told=told: server.statuses[-1].prefixes == {KEY: told})
            # A router that is down asks for nothing and gives nothing back; one that leaves the subnet does.
            await bench.after(lambda: server.put_router(delegated(admin_state_up=False)))
            assert not clients.asked and not clients.released
            await bench.after(lambda: server.put_router(delegated(prefix)))
            await bench.after(lambda: server.put_router(router()))
            assert clients.released == [KEY]
            await bench.after(lambda: server.put_router(delegated(prefix)))
            server.remove_router(router_id(1))
            await until(lambda: not clients.asked)
            assert clients.released == [KEY], "another host may have the router now"

    scenario(story)
