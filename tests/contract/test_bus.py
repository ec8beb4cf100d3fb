"""The bus asked the same questions over a Unix socket and over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pileus.app.http import HttpServer, listen_tcp, listen_unix
from pileus.bus.client import CallRefused, DownloadRefused, ServerUnreachable, WireClient
from pileus.bus.endpoint import Endpoint
from pileus.bus.hub import Hub, NobodyAnswers
from pileus.bus.node import Node, node_token
from pileus.core.errors import Conflict
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import AGENT_REPORT, ANSWER, SWITCH_STATE
from pileus.wire.questions import Answer, Question
from pileus.wire.switch import SwitchStateRequest

SECRET = b"s" * 32
REPORT = AgentReport("h1", "binary", "type", "topic", "2026-01-01 00:00:00", {"devices": 3})


class AgentBusy(Conflict):
    message = "Busy with {what}."


class Bus:
    """A server with a hub and one handler, and clients of it."""

    def __init__(self, address: str, hub: Hub, endpoint: Endpoint) -> None:
        self.address = address
        self.hub = hub
        self.endpoint = endpoint

    def client(self, host: str = "h1", secret: bytes = SECRET) -> WireClient:
        return WireClient(self.address, node_token(secret, host))


Story = Callable[[Bus], Awaitable[None]]


@pytest.fixture(params=["unix", "tcp"])
def on_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    @asynccontextmanager
    async def bus() -> AsyncIterator[Bus]:
        async def report(asked: AgentReport, node: Node) -> AgentReply:
            if asked.topic == "busy":
                raise AgentBusy(what="tests")
            if asked.topic == "broken":
                raise RuntimeError("a secret of the server")
            return AgentReply(f"{node.host}:{asked.configurations['devices']}", True, 5)

        async def newest(scopes: tuple[str, ...]) -> int:
            return 7 + len(scopes)

        hub = Hub()
        endpoint = Endpoint({"agent_report": report}, hub, newest, SECRET)
        tcp = listen_tcp("127.0.0.1:0")
        path = tmp_path / "bus.sock"
        server = HttpServer(endpoint, [tcp], [listen_unix(path)])
        address = f"unix:{path}" if request.param == "unix" else f"http://127.0.0.1:{tcp.getsockname()[1]}"
        await server.start()
        try:
            yield Bus(address, hub, endpoint)
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
            assert (await client.call(AGENT_REPORT, REPORT)).agent_id == "h1:3"

    on_bus(story)


def test_a_download_that_is_refused_does_not_tell_its_ticket(on_bus: Callable[[Story], None]) -> None:
    async def story(bus: Bus) -> None:
        async with bus.client() as client:
            with pytest.raises(DownloadRefused, match="/wire/v1/call/nothing: status 404") as refused:
                async for _ in client.download("/wire/v1/call/nothing?ticket=secret"):
                    raise AssertionError("nothing comes")
            assert "secret" not in str(refused.value)
        async with WireClient("unix:/nowhere/bus.sock", "") as client:
            with pytest.raises(ServerUnreachable):
                async for _ in client.download("/image"):
                    raise AssertionError("nothing comes")

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
            asked = asyncio.create_task(bus.hub.ask("hypervisor:h1", Question("q1", "console_log"), 10))
            wakeup = await anext(stream)
            assert [question.kind for question in wakeup.questions] == ["console_log"]
            await client.call(ANSWER, Answer("h1", "q1", {"text": "login:"}))
            assert (await asked).result == {"text": "login:"}
            await client.call(ANSWER, Answer("h1", "q1", {"text": "too late"}))
            with pytest.raises(NobodyAnswers):
                await bus.hub.ask("hypervisor:h1", Question("q2", "console_log"), 0.05)
            with pytest.raises(NobodyAnswers):
                await bus.hub.ask("hypervisor:h2", Question("q3", "console_log"), 10)
            await stream.aclose()

    on_bus(story)


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
