"""The administrator's way to the API of this machine's cloud: over the server's Unix socket."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any

from pileus.app.state import StateFolder
from pileus.core.errors import Fault, Unavailable

IDENTITY = "/identity/v3"
NETWORK = "/networking/v2.0"
IMAGE = "/image/v2"
COMPUTE = "/compute/v2.1"


IDLE_S = 30.0
"""A connection idle for longer is opened anew, long before the server closes it (after 75 s)."""
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class NotRunning(Unavailable):
    message = "The cloud in {folder} does not answer; `pileus up` starts it, `pileus status` looks."


class Refused(Fault):
    """The API refused; the text is its own."""


class Unauthenticated(Refused):
    """The token is not taken."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def stale(self) -> bool:
        """Whether the server has closed the connection; bytes that nobody asked for spoil one too."""
        return self.sock is not None and bool(select.select([self.sock], [], [], 0)[0])


class LocalApi:
    """Asks as the admin. Raises NotRunning and Refused."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._connection = _UnixConnection(folder.socket)
        self._token = ""
        self._used_at = 0.0

    def __enter__(self) -> LocalApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The reply's JSON."""
        fresh = not self._token
        if fresh:
            self._login()
        try:
            return self._exchange(method, path, body)[0]
        except Unauthenticated:
            if fresh:
                raise
        self._login()  # the token has ended
        return self._exchange(method, path, body)[0]

    def upload(self, path: str, file: Path) -> None:
        """PUT the content of ``file``, as it is."""
        self._login()  # with a token that lasts as long as it can
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            self._request("PUT", path, content, headers)

    def _login(self) -> None:
        try:
            password = self._folder.admin_password.read_text()
        except OSError as error:
            raise NotRunning(folder=self._folder.root) from error
        self._token = ""
        default = {"id": "default"}
        user = {"name": "admin", "domain": default, "password": password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": default}},
        }
        _, token = self._exchange("POST", f"{IDENTITY}/auth/tokens", {"auth": auth})
        self._token = token or ""

    def _exchange(self, method: str, path: str, body: Any) -> tuple[Any, str | None]:
        if body is None:
            return self._request(method, path, None, {})
        return self._request(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _request(
        self, method: str, path: str, content: bytes | BufferedReader | None, headers: dict[str, str]
    ) -> tuple[Any, str | None]:
        if self._token:
            headers["X-Auth-Token"] = self._token
        if self._connection.sock is not None and (
            time.monotonic() - self._used_at > IDLE_S or self._connection.stale()
        ):
            self._connection.close()
        reused = self._connection.sock is not None
        try:
            try:
                response, answer = self._once(method, path, content, headers)
            except ConnectionError:
                # Closed as the request was on its way. On a fresh connection it can only be repeated where
                # that changes nothing: perhaps it was carried out.
                if not reused or method not in REPEATABLE or isinstance(content, BufferedReader):
                    raise
                response, answer = self._once(method, path, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NotRunning(folder=self._folder.root) from error
        self._used_at = time.monotonic()
        document = json.loads(answer) if answer else None
        if response.status >= 400:
            kind = Unauthenticated if response.status == 401 else Refused
            raise kind(f"{method} {path}: {_reason(document, response.status)}")
        return document, response.headers.get("X-Subject-Token")

    def _once(
        self, method: str, path: str, content: bytes | BufferedReader | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            return response, response.read()
        except ConnectionError:
            self._connection.close()
            raise


def _reason(document: Any, status: int) -> str:
    if isinstance(document, dict):
        for error in document.values():
            if isinstance(error, dict) and "message" in error:
                return str(error["message"])
    return f"status {status}"
