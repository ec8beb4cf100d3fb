"""DHCPv6 about prefixes: octets, and a conversation with a server in this process."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Callable

import pytest

from pileus.drivers.delegation.exchange import Exchange
from pileus.drivers.delegation.messages import (
    ADVERTISE,
    RELEASE,
    RENEW,
    REPLY,
    REQUEST,
    SOLICIT,
    Lease,
    Message,
    decode,
    encode,
)
from pileus.drivers.delegation.spec import Asked

CLIENT = b"\x00\x04" + bytes(range(16))


def option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def reply(
    kind: int,
    asked: Message,
    prefix: str = "2001:db8:1:2::/64",
    times: tuple[int, ...] = (0, 0, 50, 100),
    status: int = 0,
) -> bytes:
    """As a server says it: T1, T2, preferred and valid lifetime."""
    network = ipaddress.IPv6Network(prefix)
    inner = struct.pack("!IIB", times[2], times[3], network.prefixlen) + network.network_address.packed
    body = struct.pack("!III", asked.association, times[0], times[1]) + option(26, inner)
    body += option(13, struct.pack("!H", status) + b"said") if status else b""
    head = struct.pack("!I", kind << 24 | asked.transaction)
    return head + option(1, asked.client) + option(2, b"server") + option(25, body)


def test_octets() -> None:
    asked = Message(kind=SOLICIT, transaction=0x123456, client=CLIENT, association=7, hint="2001:db8::/64")
    octets = encode(asked, 1.5)
    assert octets[:4] == bytes.fromhex("01123456")
    assert decode(octets).client == CLIENT and decode(octets).association == 7
    assert struct.pack("!HHH", 8, 2, 150) in octets
    assert ipaddress.IPv6Address("2001:db8::").packed in octets
    heard = decode(reply(REPLY, asked))
    assert (heard.kind, heard.transaction, heard.server) == (REPLY, 0x123456, b"server")
    assert heard.lease == Lease("2001:db8:1:2::/64", 25.0, 40.0, 100.0)
    # Of a shorter prefix the first one that a subnet can have; of a longer one, or one for no guest, none.
    assert decode(reply(REPLY, asked, "2001:db8:1::/56")).lease == Lease("2001:db8:1::/64", 25.0, 40.0, 100.0)
    for strange in ("2001:db8::/65", "fe80::/64", "ff00::/64", "::/64"):
        assert decode(reply(REPLY, asked, strange)).lease is None
    assert decode(reply(REPLY, asked, times=(1, 2, 3, 0))).lease is None
    assert decode(reply(REPLY, asked, status=6)).refused == 6
    endless = decode(reply(REPLY, asked, times=(0xFFFFFFFF,) * 4)).lease
    assert endless is not None and endless.renew_s == 365 * 86400


@pytest.mark.parametrize("octets", ["", "07", "0700000100", "07000001001900ff00"])
def test_what_is_no_message(octets: str) -> None:
    with pytest.raises(ValueError):
        decode(bytes.fromhex(octets))


def test_a_router_is_one_client_wherever_it_is() -> None:
    def asked(interface: str, key: str) -> Asked:
        router = "6b1c4d4e-3d0c-4f4b-8a56-0f4f6a3b9a10"
        return Asked(owner=router, key=key, namespace="n", interface=interface, source="fe80::1")

    assert asked("qg-1", "a").client == asked("qg-2", "b").client
    assert asked("qg-1", "a").association == asked("qg-2", "a").association != asked("qg-1", "b").association


def conversation(
    answer: Callable[[Message], bytes | None], story: Callable[[Exchange, list[Message]], object]
) -> None:
    async def begin() -> None:
        said: list[Message] = []
        changes: list[None] = []

        def send(octets: bytes) -> None:
            said.append(decode(octets))
            answered = answer(said[-1])
            if answered is not None:
                exchange.hear(decode(answered))

        exchange = Exchange(CLIENT, 7, None, send, lambda: changes.append(None))
        try:
            await story(exchange, said)
        finally:
            exchange.close()

    asyncio.run(begin())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_prefix_is_asked_for_renewed_and_given_back() -> None:
    def answer(asked: Message) -> bytes | None:
        return reply({SOLICIT: ADVERTISE}.get(asked.kind, REPLY), asked, times=(1, 30, 50, 100))

    async def story(exchange: Exchange, said: list[Message]) -> None:
        await until(lambda: exchange.prefix == "2001:db8:1:2::/64")
        assert [one.kind for one in said] == [SOLICIT, REQUEST]
        assert said[0].server == b"" and said[1].server == b"server"
        await until(lambda: len(said) > 2)
        assert said[2].kind == RENEW and said[2].server == b"server"
        await exchange.release()
        assert said[-1].kind == RELEASE

    conversation(answer, story)


def test_a_prefix_that_is_renewed_no_more_is_lost_in_the_end() -> None:
    given: list[int] = []

    def answer(asked: Message) -> bytes | None:
        if asked.kind not in (SOLICIT, REQUEST) or REQUEST in given:
            return None  # it dies when it has given one
        given.append(asked.kind)
        return reply({SOLICIT: ADVERTISE}.get(asked.kind, REPLY), asked, times=(1, 1, 1, 1))

    async def story(exchange: Exchange, said: list[Message]) -> None:
        await until(lambda: REQUEST in given)
        await until(lambda: exchange.answered and exchange.prefix is None)
        await until(lambda: said[-1].kind == SOLICIT)
        assert exchange.answered

    conversation(answer, story)


def test_others_messages_are_not_heard() -> None:
    def answer(asked: Message) -> bytes | None:
        other = Message(kind=0, transaction=asked.transaction ^ 1, client=CLIENT, association=7)
        stranger = Message(kind=0, transaction=asked.transaction, client=b"other", association=7)
        return reply(ADVERTISE, other if len(asked.client) % 2 else stranger)

    async def story(exchange: Exchange, said: list[Message]) -> None:
        await until(lambda: len(said) > 1)
        assert {one.kind for one in said} == {SOLICIT} and exchange.prefix is None

    conversation(answer, story)
