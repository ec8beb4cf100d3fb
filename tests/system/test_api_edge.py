"""Rubbish at the door: whatever comes over the wire, the answer is a clear 4xx in the service's words.

Over a real socket, so that the HTTP server is asked, too. What is well-formed HTTP gets the JSON error of
the service that the path belongs to; what is not gets a plain 400 and the connection's end.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from tests.clouds import IDENTITY, NETWORK, PATIENCE_S, Answer, Cloud, simulated_cloud

UNKNOWN = "12345678-1234-1234-1234-123456789abc"
BOUNDED = settings(
    max_examples=2,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud(hosts=1) as cloud:
        cloud.api.login()
        yield cloud
        assert "Traceback" not in cloud.logs(), cloud.logs()


@pytest.fixture(scope="module")
def network(cloud: Cloud) -> str:
    return cloud.api.network("edge", "10.9.0.0/24")


def refused(answer: Answer, *statuses: int) -> str:
    """That an answer is a refusal in the shape of Neutron or Keystone; its words."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    error = answer.json.get("NeutronError") or answer.json.get("error")
    assert error["message"]
    if "NeutronError" in answer.json:
        assert error.keys() == {"type", "message", "detail"}
    else:
        assert error["code"] == answer.status
    return str(error["message"])


# -- generated from the description


PARTS = 5
"""Wrong requests for all operations take a minute: each fifth is a test that a day's sample may have."""


@pytest.mark.parametrize(
    ("mode", "part"),
    [
        (GenerationMode.POSITIVE, None),
        *(pytest.param(GenerationMode.NEGATIVE, part, marks=pytest.mark.nightly) for part in range(PARTS)),
    ],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_no_request_that_the_description_suggests_is_an_error_of_ours(
    cloud: Cloud, mode: GenerationMode, part: int | None
) -> None:
    """A few generated requests for each operation of /openapi.json: as described, and not quite."""
    schema = schemathesis.openapi.from_dict(cloud.api.call("GET", "/openapi.json"))
    kinds: Counter[int] = Counter()
    failures: list[str] = []

    def ask(case: Any) -> None:
        answer = case.call(
            base_url=f"http://{cloud.address}", headers={"X-Auth-Token": cloud.api.token}, timeout=30
        )
        kinds[answer.status_code // 100] += 1
        if answer.status_code >= 500:
            failures.append(f"{case.method} {case.formatted_path} {case.query} {case.body!r}: {answer.text}")

    operations = [result.ok() for result in schema.get_all_operations()]
    if part is not None:
        operations = operations[part::PARTS]
    for operation in operations:
        with contextlib.suppress(Unsatisfiable):  # there may be no wrong way to ask
            BOUNDED(given(operation.as_strategy(generation_mode=mode))(ask))()
    assert not failures, "\n".join(failures)
    assert sum(kinds.values()) >= len(operations) / 2
    assert kinds[4] and (kinds[2] or mode is GenerationMode.NEGATIVE), kinds
    assert cloud.api.call("GET", f"{NETWORK}/networks")["networks"] is not None


# -- rubbish by hand

BODIES = [
    b"",
    b"{",
    b"nonsense",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"3",
    b'"text"',
    b"{}",
    b'{"port": null}',
    b'{"port": []}',
    b'{"port": 3}',
    b'{"ports": {}}',
    b'{"ports": []}',
    b'{"ports": [3]}',
    b'{"network": {}}',
    b'{"port": {}, "ports": []}',
    b'{"port": {"network_id": null}}',
    b'{"port": {"network_id": "no-uuid"}}',
    b'{"port": {"network_id": {"a": "b"}}}',
    b'{"port": {"network_id": "%b", "colour": "blue"}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "name": 5}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "name": "%b"}}' % (UNKNOWN.encode(), b"x" * 300),
    b'{"port": {"network_id": "%b", "name": "\\u0000"}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "name": "\\ud800"}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "fixed_ips": "x"}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "mac_address": "zz"}}' % UNKNOWN.encode(),
    b'{"port": {"network_id": "%b", "id": "%b"}}' % (UNKNOWN.encode(), UNKNOWN.encode()),
    b'{"port": {"network_id": "%b", "admin_state_up": 1e400}}' % UNKNOWN.encode(),
    b"[" * 100_000,
    b'{"port":' * 20_000 + b"1" + b"}" * 20_000,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:60])[2:-1] or "nothing")
def test_bodies_that_are_none(cloud: Cloud, body: bytes) -> None:
    refused(cloud.api.ask("POST", f"{NETWORK}/ports", body), 400)


@pytest.mark.parametrize("body", BODIES[:14], ids=lambda body: repr(body[:60])[2:-1] or "nothing")
def test_log_ins_that_are_none(cloud: Cloud, body: bytes) -> None:
    refused(cloud.api.ask("POST", f"{IDENTITY}/auth/tokens", body), 400)


def test_updates_of_what_may_not_be_changed(cloud: Cloud, network: str) -> None:
    for change in ({"id": UNKNOWN}, {"status": "DOWN"}, {"nonsense": 1}, {"mtu": "big"}, {"tenant_id": "x"}):
        path = f"{NETWORK}/networks/{network}"
        assert refused(cloud.api.ask("PUT", path, {"network": change}), 400)


def test_a_body_that_is_too_big_is_not_read(cloud: Cloud) -> None:
    big = b'{"port": {"name": "' + b"x" * (3 << 20) + b'"}}'
    answer = exchange(
        cloud, head(cloud, "POST", f"{NETWORK}/ports", b"Content-Length: %d\r\n" % len(big))
    )  # only announced
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"NeutronError"' in answer
    chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    chunked = head(cloud, "POST", f"{NETWORK}/ports", b"Transfer-Encoding: chunked\r\n") + chunks * 40
    assert exchange(cloud, chunked).startswith(b"HTTP/1.1 413 ")


def test_ids_that_are_none(cloud: Cloud) -> None:
    for one in (UNKNOWN, "x", "%00", "%ff", "..%2f..", "a" * 3000, "%F0%9F%98%80", "';drop table ports--"):
        path = one.replace(" ", "%20")
        for collection in ("ports", "networks", "security-groups", "agents"):
            refused(cloud.api.ask("GET", f"{NETWORK}/{collection}/{path}"), 404)
        refused(cloud.api.ask("DELETE", f"{NETWORK}/ports/{path}"), 404)
        refused(cloud.api.ask("GET", f"{IDENTITY}/users/{path}"), 404)


def test_queries_that_are_none(cloud: Cloud) -> None:
    for query in (
        "limit=-1",
        "limit=x",
        f"marker={UNKNOWN}",
        "sort_key=nonsense",
        "sort_dir=up",
        "nam%00e=x",
    ):
        refused(cloud.api.ask("GET", f"{NETWORK}/ports?{query}"), 400, 404)
    flood = "&".join(f"id={UNKNOWN}" for _ in range(1000))
    assert cloud.api.ask("GET", f"{NETWORK}/ports?{flood}").status in (200, 400, 414)


def test_methods_that_are_none(cloud: Cloud) -> None:
    for method, path in (
        ("PATCH", "/ports"),
        ("DELETE", "/ports"),
        ("POST", f"/ports/{UNKNOWN}"),
        ("PUT", ""),
    ):
        answer = cloud.api.ask(method, NETWORK + path)
        refused(answer, 405)
        assert answer.headers["allow"]
    assert cloud.api.ask("BREW", f"{NETWORK}/ports").status == 400, "no method of HTTP"
    refused(cloud.api.ask("TRACE", f"{IDENTITY}/users"), 405)
    refused(cloud.api.ask("GET", f"{NETWORK}/coffees"), 404)
    refused(cloud.api.ask("GET", f"{IDENTITY}/coffees"), 404)


def test_content_types_that_are_none(cloud: Cloud, network: str) -> None:
    body = json.dumps({"port": {"network_id": network}}).encode()
    for kind in ("text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = cloud.api.ask("POST", f"{NETWORK}/ports", body, {"Content-Type": kind})
        assert answer.status < 500
        if answer.status >= 400:
            refused(answer, 400, 415)


def test_tokens_that_are_none(cloud: Cloud) -> None:
    for token in ("", "x", "gAAAAA" * 50, "\xff\xfe", "a" * 5000):
        answer = cloud.api.ask("GET", f"{NETWORK}/ports", headers={"X-Auth-Token": token})
        refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Keystone uri=")


def test_preconditions_that_are_none(cloud: Cloud, network: str) -> None:
    for match, status in (("revision_number=999", 412), ("revision_number=x", 400)):
        change = {"network": {"name": "x"}}
        headers = {"If-Match": match}
        refused(cloud.api.ask("PUT", f"{NETWORK}/networks/{network}", change, headers), status)


# -- the wire itself


def head(cloud: Cloud, method: str, path: str, more: bytes = b"", version: str = "1.1") -> bytes:
    lines = f"{method} {path} HTTP/{version}\r\nHost: {cloud.address}\r\nX-Auth-Token: {cloud.api.token}\r\n"
    return lines.encode() + more + b"\r\n"


def connected(cloud: Cloud) -> socket.socket:
    host, _, port = cloud.address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


def exchange(cloud: Cloud, data: bytes) -> bytes:
    """Send ``data``; what comes back until the server closes the connection."""
    with connected(cloud) as client:
        with contextlib.suppress(OSError):  # the server may close while we still send
            client.sendall(data)
        received = b""
        with contextlib.suppress(OSError):
            while part := client.recv(65536):
                received += part
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"rubbish\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
        b"POST /networking/v2.0/ports HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /networking/v2.0/ports HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(cloud: Cloud, data: bytes) -> None:
    answer = exchange(cloud, data)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert _is_served(cloud)


def test_a_flood_of_headers_is_refused(cloud: Cloud) -> None:
    many = b"".join(b"X-Header-%d: %s\r\n" % (number, b"y" * 100) for number in range(5000))
    # What was not read may cost the connection before the refusal is: then there is nothing at all.
    assert exchange(cloud, head(cloud, "GET", f"{NETWORK}/ports", many)).split(b"\r\n")[0] in REFUSED
    endless = head(cloud, "GET", f"{NETWORK}/ports")[:-2] + b"X: " + b"y" * (1 << 20)
    assert exchange(cloud, endless).split(b"\r\n")[0] in REFUSED
    with connected(cloud) as client:  # and one that is read as it comes, so that the refusal arrives
        client.sendall(head(cloud, "GET", f"{NETWORK}/ports")[:-2])
        for number in range(100):
            client.sendall(b"X-Header-%d: %s\r\n" % (number, b"y" * 1000))
            time.sleep(0.001)
            if select.select([client], [], [], 0)[0]:
                break
        assert client.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert _is_served(cloud)


REFUSED = (b"HTTP/1.1 431 Request Header Fields Too Large", b"")


def test_pipelined_requests_are_answered_in_order(cloud: Cloud, network: str) -> None:
    paths = (f"/networks/{network}?fields=id", "/coffees", f"/networks/{network}?fields=name")
    ends = (b"", b"", b"Connection: close\r\n")
    data = b"".join(head(cloud, "GET", NETWORK + path, more) for path, more in zip(paths, ends, strict=True))
    answer = exchange(cloud, data)
    assert [part.split(b" ")[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
    assert answer.index(b'"id"') < answer.index(b"NeutronError") < answer.index(b'"edge"')


def test_http_1_0_is_answered_and_closed(cloud: Cloud, network: str) -> None:
    answer = exchange(cloud, head(cloud, "GET", f"{NETWORK}/networks/{network}", version="1.0"))
    assert answer.split(b" ")[1] == b"200"
    assert network.encode() in answer
    assert b"transfer-encoding" not in answer.lower(), "HTTP/1.0 knows no chunks"


def test_slow_clients_hold_up_nobody(cloud: Cloud, network: str) -> None:
    body = json.dumps({"network": {"name": "slow"}}).encode()
    request = head(cloud, "PUT", f"{NETWORK}/networks/{network}", b"Content-Length: %d\r\n" % len(body))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(cloud)) for _ in range(50)]
        for client in idle:
            client.sendall(request[:20])
        slow = stack.enter_context(connected(cloud))
        for start in range(0, len(request + body), 40):
            slow.sendall((request + body)[start : start + 40])
            time.sleep(0.01)
            assert _is_served(cloud)
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_reader_who_does_not_read_a_long_list_holds_up_nobody(cloud: Cloud) -> None:
    with connected(cloud) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = head(cloud, "GET", "/openapi.json")
        for _ in range(20):
            client.sendall(request)
        assert _is_served(cloud)
    assert _is_served(cloud)


def _is_served(cloud: Cloud) -> bool:
    """Whether a request is answered (at all: one that is held up ends with the connection's timeout)."""
    return cloud.api.ask("GET", f"{NETWORK}/networks?limit=1").status == 200
