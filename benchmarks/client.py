"""The thinnest HTTP client: a socket, so that what is measured is the server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any


class Client:
    """One keep-alive connection to ``HOST:PORT`` with a token."""

    def __init__(self, address: str, token: str = "") -> None:
        host, _, port = address.rpartition(":")
        self._sock = socket.create_connection((host, int(port)))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = address
        self.token = token
        self.headers: dict[str, str] = {}

    def raw(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one exchange."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._address}\r\nX-Auth-Token: {self.token}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        if body:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._sock.sendall(head.encode() + b"\r\n" + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        header, _, rest = data.partition(b"\r\n\r\n")
        lines = header.decode("latin-1").split("\r\n")
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        if self.headers.get("transfer-encoding") == "chunked":
            content = self._chunked(rest)
        else:
            missing = int(self.headers.get("content-length", 0)) - len(rest)
            parts = [rest]
            while missing > 0:
                parts.append(self._receive())
                missing -= len(parts[-1])
            content = b"".join(parts)
        return int(lines[0].split()[1]), content

    def _receive(self) -> bytes:
        data = self._sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def _chunked(self, data: bytes) -> bytes:
        parts = []
        while True:
            while b"\r\n" not in data:
                data += self._receive()
            size, _, data = data.partition(b"\r\n")
            length = int(size, 16)
            while len(data) < length + 2:
                data += self._receive()
            parts.append(data[:length])
            data = data[length + 2 :]
            if length == 0:
                return b"".join(parts)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        expect: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One exchange in JSON; raises RuntimeError where the status is not a success."""
        sent = json.dumps(body).encode() if body is not None else b""
        status, content = self.raw(method, path, sent, headers=headers)
        if status >= 400 or (expect and status != expect):
            raise RuntimeError(f"{method} {path}: {status} {content[:500]!r}")
        return json.loads(content) if content else None

    def login(self, password: str, path: str = "/identity/v3") -> str:
        """Get a token for the admin, and use it."""
        domain = {"id": "default"}
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "admin", "domain": domain, "password": password}},
                },
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        self.call("POST", f"{path}/auth/tokens", body)
        self.token = self.headers["x-subject-token"]
        return self.token

    def timed(self, method: str, path: str, body: Any = None) -> float:
        """Milliseconds of one exchange."""
        content = json.dumps(body).encode() if body is not None else b""
        started = time.perf_counter()
        status, reply = self.raw(method, path, content)
        elapsed = time.perf_counter() - started
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {reply[:500]!r}")
        return elapsed * 1000
