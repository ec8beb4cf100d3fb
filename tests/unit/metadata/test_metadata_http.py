"""Requests of guests, good and bad."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.host.metadata.http import PATH_LIMIT, BadRequest, Request, parse, reply
from pileus.wire.metadata import LONGEST_POST


@pytest.mark.parametrize(
    ("head", "request_"),
    [
        (b"GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n", Request("GET", "/", True)),
        (b"GET /latest/meta-data/?x=1 HTTP/1.0\r\n", Request("GET", "/latest/meta-data/?x=1", False)),
        (b"HEAD /openstack HTTP/1.1\nConnection: Close\n", Request("HEAD", "/openstack", False)),
        (b"GET http://169.254.169.254/openstack HTTP/1.1\r\n", Request("GET", "/openstack", True)),
        (b"GET http://169.254.169.254 HTTP/1.1\r\n", Request("GET", "/", True)),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n", Request("GET", "/", False)),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", Request("GET", "/", False)),
        (b"POST /p HTTP/1.1\r\nContent-Length: 7\r\n", Request("POST", "/p", True, 7)),
        (b"POST /p HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n", Request("POST", "/p", False)),
        (
            b"POST /p HTTP/1.1\r\nContent-Length: 1020\r\nexpect: 100-Continue\r\nContent-Length: 1020\r\n",
            Request("POST", "/p", True, LONGEST_POST, True),
        ),
    ],
)
def test_what_clients_send_is_understood(head: bytes, request_: Request) -> None:
    assert parse(head) == request_


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET /\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/2\r\n", HTTPStatus.BAD_REQUEST),
        (b"PUT /latest/api/token HTTP/1.1\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"GET openstack HTTP/1.1\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /\x00 HTTP/1.1\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /\xff HTTP/1.1\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nno colon\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n folded: header\r\n", HTTPStatus.BAD_REQUEST),
        (b"POST /p HTTP/1.1\r\n", HTTPStatus.LENGTH_REQUIRED),
        (b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", HTTPStatus.LENGTH_REQUIRED),
        (
            b"POST /p HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            HTTPStatus.LENGTH_REQUIRED,
        ),
        (b"POST /p HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n", HTTPStatus.BAD_REQUEST),
        *(
            (b"POST /p HTTP/1.1\r\nContent-Length: %s\r\n" % length, HTTPStatus.BAD_REQUEST)
            for length in (b"", b"-1", b"+1", b"1_0", b"1.0", b"\xb2", b"x", b"1021", b"9" * 4000)
        ),
        (b"GET /" + b"a" * PATH_LIMIT + b" HTTP/1.1\r\n", HTTPStatus.REQUEST_URI_TOO_LONG),
    ],
)
def test_bad_requests_are_refused(head: bytes, status: HTTPStatus) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(head)
    assert refusal.value.status == status


@given(st.binary(max_size=300))
def test_nothing_else_comes_of_whatever_is_sent(head: bytes) -> None:
    try:
        request = parse(head)
    except BadRequest:
        return
    assert request.method in ("GET", "HEAD", "POST")
    assert 0 <= request.length <= (LONGEST_POST if request.method == "POST" else 0)
    assert request.path.startswith("/")


def test_a_reply_to_head_has_no_body() -> None:
    get, head = Request("GET", "/", True), Request("HEAD", "/", True)
    full = reply(get, 200, "text/plain", b"body", stays=True)
    assert full == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
        b"Connection: keep-alive\r\n\r\nbody"
    )
    assert reply(head, 200, "text/plain", b"body", stays=True) == full.removesuffix(b"body")
    assert b"Allow: GET, HEAD, POST\r\n" in reply(None, 405, "text/plain", b"")
    assert b"Allow: GET, HEAD\r\n" in reply(Request("POST", "/", True), 405, "text/plain", b"")
    assert reply(get, 599, "text/plain", b"").startswith(b"HTTP/1.1 599\r\n")
