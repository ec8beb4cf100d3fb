"""The administrator's way to the API of this machine's cloud: over the server's Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
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


class NotRunning(Unavailable):
    message = "The cloud in {folder} does not answer; `pileus up` starts it, `pileus status` looks."


class Refused(Fault):
    """The API refused; the text is its own."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class LocalApi:
    """Asks as the admin. Raises NotRunning and Refused."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._connection = _UnixConnection(folder.socket)
        self._token = ""

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
        if not self._token:
            self._login()
        return self._exchange(method, path, body)[0]

    def upload(self, path: str, file: Path) -> None:
        """PUT the content of ``file``, as it is."""
        if not self._token:
            self._login()
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            self._request("PUT", path, content, headers)

    def _login(self) -> None:
        try:
            password = self._folder.admin_password.read_text()
        except OSError as error:
            raise NotRunning(folder=self._folder.root) from error
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
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(folder=self._folder.root) from error
        document = json.loads(answer) if answer else None
        if response.status >= 400:
            raise Refused(f"{method} {path}: {_reason(document, response.status)}")
        return document, response.headers.get("X-Subject-Token")


def _reason(document: Any, status: int) -> str:
    if isinstance(document, dict):
        for error in document.values():
            if isinstance(error, dict) and "message" in error:
                return str(error["message"])
    return f"status {status}"
