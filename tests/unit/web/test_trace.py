"""The access log says who asked for what and why not, and no secret."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from pileus.app.sections import LogSection
from pileus.app.serving.access_log import access_log
from pileus.core.errors import Invalid, NotFound
from pileus.web.trace import Trace, trace_of

TOKEN = "gAAAAABpJ1oA" + "x-_Y" * 40


class BadValue(Invalid):
    message = "Invalid input for {name}: {value}"


def _scope(path: str, query: str = "") -> dict[str, object]:
    raw = path.encode()
    return {
        "method": "GET",
        "path": path,
        "raw_path": raw,
        "query_string": query.encode(),
        "client": ("192.0.2.9", 1234),
    }


@pytest.mark.parametrize(
    ("query", "written"),
    [
        ("limit=5&marker=abc", "?limit=5&marker=abc"),
        ("ticket=hush", "?ticket=***"),
        ("a=1&X-Amz-Signature=hush&b=2", "?a=1&X-Amz-Signature=***&b=2"),
        ("user_data=hush&adminPass=hush&token=hush", "?user_data=***&adminPass=***&token=***"),
        ("name=" + "x" * 600, "?name=***"),
        ("name=a b\n", "?name=a%20b%0A"),
        ("%70assword=hush&t%6fken=hush&a=1", "?%70assword=***&t%6fken=***&a=1"),
        ("a=1;token=hush&next=/x?token%3Dhush", "?a=1;token=***&next=***"),
        (f"{TOKEN}&name={TOKEN}", "?***&name=***"),
    ],
)
def test_of_a_query_nothing_secret_is_kept(query: str, written: str) -> None:
    assert trace_of(_scope("/p", query), "req-1").path == "/p" + written


def test_a_token_in_a_path_is_not_kept() -> None:
    assert trace_of(_scope(f"/identity/v2.0/tokens/{TOKEN}"), "req-1").path == "/identity/v2.0/tokens/***"
    of_a_console = "/compute/v2.1/os-console-auth-tokens"
    assert trace_of(_scope(f"{of_a_console}/x-Y_z"), "req-1").path == f"{of_a_console}/***"


@pytest.mark.parametrize("repeated", ["a", "=", "&", "a=", "%70", ";", "gAAAAA", "token"])
def test_a_long_query_takes_no_longer_than_a_short_one(repeated: str) -> None:
    began = time.process_time()
    for _ in range(10):
        path = trace_of(_scope("/p", repeated * 50_000), "req-1").path
    assert time.process_time() - began < 1
    assert len(path) < 5_000


def test_a_path_can_not_begin_a_line_of_its_own() -> None:
    scope = _scope("/a\n2026 forged") | {"raw_path": b""}
    assert trace_of(scope, "req-1").path == "/a%0A2026%20forged"


def test_a_reason_that_might_quote_a_secret_is_its_code() -> None:
    def reason(fault: Invalid | NotFound, path: str = "/networking/v2.0/ports") -> str | None:
        trace = Trace("req-1", "POST", path)
        trace.refused(fault)
        return trace.reason

    assert reason(BadValue(name="cidr", value="x")) == "BadValue: Invalid input for cidr: x"
    assert reason(BadValue(name="adminPass", value="hush")) == "BadValue"
    assert reason(BadValue(name="metadata", value="hush")) == "BadValue"
    assert reason(BadValue(name="contents", value="hush")) == "BadValue"
    assert reason(BadValue(name="id", value=TOKEN)) == "BadValue: Invalid input for id: ***"
    assert reason(BadValue(name="x", value="hush"), "/identity/v3/auth/tokens") == "BadValue"
    assert reason(NotFound(), "/identity/v3/auth/tokens") == f"NotFound: {NotFound().text}"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_for_each_request(tmp_path: Path, as_json: bool) -> None:
    path = tmp_path / "access.log"
    write = access_log(path, LogSection(json=as_json))
    trace = Trace("req-1", "POST", "/p", user_id="u", project_id="p", status=409, bytes=10, statements=3)
    trace.refused(BadValue(name="a\nb\x85\u2028\x9b2J", value="c"))
    write(trace)
    write(msgspec.structs.replace(trace, status=200, reason=None))
    first, second = path.read_text().splitlines()
    if as_json:
        told = json.loads(first)
        assert (told["user_id"], told["status"], told["statements"]) == ("u", 409, 3)
        assert told["reason"] == "BadValue: Invalid input for a\nb\x85\u2028\x9b2J: c"
        assert json.loads(second)["reason"] is None
    else:
        assert " u p POST /p 409 10B " in first
        assert first.endswith(r'"BadValue: Invalid input for a\nb\u0085\u2028\u009b2J: c"')
        assert " 3sql req-1 -" in second
