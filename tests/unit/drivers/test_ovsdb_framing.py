"""Objects of a stream are found wherever the stream was cut."""

from __future__ import annotations

import time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pileus.drivers.ovsdb.framing import Framer

values = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('{}[]"\\ é\n,:a')),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(st.sampled_from('}{"\\x'), max_size=4), values, max_size=4)


@given(
    st.lists(objects, max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.sampled_from(["", "\n "]),
)
def test_any_stream_cut_anywhere(sent: list[dict[str, object]], sizes: list[int], between: str) -> None:
    stream = b"".join(msgspec.json.encode(one) + between.encode() for one in sent)
    framer = Framer()
    received = []
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        received += [msgspec.json.decode(one) for one in framer.feed(stream[:size])]
        stream = stream[size:]
        turn += 1
    assert received == sent


def test_a_large_reply_takes_milliseconds() -> None:
    row = {
        "name": "tap",
        "external_ids": ["map", [["iface-id", "{}" * 18], ["attached-mac", "fa:16:3e"]]],
        "ofport": 5,
    }
    reply = msgspec.json.encode({"id": 1, "result": {f"row{n}": row for n in range(10000)}, "error": None})
    assert len(reply) > 1_000_000
    framer = Framer()
    started = time.process_time()
    found = [one for at in range(0, len(reply), 65536) for one in framer.feed(reply[at : at + 65536])]
    assert found == [reply]
    # Brace by brace in Python it is some seconds; the bound leaves room for a slow machine.
    assert time.process_time() - started < 0.5
