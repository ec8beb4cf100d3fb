"""As much of HTTP/1.1 as guests need for their metadata (RFC 9110, 9112): GET, HEAD, a small POST. Pure.

A guest is not trusted: what it may send is bounded, and nothing of it decides who it is.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from pileus.wire.metadata import LONGEST_POST

LINE_LIMIT = 4096
HEAD_LIMIT = 16384
PATH_LIMIT = 2048
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_METHODS = ("GET", "HEAD", "POST")
_VERSIONS = ("HTTP/1.1", "HTTP/1.0")


class Request(msgspec.Struct, frozen=True):
    """``path`` with its query. ``stays``: whether the connection may serve another request. ``length``: how
    many octets of a body follow; ``waits``: whether the guest sends them when it is told to go on."""

    method: str
    path: str
    stays: bool
    length: int = 0
    waits: bool = False


class BadRequest(Exception):
    """A request that is refused; the connection ends."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        self.status = status
        super().__init__(text)


def parse(head: bytes) -> Request:
    """A request's line and headers, up to the empty line. Raises BadRequest."""
    lines = head.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in _VERSIONS:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
    method, target, version = words
    if method not in _METHODS:
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "only GET, HEAD and POST are known here")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header without a colon")
        name, value = name.lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "several lengths of one body")
        headers[name] = value
    stays = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if method == "POST":
        waits = version == "HTTP/1.1" and headers.get("expect", "").lower() == "100-continue"
        return Request(method, _path(target), stays, _length(headers), waits)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        stays = False  # the body is not read
    return Request(method, _path(target), stays)


def reply(
    request: Request | None, status: int, content_type: str, body: bytes, *, stays: bool = False
) -> bytes:
    """A reply's octets."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    head = [
        f"HTTP/1.1 {status} {phrase}".rstrip(),
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if stays else 'close'}",
    ]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        refused = None if request is None else request.method
        head.append(f"Allow: {', '.join(one for one in _METHODS if one != refused)}")
    shown = b"" if request is not None and request.method == "HEAD" else body
    return "\r\n".join((*head, "", "")).encode("latin-1", "replace") + shown


def _length(headers: dict[str, str]) -> int:
    """The octets of a POST's body: their number is said beforehand, and bounded."""
    text = headers.get("content-length")
    if text is None or "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.LENGTH_REQUIRED, "a body comes with its length, and in one piece")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the length of the body is no number")
    if len(text.lstrip("0")) > len(str(LONGEST_POST)) or int(text) > LONGEST_POST:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "Request is too large.")
    return int(text)


def _path(target: str) -> str:
    """The path of a target in origin form, or in absolute form (RFC 9112, 3.2)."""
    if target.lower().startswith("http://"):
        target = "/" + target[len("http://") :].partition("/")[2]
    if not target.startswith("/"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a path begins with a slash")
    if len(target) > PATH_LIMIT:
        raise BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "the path is too long")
    if not target.isascii() or not target.isprintable():
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the path has characters that it may not have")
    return target
