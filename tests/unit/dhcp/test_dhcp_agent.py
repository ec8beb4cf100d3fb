"""The DHCP agent against a simulated node and a server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.unit.namespace_bench import Bench, running, scenario, until
from tests.unit.namespace_server import NamespaceServer

from pileus.core.clock import SystemClock
from pileus.core.errors import Unavailable
from pileus.drivers.dnsmasq.simulated import SimulatedDhcp
from pileus.drivers.dnsmasq.spec import DhcpHost, DhcpNetwork, DhcpSubnet, Lease
from pileus.drivers.netlink.links import Veth
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.agent import AgentSettings
from pileus.host.dhcp.agent import DhcpAgent
from pileus.host.dhcp.lease_watch import LeaseWatch
from pileus.host.dhcp.leases import compare, current
from pileus.host.namespaces.agent import NamespaceSettings
from pileus.wire import scopes
from pileus.wire.dhcp import DhcpOption, LeaseChange, PortAddress

from .scene import host, net_id, network, subnet


def agent(bench: Bench) -> DhcpAgent:
    return DhcpAgent(
        AgentSettings(host="n1"),
        bench.server,
        SystemClock(),
        bench.client,
        bench.links,
        bench.dhcp,
        namespaces=NamespaceSettings(namespace_prefix="qdhcp-", watch_interval_s=0.01),
    )


def test_a_network_is_served_and_a_full_pass_changes_nothing() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].serving == (net_id(1),)
            place = (await bench.links.read([f"qdhcp-{net_id(1)}"]))[f"qdhcp-{net_id(1)}"]
            tap = place.links["tap00000001-dh"]
            assert tap.addresses == ("10.1.0.2/24", "169.254.169.254/32", "fe80::a9fe:a9fe/64")
            assert (tap.mtu, tap.mac) == (1450, "fa:16:3e:01:ff:01")
            ids = bench.ports()["tap00000001-dh"]
            assert ids["iface-id"] == network().port.port_id
            assert (ids["pileus-owner"], ids["iface-status"]) == ("dhcp", "active")
            offer = bench.dhcp.ask(net_id(1), host(10).mac_address)
            assert offer is not None
            assert offer.address == "10.1.0.10"
            assert offer.options["mtu"] == "1450"
            assert "169.254.169.254/32,10.1.0.2" in offer.options["classless-static-route"]
            assert await bench.full_pass() == 0
            report = bench.agent.report()
            assert (report.binary, report.agent_type, report.topic) == (
                "neutron-dhcp-agent",
                "DHCP agent",
                "dhcp_agent",
            )
            assert (report.configurations["networks"], report.configurations["ports"]) == (1, 3)

    scenario(story)


def test_many_networks_are_one_question_one_transaction_and_few_batches() -> None:
    async def story() -> None:
        server = NamespaceServer()
        async with running(server, agent) as bench:
            await until(lambda: bench.agent.metrics.full_passes == 1)
            calls, transactions = len(server.calls), bench.transactions()
            server.put_network(*(network(n) for n in range(1, 41)))
            await until(lambda: len(server.statuses[-1].serving) == 40)
            assert [c for c in server.calls[calls:] if c != "agent_report"] == ["dhcp_state", "dhcp_status"]
            assert bench.transactions() == transactions + 1
            # One host more is asked for alone.
            await bench.settled()
            server.put_network(network(7, hosts=3))
            await until(lambda: bench.dhcp.ask(net_id(7), host(12, 7).mac_address) is not None)
            assert server.asked[-1] == (net_id(7),)
            assert bench.transactions() == transactions + 1

    scenario(story)


def test_leases_are_told_once_whatever_restarts() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            bench.dhcp.ask(net_id(1), host(10).mac_address)
            await until(lambda: server.leases == [("started", "10.1.0.10")])
            bench.dhcp.ask(net_id(1), host(11).mac_address)
            await until(lambda: server.leases[1:] == [("started", "10.1.0.11")])
            # The port goes, and its lease is given back.
            server.put_network(network(hosts=1))
            await until(lambda: server.leases[2:] == [("ended", "10.1.0.11")])
            watch = LeaseWatch(bench.dhcp, SystemClock(), _never)
            assert await watch.look([net_id(1)]) == 0, "what was told before a restart is not told again"

    scenario(story)


async def _never(changes: object) -> None:
    raise AssertionError(changes)


def test_what_becomes_of_leases() -> None:
    one, other = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"

    def leases(*several: tuple[str, str, int]) -> dict[str, Lease]:
        return {address: Lease(address, mac, None, "", expires) for address, mac, expires in several}

    before = leases(("10.0.0.1", one, 100), ("10.0.0.2", one, 100), ("10.0.0.3", one, 100))
    after = leases(("10.0.0.1", one, 100), ("10.0.0.2", one, 200), ("10.0.0.3", other, 200))
    changes = compare("n", before, after)
    assert [(change.kind, change.ip_address, change.mac_address) for change in changes] == [
        ("ended", "10.0.0.3", one),
        ("renewed", "10.0.0.2", one),
        ("started", "10.0.0.3", other),
    ]
    assert compare("n", after, after) == []
    assert [*current(before.values(), 99.0)] == [*before]
    assert current(before.values(), 100.0) == {}
    assert [*current(leases(("10.0.0.9", one, 0)).values(), 1e12)] == ["10.0.0.9"]
    odd = leases(
        ("10.0.0", one, 100), ("10.0.0.1", "fa:16", 100), ("10.0.0.2", one, 1 << 60), ("::1", "", 100)
    )
    assert [*current(odd.values(), 1.0)] == ["::1"]


def test_leases_that_can_not_be_told_are_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        servers = SimulatedDhcp()
        await servers.apply([DhcpNetwork(network_id="n", interface="tap", subnets=(SUBNET,), hosts=(HOST,))])
        servers.ask("n", HOST.mac)
        heard: list[str] = []
        answers = iter([True, False])

        async def tell(changes: Sequence[LeaseChange]) -> None:
            if next(answers):
                raise Unavailable
            heard.extend(change.kind for change in changes)

        broken = servers.leases

        async def leases(network_id: str) -> list[Lease]:
            if network_id == "bad":
                raise OSError("is no file of ours")
            return await broken(network_id)

        async def stamps(network_ids: Collection[str]) -> dict[str, object]:
            return dict.fromkeys(network_ids, 1)

        monkeypatch.setattr(servers, "leases", leases)
        monkeypatch.setattr(servers, "lease_stamps", stamps)
        watch = LeaseWatch(servers, SystemClock(), tell)
        with pytest.raises(Unavailable):
            await watch.look(["bad", "n"])
        assert await watch.look(["bad", "n"]) == 1
        assert await watch.look(["bad", "n"]) == 0
        assert heard == ["started"]
        assert [*watch.failed] == ["bad"]

    scenario(story)


SUBNET = DhcpSubnet(id="s", cidr="10.7.0.0/24", server="10.7.0.2")
HOST = DhcpHost(port_id="p", mac="fa:16:3e:00:00:01", addresses=("10.7.0.5",))


def test_a_server_runs_only_where_it_shall() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses) and server.statuses[-1].serving != ())
            for less in (
                replace(network(), admin_state_up=False),
                replace(network(), subnets=(subnet(enable_dhcp=False),)),
                replace(network(), subnets=()),
            ):
                server.put_network(less)
                await until(lambda: server.statuses[-1].serving == ())
                assert await bench.dhcp.known() == set()
                assert await bench.links.namespaces() == []
                assert bench.ports() == {}
                assert await bench.full_pass() == 0
                server.put_network(network())
                await until(lambda: server.statuses[-1].serving != ())
            server.remove_network(net_id(1))
            await until(lambda: server.statuses[-1].serving == ())
            assert await bench.links.namespaces() == []
            assert bench.ports() == {}

    scenario(story)


def test_addresses_that_a_gateway_machine_gives_out_are_left_to_it() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            mac = host(10).mac_address
            assert bench.dhcp.ask(net_id(1), mac) is not None
            # The namespace stays, and metadata with it; no server answers there.
            server.put_network(network(elsewhere=("s1",)))
            async with asyncio.timeout(15):
                while await bench.dhcp.running():
                    await asyncio.sleep(0.01)
            await bench.agent.reconciler.settled()
            assert f"qdhcp-{net_id(1)}" in await bench.links.read([f"qdhcp-{net_id(1)}"])
            assert server.statuses[-1].serving == (net_id(1),) and bench.agent.failed == {}
            assert await bench.full_pass() == 0
            server.put_network(network())
            await until(lambda: bench.dhcp.ask(net_id(1), mac) is not None)
            # Of two subnets the other one is served.
            other = subnet(subnet_id="s2", cidr="10.2.0.0/24", gateway_ip="10.2.0.1")
            server.put_network(network(subnets=(subnet(), other), elsewhere=("s2",)))
            await until(lambda: bench.agent.desired[net_id(1)].elsewhere == ("s2",))
            await bench.agent.reconciler.settled()
            assert bench.dhcp.ask(net_id(1), mac) is not None

    scenario(story)


def test_a_restart_changes_nothing_and_finds_what_is_no_longer_wanted() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(*(network(n) for n in range(1, 6)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses) and len(server.statuses[-1].serving) == 5)
            await bench.kill()
            await bench.start()
            await until(lambda: bench.agent.metrics.full_passes == 1)
            assert bench.agent.metrics.changes == 0
            await bench.kill()
            server.remove_network(net_id(2), net_id(3))
            await bench.start()
            await until(lambda: len(server.statuses[-1].serving) == 3)
            assert await bench.dhcp.known() == {net_id(1), net_id(4), net_id(5)}
            assert len(bench.ports()) == 3
            assert len(await bench.links.namespaces("qdhcp-")) == 3

    scenario(story)


def test_what_others_break_is_mended() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            bench.dhcp.crash(net_id(1))
            await until(lambda: bench.dhcp.ask(net_id(1), host(10).mac_address) is not None)
            name = next(iter(bench.ports()))
            edit = Edit(bench.client)
            edit.delete_port(name)
            await edit.commit()
            await until(lambda: name in bench.ports())
            # An interface that is made anew is another one: the port is too.
            await bench.settled()
            before = bench.ports()[name]["pileus-ifindex"]
            await bench.links.delete_namespaces(await bench.links.namespaces())
            assert await bench.full_pass() > 0
            assert bench.ports()[name]["pileus-ifindex"] != before
            assert await bench.full_pass() == 0

    scenario(story)


def test_others_namespaces_are_left_alone() -> None:
    async def story() -> None:
        server = NamespaceServer()
        async with running(server, agent) as bench:
            await bench.links.ensure_namespaces(["qdhcp-theirs"], "somebody")
            await bench.links.ensure_namespaces(["qdhcp-left-empty-by-a-crash", "unconcerned"])
            await bench.links.ensure_veths([Veth("other", "other", "qdhcp-theirs")])
            await bench.full_pass()
            assert await bench.links.namespaces() == ["qdhcp-theirs", "unconcerned"]

    scenario(story)


def test_one_that_can_not_be_made_keeps_none_waiting() -> None:
    async def story() -> None:
        server = NamespaceServer()
        bad = replace(network(2), subnets=(subnet(2, dns_nameservers=("fd00::5%x\n",)),))
        server.put_network(network(1), bad, network(3))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].serving == (net_id(1), net_id(3))
            assert "fd00::5%x" in server.statuses[-1].failed[net_id(2)]
            assert bench.agent.configurations()["failed"] == 1
            server.put_network(network(2))
            await until(lambda: len(server.statuses[-1].serving) == 3)
            assert server.statuses[-1].failed == {}
            assert await bench.full_pass() == 0

    scenario(story)


def test_a_port_that_can_not_be_served_is_told_and_the_others_of_its_network_are() -> None:
    async def story() -> None:
        server = NamespaceServer()
        bad, good = host(10, 2, mac_address="nonsense"), host(11, 2)
        server.put_network(network(2, hosts=0), replace(network(2), hosts=(bad, good)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert server.statuses[-1].serving == (net_id(2),)
            told = {port_id: why for one in server.statuses for port_id, why in one.ports.items()}
            assert told == {bad.port_id: "'nonsense' is no MAC address"}
            assert bench.dhcp.ask(net_id(2), good.mac_address) is not None
            assert bench.agent.configurations()["failed"] == 1
            server.put_network(replace(network(2), hosts=(host(10, 2), good)))
            await until(lambda: bench.dhcp.ask(net_id(2), host(10, 2).mac_address) is not None)
            assert bench.agent.configurations()["failed"] == 0

    scenario(story)


def test_an_address_handed_over_is_there_at_once() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            assert bench.dhcp.ask(net_id(1), host(10).mac_address) is not None
            new = replace(host(77), addresses=(PortAddress("10.1.0.10", "s1"),))
            server.put_network(replace(network(), hosts=(new,)))

            def offered() -> bool:
                offer = bench.dhcp.ask(net_id(1), new.mac_address)
                return offer is not None and offer.address == "10.1.0.10"

            await until(offered)

    scenario(story)


def test_nothing_is_done_as_long_as_nobody_said_what_is_wanted() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.kill()
            server.away = True
            await bench.start()
            await until(lambda: bench.agent.reconciler.status.failures > 0)
            assert await bench.dhcp.running() == {net_id(1)}
            server.away = False
            bench.agent.reconciler.hurry()
            await until(lambda: bench.agent.metrics.full_passes == 1)
            # Away again: what is broken is mended from what is known.
            server.away = True
            bench.dhcp.crash(net_id(1))
            await until(lambda: bench.dhcp.ask(net_id(1), host(10).mac_address) is not None)

    scenario(story)


def test_a_bridge_that_is_not_there_yet_is_waited_for_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine the switch agent makes it later than the first pass of this agent begins."""
    monkeypatch.setattr("pileus.host.namespaces.agent._CONNECTS_WITHIN_S", 0.05)

    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        bench = Bench(server, agent)
        with capture_logs() as lines:
            await bench.start()
            await until(lambda: bench.agent.reconciler.status.failures > 0)
            await bench.make_bridge()
            await until(lambda: bench.agent.metrics.full_passes > 0)
        await bench.kill()
        failed = [line for line in lines if line["event"] == "a pass failed"]
        assert [(line["log_level"], line["error"].partition(":")[0]) for line in failed] == [
            ("info", "The switch of this node is not there yet")
        ]
        assert not any(line.get("exc_info") for line in lines)

    scenario(story)


def test_a_change_of_the_host_costs_no_question() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network())
        async with running(server, agent) as bench:
            # The report that follows the first pass is not to be the one that tells of the change.
            await until(lambda: bool(server.statuses) and len(server.agent_reports) > 1)
            await bench.settled()
            passes, asked = bench.agent.metrics.passes, len(server.asked)
            server.changed(scopes.host("n1"))
            await until(lambda: bench.agent.metrics.passes > passes)
            assert len(server.asked) == asked

    scenario(story)


def test_options_that_can_not_be_told_are_left_out() -> None:
    async def story() -> None:
        server = NamespaceServer()
        options = (DhcpOption("bad name", "1"), DhcpOption("ntp-server", "10.1.0.9"))
        server.put_network(replace(network(), hosts=(host(10, options=options),)))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            offer = bench.dhcp.ask(net_id(1), host(10).mac_address)
            assert offer is not None
            assert offer.options["ntp-server"] == "10.1.0.9"

    scenario(story)


def test_purge_leaves_nothing() -> None:
    async def story() -> None:
        server = NamespaceServer()
        server.put_network(network(1), network(2))
        async with running(server, agent) as bench:
            await until(lambda: bool(server.statuses))
            await bench.kill()
            bench.client = bench.switch.client()
            await agent(bench).purge()
            assert await bench.dhcp.known() == set()
            assert await bench.links.namespaces() == []
            assert (await bench.links.links()).keys() == {"lo"}
            assert bench.ports() == {}

    scenario(story)
