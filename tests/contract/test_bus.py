"""The bus asked the same questions over a Unix socket and over TCP."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.certificates import make_certificate

from pileus.app.processes.renewal import keep_tokens
from pileus.app.sections import LimitSection
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp, listen_unix
from pileus.bus.client import CallRefused, DownloadRefused, ServerUnreachable, WireClient
from pileus.bus.endpoint import Endpoint
from pileus.bus.hub import Hub, NobodyAnswers
from pileus.bus.node import Node, NodeTokens, controller_token, node_token, read_token
from pileus.core.errors import Conflict, UploadRefused
from pileus.core.files import write_atomically
from pileus.web.client import Proxies
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import AGENT_REPORT, ANSWER, NODE_TOKEN, SWITCH_STATE
from pileus.wire.codec import CallFault, WakeupRequest, decode, encode
from pileus.wire.nodes import Everything, NodeTokenList, NodeTokenRequest
from pileus.wire.questions import Answer, Question
from pileus.wire.switch import SwitchStateRequest

SECRET = b"s" * 32
AGENT = "00000000-0000-4000-8000-%012d"
Q1 = AGENT % 91
REPORT = AgentReport("h1", "binary", "type", "topic", "2026-01-01 00:00:00", {"devices": 3})


class AgentBusy(Conflict):
    message = "Busy with {what}."


class Bus:
    """A server with a hub and one handler, and clients of it. Hosts serve no scope that has ``foreign``."""

    def __init__(
        self, address: str, hub: Hub, endpoint: Endpoint, tokens: NodeTokens, tls: ssl.SSLContext | None
    ) -> None:
        self.address = address
        self.tokens = tokens
        self.tls = tls
        self.served: set[str] = set()
        self.hub = hub
        self.endpoint = endpoint
        self.streams = endpoint.streams

    def client(self, host: str = "h1", secret: bytes = SECRET) -> WireClient:
        return self.with_token(node_token(secret, host))

    def with_token(self, token: str) -> WireClient:
        return WireClient(self.address, token, self.tls)


Story = Callable[[Bus], Awaitable[None]]


@pytest.fixture(params=["unix", "tls"])
def on_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    @asynccontextmanager
    async def bus() -> AsyncIterator[Bus]:
        async def report(asked: AgentReport, node: Node) -> AgentReply:
            if asked.topic == "busy":
                raise AgentBusy(what="tests")
            if asked.topic == "broken":
                raise RuntimeError("a secret of the server")
            assert node.host == "h1"
            return AgentReply(AGENT % asked.configurations["devices"], True, 5)

        looked: list[tuple[str, ...]] = []

        async def look(host: str, scopes: tuple[str, ...]) -> tuple[frozenset[str], int]:
            looked.append(scopes)
            mine = frozenset(one for one in scopes if "foreign" not in one or one in it.served)
            return mine, 7 + len(mine)

        hub, tokens = Hub(), NodeTokens(SECRET)
        endpoint = Endpoint({"agent_report": report}, hub, look, tokens)
        tcp = listen_tcp("127.0.0.1:0")
        path = tmp_path / "bus.sock"
        certificate, key = make_certificate(tmp_path, "bus")
        gate = Gate(LimitSection(), Proxies())
        server = HttpServer(
            endpoint, gate, [tcp], [listen_unix(path)], certificate=str(certificate), key=str(key)
        )
        address = f"unix:{path}" if request.param == "unix" else f"https://127.0.0.1:{tcp.getsockname()[1]}"
        it = Bus(address, hub, endpoint, tokens, ssl.create_default_context(cafile=certificate))
        await server.start()
        try:
            yield it
        finally:
            endpoint.close()
            await server.stop()

    def tell(story: Story) -> None:
        async def main() -> None:
            async with asyncio.timeout(30), bus() as it:
                await story(it)

        asyncio.run(main())

    return tell


def test_a_call_is_answered(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            assert (await client.call(AGENT_REPORT, REPORT)).agent_id == AGENT % 3

    on_bus(story)


def test_a_download_that_is_refused_does_not_tell_its_ticket(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            with pytest.raises(DownloadRefused, match="/wire/v1/call/nothing: status 401") as refused:
                async for _ in client.download("/wire/v1/call/nothing?ticket=secret"):
                    raise AssertionError("nothing comes")
            assert "secret" not in str(refused.value)
        async with WireClient("unix:/nowhere/bus.sock", "") as client:
            with pytest.raises(ServerUnreachable):
                async for _ in client.download("/image"):
                    raise AssertionError("nothing comes")

    on_bus(story)


def test_an_upload_that_is_refused_does_not_tell_its_ticket(
    on_bus: Callable[[Story], None], tmp_path: Path
) -> None:
    file = tmp_path / "image"
    file.write_bytes(bytes(5 << 20))

    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            with pytest.raises(UploadRefused, match="/wire/v1/call/nothing: status 40") as refused:
                await client.upload("/wire/v1/call/nothing?ticket=secret", file)
            assert "secret" not in str(refused.value) and refused.value.status in (401, 404, 405)
            with pytest.raises(DownloadRefused):
                await client.holds("/wire/v1/call/nothing?ticket=secret")
        async with WireClient("unix:/nowhere/bus.sock", "") as client:
            with pytest.raises(ServerUnreachable):
                await client.upload("/image", file)
            with pytest.raises(ServerUnreachable):
                await client.holds("/image")

    on_bus(story)


def test_refusals_carry_code_and_text(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            for change, code, text in (
                ({"topic": "busy"}, "AgentBusy", "Busy with tests."),
                ({"host": "h2"}, "NotYourHost", "h2"),
                ({"topic": "broken"}, "Fault", "log"),
            ):
                asked = AgentReport(**{**{f: getattr(REPORT, f) for f in REPORT.__struct_fields__}, **change})
                with pytest.raises(CallRefused) as refused:
                    await client.call(AGENT_REPORT, asked)
                assert refused.value.code == code
                assert text in refused.value.text
                assert "secret" not in refused.value.text
            with pytest.raises(CallRefused) as refused:
                await client.call(SWITCH_STATE, SwitchStateRequest("h1"))
            assert refused.value.code == "NoSuchCall"

    on_bus(story)


def test_a_wrong_token_is_refused(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client(secret=b"other" * 8) as client:
            with pytest.raises(CallRefused) as refused:
                await client.call(AGENT_REPORT, REPORT)
            assert refused.value.code == "BadNodeToken"
            with pytest.raises(CallRefused):
                await anext(client.wakeups("h1", ()))

    on_bus(story)


def test_wakeups_begin_with_the_newest_position_and_coalesce(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            stream = client.wakeups("h1", ("network:a", "host:h1"))
            assert await anext(stream) == Wakeup(9)
            bus.hub.publish(10, ["network:b"])
            bus.hub.publish(11, ["network:a", "network:b"])
            bus.hub.publish(12, ["host:h1"])
            assert await anext(stream) == Wakeup(12, ("host:h1", "network:a"))
            await stream.aclose()

    on_bus(story)


def test_a_question_is_answered_by_who_listens(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            stream = client.wakeups("h1", ("hypervisor:h1",))
            await anext(stream)
            asked = asyncio.create_task(bus.hub.ask("hypervisor:h1", Question(Q1, "console_log"), 10))
            wakeup = await anext(stream)
            assert [question.kind for question in wakeup.questions] == ["console_log"]
            await client.call(ANSWER, Answer("h1", Q1, {"text": "login:"}))
            assert (await asked).result == {"text": "login:"}
            await client.call(ANSWER, Answer("h1", Q1, {"text": "too late"}))
            with pytest.raises(NobodyAnswers):
                await bus.hub.ask("hypervisor:h1", Question(AGENT % 92, "console_log"), 0.05)
            with pytest.raises(NobodyAnswers):
                await bus.hub.ask("hypervisor:h2", Question(AGENT % 93, "console_log"), 10)
            await stream.aclose()

    on_bus(story)


def test_a_node_hears_of_what_it_serves_only(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            for scope in ("host:h2", "hypervisor:h2", "dhcp:h2", "l3:h2"):
                with pytest.raises(CallRefused, match=f"not to {scope}"):
                    await anext(client.wakeups("h1", ("host:h1", scope)))
            for scope in ("network", "users:all", ""):
                with pytest.raises(CallRefused):
                    await anext(client.wakeups("h1", (scope,)))
            stream = client.wakeups("h1", ("network:a", "network:foreign", "network:foreign-too"))
            assert await anext(stream) == Wakeup(8), "no position of what it does not serve"
            bus.hub.publish(10, ["network:foreign"])
            bus.hub.publish(11, ["network:a", "network:foreign-too"])
            assert await anext(stream) == Wakeup(11, ("network:a",))
            bus.served.add("network:foreign")  # the host gets a port on it: it listens already
            bus.hub.publish(12, ["network:foreign"])
            assert await anext(stream) == Wakeup(12, ("network:foreign",))
            await stream.aclose()

    on_bus(story)


def test_the_answer_of_a_host_that_was_not_asked_is_dropped(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client, bus.client("h2") as other:
            stream = client.wakeups("h1", ("hypervisor:h1",))
            await anext(stream)
            asked = asyncio.create_task(bus.hub.ask("hypervisor:h1", Question(Q1, "console_log"), 10))
            await anext(stream)
            await other.call(ANSWER, Answer("h2", Q1, {"text": "forged"}))
            with pytest.raises(CallRefused, match="not for h1"):
                await other.call(ANSWER, Answer("h1", Q1, {"text": "forged"}))
            assert not asked.done()
            await client.call(ANSWER, Answer("h1", Q1, {"text": "login:"}))
            assert (await asked).result == {"text": "login:"}
            await stream.aclose()

    on_bus(story)


def test_a_node_renews_its_token_and_keeps_it_in_its_file(
    on_bus: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(bus: Bus) -> None:
        old = node_token(SECRET, "h1", 1000, time.time() - 600)
        file = tmp_path / "node.token"
        write_atomically(file, old.encode(), 0o600)
        async with bus.with_token(old) as client:
            keeper = asyncio.create_task(keep_tokens([client], {client: file}))
            while file.read_text() == old:
                await asyncio.sleep(0.01)
            keeper.cancel()
            assert file.read_text() == client.token
            assert file.stat().st_mode & 0o777 == 0o600
            assert read_token(client.token).ends_ms > read_token(old).ends_ms
            assert (await client.call(AGENT_REPORT, REPORT)).agent_id == AGENT % 3

    on_bus(story)


def test_tokens_end_and_are_revoked_and_so_do_their_streams(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        now = time.time()
        earlier = node_token(SECRET, "h1", 1000, now - 10)
        for token, code in (
            (node_token(SECRET, "h1", 10, now - 11), "EndedNodeToken"),
            (node_token(SECRET, "h1", 10, now + 3600), "BadNodeToken"),
            ("aDE." + "A" * 43, "OldNodeToken"),
        ):
            async with bus.with_token(token) as client:
                with pytest.raises(CallRefused) as refused:
                    await client.call(AGENT_REPORT, REPORT)
                assert refused.value.code == code
        async with bus.with_token(earlier) as client, bus.client("h2") as other:
            stream, others = client.wakeups("h1", ("host:h1",)), other.wakeups("h2", ("host:h2",))
            await anext(stream), await anext(others)
            bus.tokens.refuse({"h1": round(now * 1000) - 5000})
            bus.hub.wake_all()
            with pytest.raises(ServerUnreachable, match="ended the stream"):
                await anext(stream)
            for call, request in ((AGENT_REPORT, REPORT), (NODE_TOKEN, NodeTokenRequest("h1"))):
                with pytest.raises(CallRefused) as refused:
                    await client.call(call, request)
                assert refused.value.code == "RevokedNodeToken"
            bus.hub.publish(10, ["host:h2"])
            assert await anext(others) == Wakeup(10, ("host:h2",))
            await others.aclose()
        async with bus.client() as client:
            await client.call(AGENT_REPORT, REPORT)

    on_bus(story)


def test_a_token_that_is_revoked_while_the_body_comes_is_refused(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        now = time.time()

        async def slowly(request: msgspec.Struct, looked_at: asyncio.Event) -> AsyncIterator[bytes]:
            whole = encode(request)
            yield whole[:1]
            await looked_at.wait()
            bus.tokens.refuse({"h1": round(now * 1000)})
            yield whole[1:]

        for number, (path, request) in enumerate(
            (
                ("call/node_token", NodeTokenRequest("h1")),
                ("call/agent_report", REPORT),
                ("wakeups", WakeupRequest("h1", ("host:h1",))),
            )
        ):
            bus.tokens.refuse({})
            seen = asyncio.Event()
            bus.tokens.seen = lambda node, seen=seen: seen.set()  # type: ignore[misc]
            async with bus.with_token(node_token(SECRET, "h1", 1000, now - 10 + number)) as client:
                async with client._http().post(
                    client._base + path,
                    data=slowly(request, seen),
                    headers={"X-Node-Token": client.token},
                ) as answer:
                    fault = decode(await answer.read(), CallFault)
                assert (answer.status, fault.code) == (401, "RevokedNodeToken")

    on_bus(story)


def test_of_a_host_with_too_many_streams_the_oldest_end(
    on_bus: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.bus.hub.MOST_STREAMS", 3)
    monkeypatch.setattr("pileus.bus.hub.MOST_SCOPES", 6)

    async def story(bus: Bus) -> None:
        async with bus.client() as client, bus.client("h2") as other:
            others = other.wakeups("h2", ("host:h2",))
            await anext(others)
            streams = [client.wakeups("h1", ("host:h1",)) for _ in range(4)]
            for stream in streams:
                await anext(stream)
            with pytest.raises(ServerUnreachable, match="ended the stream"):
                await anext(streams[0])
            wide = client.wakeups("h1", tuple(f"network:{number}" for number in range(6)))
            await anext(wide)
            for stream in streams[1:]:
                with pytest.raises(ServerUnreachable, match="ended the stream"):
                    await anext(stream)
            bus.hub.publish(10, ["host:h2", "network:5"])
            assert await anext(wide) == Wakeup(10, ("network:5",))
            assert await anext(others) == Wakeup(10, ("host:h2",))
            await wide.aclose(), await others.aclose()
            while bus.hub.listeners:
                await asyncio.sleep(0.01)

    on_bus(story)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_client_goes_nowhere_else_than_to_its_server(status: int) -> None:
    """A server that was taken over sends nobody's token on, and a node asks nothing of its neighbours."""
    asked = []

    async def hear(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        elsewhere = [(b"location", b"/elsewhere"), (b"content-length", b"0")]
        kind = "websocket.http" if scope["type"] == "websocket" else "http"
        await send({"type": f"{kind}.response.start", "status": status, "headers": elsewhere})
        await send({"type": f"{kind}.response.body", "body": b""})

    async def story() -> None:
        tcp = listen_tcp("127.0.0.1:0")
        server = HttpServer(hear, Gate(LimitSection(), Proxies()), [tcp], [])
        await server.start()
        try:
            async with WireClient(f"http://127.0.0.1:{tcp.getsockname()[1]}", "token") as client:
                with pytest.raises(ServerUnreachable):
                    await client.call(AGENT_REPORT, REPORT)
                with pytest.raises(ServerUnreachable):
                    await anext(client.wakeups("h1", ()))
                with pytest.raises(ServerUnreachable):
                    await anext(client.download("/image"))
                with pytest.raises(ServerUnreachable):
                    await client.stream("name")
        finally:
            await server.stop()
        assert asked == ["/wire/v1/call/agent_report", "/wire/v1/wakeups", "/image", "/wire/v1/streams/name"]

    asyncio.run(story())


def test_a_node_administers_nothing(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        for token in (node_token(SECRET, "h1"), controller_token(b"other" * 8), "", "9999999999."):
            async with bus.with_token(token) as client:
                with pytest.raises(CallRefused) as refused:
                    await client.administer("tokens", Everything(), NodeTokenList)
                assert refused.value.code == "BadNodeToken"
        async with bus.with_token(controller_token(SECRET)) as client:
            with pytest.raises(CallRefused):
                await client.call(AGENT_REPORT, REPORT)

    on_bus(story)


def test_a_token_goes_over_no_plain_tcp(tmp_path: Path) -> None:
    async def look(host: str, scopes: tuple[str, ...]) -> tuple[frozenset[str], int]:
        raise AssertionError("never asked")

    async def story() -> None:
        tcp = listen_tcp("127.0.0.1:0")
        endpoint = Endpoint({}, Hub(), look, NodeTokens(SECRET))
        server = HttpServer(endpoint, Gate(LimitSection(), Proxies()), [tcp], [])
        await server.start()
        try:
            for token in (node_token(SECRET, "h1"), controller_token(SECRET)):
                async with WireClient(f"http://127.0.0.1:{tcp.getsockname()[1]}", token) as client:
                    with pytest.raises(CallRefused, match="TLS"):
                        await client.call(AGENT_REPORT, REPORT)
                    with pytest.raises(CallRefused, match="TLS"):
                        await anext(client.wakeups("h1", ()))
                    with pytest.raises(CallRefused, match="TLS"):
                        await client.administer("tokens", Everything(), NodeTokenList)
        finally:
            await server.stop()

    asyncio.run(story())


def test_a_listener_that_hangs_up_is_forgotten(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            stream = client.wakeups("h1", ("host:h1",))
            await anext(stream)
            assert bus.hub.listeners == 1
            await stream.aclose()
        while bus.hub.listeners:
            await asyncio.sleep(0.005)

    on_bus(story)


def test_a_server_that_stops_ends_the_stream(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            stream = client.wakeups("h1", ("host:h1",))
            await anext(stream)
            bus.endpoint.close()
            with pytest.raises(ServerUnreachable):
                await anext(stream)

    on_bus(story)


def test_nobody_there() -> None:
    async def story() -> None:
        async with WireClient("unix:/nonexistent/socket", "token") as client:
            with pytest.raises(ServerUnreachable):
                await client.call(AGENT_REPORT, REPORT)

    asyncio.run(story())
