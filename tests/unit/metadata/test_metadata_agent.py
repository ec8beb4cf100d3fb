"""The metadata agent behind simulated endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.unit.namespace_bench import scenario, until
from tests.unit.namespace_server import NamespaceServer
from tests.waiting import PATIENCE_S

from pileus.core.clock import SystemClock
from pileus.drivers.listening.listeners import Place
from pileus.drivers.listening.simulated import SimulatedListeners
from pileus.host.agent import AgentSettings
from pileus.host.metadata.agent import MetadataAgent
from pileus.host.metadata.plan import plan_endpoints
from pileus.host.metadata_endpoint import MetadataEndpoint
from pileus.wire.metadata import LONGEST_POST, MetadataPost, MetadataReply, MetadataRequest

DHCP = MetadataEndpoint("qdhcp-1", "169.254.169.254", 80, network_id="net-1")
ROUTER = MetadataEndpoint("qrouter-1", "0.0.0.0", 9697, router_id="router-1")
LINK = MetadataEndpoint("qrouter-1", "fe80::a9fe:a9fe", 80, "qr-1", network_id="net-1")


class Node:
    def __init__(self) -> None:
        self.server = NamespaceServer()
        self.namespaces = {"qdhcp-1": 1, "qrouter-1": 2}
        self.listeners = SimulatedListeners(self.namespaces.get)
        self.agent = MetadataAgent(AgentSettings(host="n1"), self.server, SystemClock(), self.listeners)

    async def ask(self, endpoint: MetadataEndpoint, text: str, source: str = "10.0.0.9") -> bytes:
        place = Place(endpoint.namespace, endpoint.address, endpoint.port, endpoint.interface)
        reader, writer = await self.listeners.connect(place, source)
        writer.write(text.encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Node]:
    node = Node()
    task = asyncio.create_task(node.agent.run())
    try:
        node.agent.serve_metadata("dhcp", {"qdhcp-1": [DHCP]})
        node.agent.serve_metadata("l3", {"qrouter-1": [ROUTER, LINK]})
        await until(lambda: len(node.listeners.places) == 3)
        yield node
    finally:
        node.agent.stop()
        await task
        assert node.listeners.places == {}


def test_a_guest_is_known_by_its_door_and_address_alone() -> None:
    async def story() -> None:
        async with running() as node:
            request = (
                "GET /openstack/latest HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n"
            )
            answer = await node.ask(DHCP, request)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n/openstack/latest 10.0.0.9")
            await node.ask(ROUTER, request)
            await node.ask(LINK, request, "fe80::9")
            assert node.server.asked == [
                MetadataRequest("n1", "/openstack/latest", "10.0.0.9", network_id="net-1"),
                MetadataRequest("n1", "/openstack/latest", "10.0.0.9", router_id="router-1"),
                MetadataRequest("n1", "/openstack/latest", "fe80::9", network_id="net-1"),
            ]
            report = node.agent.report()
            assert (report.binary, report.agent_type) == ("neutron-metadata-agent", "Metadata agent")
            said = {name: report.configurations[name] for name in ("doors", "failed", "answered")}
            assert said == {"doors": 3, "failed": 0, "answered": 3}

    scenario(story)


def test_a_connection_serves_several_requests() -> None:
    async def story() -> None:
        async with running() as node:
            twice = "GET /a HTTP/1.1\r\n\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n"
            answer = await node.ask(DHCP, twice)
            assert answer.count(b"HTTP/1.1 200 OK") == 2
            assert [request.path for request in node.server.asked] == ["/a", "/b"]

    scenario(story)


def test_what_is_too_much_is_refused() -> None:
    async def story() -> None:
        async with running() as node:
            for text in (
                "GET /" + "a" * 9000 + " HTTP/1.1\r\n\r\n",
                "GET / HTTP/1.1\r\n" + "a: b\r\n" * 9000,
            ):
                assert b"HTTP/1.1 431 " in await node.ask(DHCP, text)
            assert b"HTTP/1.1 405 " in await node.ask(DHCP, "PUT / HTTP/1.1\r\n\r\n")
            assert node.server.asked == []

    scenario(story)


def test_what_a_guest_posts_is_carried_to_the_server() -> None:
    async def story() -> None:
        async with running() as node:
            path = "/openstack/latest/password"
            both = (
                f"POST {path} HTTP/1.1\r\nContent-Length: 6\r\nX-Forwarded-For: 10.0.0.1\r\n\r\nsecret"
                f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"
            )
            answer = await node.ask(ROUTER, both)
            assert answer.count(b"HTTP/1.1 200 OK") == 2
            posted, asked = node.server.asked
            assert posted == MetadataPost("n1", path, "10.0.0.9", b"secret", router_id="router-1")
            assert "secret" not in repr(posted)
            assert asked == MetadataRequest("n1", path, "10.0.0.9", router_id="router-1")
            await node.ask(LINK, f"POST {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "fe80::9")
            assert node.server.asked[2:] == [MetadataPost("n1", path, "fe80::9", b"", network_id="net-1")]

    scenario(story)


def test_a_guest_that_waits_to_send_its_body_is_told_to_go_on() -> None:
    async def story() -> None:
        async with running() as node:
            reader, writer = await node.listeners.connect(
                Place(DHCP.namespace, DHCP.address, DHCP.port), "10.0.0.9"
            )
            head = "POST /p HTTP/1.1\r\nContent-Length: 1020\r\nConnection: close\r\n"
            writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"x" * LONGEST_POST)
                assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert node.server.asked[0].body == b"x" * LONGEST_POST
            writer.close()

    scenario(story)


def test_a_guest_that_posts_too_much_reads_the_refusal() -> None:
    """Its line is not cut while it sends: it would lose the reply."""

    async def story() -> None:
        async with running() as node:
            text = "POST /openstack/latest/password HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + "x" * 60000
            answer = await node.ask(DHCP, text)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert answer.endswith(b"Request is too large.\n")
            assert node.server.asked == []
            # A body that never comes is waited for no longer than a head.
            short = "POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"
            place = Place(DHCP.namespace, DHCP.address, DHCP.port)
            reader, writer = await node.listeners.connect(place, "10.0.0.9")
            writer.write(short.encode())
            writer.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
            writer.close()
            assert node.server.asked == []

    scenario(story)


def test_one_guest_can_not_take_all_connections() -> None:
    async def story() -> None:
        async with running() as node:
            place = Place(DHCP.namespace, DHCP.address, DHCP.port)
            idle = [await node.listeners.connect(place, "10.0.0.66") for _ in range(8)]
            await asyncio.sleep(0)
            request = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
            reader, writer = await node.listeners.connect(place, "10.0.0.66")
            assert b"HTTP/1.1 503 " in await reader.read()  # before a word was said
            writer.close()
            assert b"HTTP/1.1 200 " in await node.ask(DHCP, request, "10.0.0.9")
            for _, writer in idle:
                writer.close()

    scenario(story)


def test_a_server_that_is_away_is_told_as_such() -> None:
    async def story() -> None:
        async with running() as node:
            node.server.away = True
            assert b"HTTP/1.1 503 " in await node.ask(DHCP, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            node.server.away = False
            node.server.metadata = lambda request: MetadataReply(404, "text/plain", b"no such guest")
            answer = await node.ask(DHCP, "GET / HTTP/1.0\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")

    scenario(story)


def test_doors_follow_the_namespaces() -> None:
    async def story() -> None:
        async with running() as node:
            before = dict(node.listeners.places)
            node.namespaces["qdhcp-1"] = 7  # made anew
            node.agent.serve_metadata("dhcp", {"qdhcp-1": [DHCP]})
            place = Place(DHCP.namespace, DHCP.address, DHCP.port)
            await until(lambda: node.listeners.places.get(place) not in (None, before[place]))
            node.agent.serve_metadata("l3", {})
            await until(lambda: list(node.listeners.places) == [place])

    scenario(story)


def test_plan_of_endpoints() -> None:
    wanted = {"qdhcp-1": (DHCP,), "qrouter-1": (ROUTER, LINK)}
    plan = plan_endpoints(wanted, {}, {"qdhcp-1": 1, "qrouter-1": None})
    assert (plan.close, plan.open) == ((), (DHCP,))
    plan = plan_endpoints(wanted, {DHCP: 1, ROUTER: 1, LINK: 2}, {"qdhcp-1": 1, "qrouter-1": 2})
    assert (plan.close, plan.open) == ((ROUTER,), (ROUTER,))
    plan = plan_endpoints({}, {DHCP: 1}, {"qdhcp-1": None})
    assert (plan.close, plan.open) == ((DHCP,), ())
