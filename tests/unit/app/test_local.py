"""The connection of the local commands: it survives the server's closing it, at any moment."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

import pytest

from pileus.app import local
from pileus.app.local import LocalApi, NotRunning
from pileus.app.state import StateFolder

Answerer = Callable[[int, str], tuple[int, bool] | None]
"""Of the number of a request and its first line: the status and whether the connection stays, or None to hang
up without an answer."""


class Server:
    """Answers in a thread on the cloud's socket, one connection after the other."""

    def __init__(self, folder: StateFolder, answer: Answerer) -> None:
        self.asked: list[str] = []
        self.connections = 0
        self.closed = threading.Event()
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as lines:
                while self._one(connection, lines):
                    pass
            self.closed.set()

    def _one(self, connection: socket.socket, lines: BufferedReader) -> bool:
        first = lines.readline().decode().strip()
        if not first:
            return False
        length = 0
        while header := lines.readline().strip():
            name, _, value = header.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        lines.read(length)
        self.asked.append(first.removesuffix(" HTTP/1.1"))
        told = self._answer(len(self.asked), first)
        if told is None:
            return False
        status, stays = told
        body = json.dumps({"error": {"message": "no"}} if status >= 400 else {"n": len(self.asked)})
        head = f"HTTP/1.1 {status} X\r\nX-Subject-Token: t\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        return stays


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answerer], tuple[Server, LocalApi]]]:
    folder = StateFolder(tmp_path)
    folder.admin_password.parent.mkdir(parents=True, exist_ok=True)
    folder.admin_password.write_text("secret")
    folder.socket.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:

        def start(answer: Answerer) -> tuple[Server, LocalApi]:
            server = Server(folder, answer)
            stack.callback(server.close)
            return server, stack.enter_context(LocalApi(folder))

        yield start


LOGIN = "POST /identity/v3/auth/tokens"


def test_a_connection_closed_while_idle_is_opened_anew(serve: Callable[..., tuple[Server, LocalApi]]) -> None:
    server, api = serve(lambda number, line: (200, number != 2))
    api.get("/a")
    assert server.closed.wait(10)
    assert api.call("POST", "/b", {}) == {"n": 3}
    assert server.asked == [LOGIN, "GET /a", "POST /b"]
    assert server.connections == 2


def test_a_connection_that_was_long_idle_is_not_used(
    serve: Callable[..., tuple[Server, LocalApi]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, api = serve(lambda number, line: (200, True))
    api.get("/a")
    monkeypatch.setattr(local, "IDLE_S", -1.0)
    api.call("POST", "/b", {})
    assert server.connections == 2


def test_what_changes_nothing_twice_is_repeated_once(serve: Callable[..., tuple[Server, LocalApi]]) -> None:
    server, api = serve(lambda number, line: None if number == 2 else (200, True))
    assert api.get("/a") == {"n": 3}
    assert server.asked == [LOGIN, "GET /a", "GET /a"]


def test_what_may_have_been_carried_out_is_not_repeated(
    serve: Callable[..., tuple[Server, LocalApi]],
) -> None:
    server, api = serve(lambda number, line: None if " /a " in line else (200, True))
    with pytest.raises(NotRunning):
        api.call("POST", "/a", {})
    assert server.asked == [LOGIN, "POST /a"]
    assert api.get("/b") == {"n": 3}


def test_a_server_that_always_hangs_up_is_not_running(serve: Callable[..., tuple[Server, LocalApi]]) -> None:
    _, api = serve(lambda number, line: (200, True) if number == 1 else None)
    with pytest.raises(NotRunning):
        api.get("/a")


def test_a_token_that_ended_is_renewed_once(serve: Callable[..., tuple[Server, LocalApi]]) -> None:
    server, api = serve(lambda number, line: (401 if number == 3 else 200, True))
    api.get("/a")
    assert api.get("/b") == {"n": 5}
    assert server.asked == [LOGIN, "GET /a", "GET /b", LOGIN, "GET /b"]


def test_who_may_not_log_in_is_told_so(serve: Callable[..., tuple[Server, LocalApi]]) -> None:
    server, api = serve(lambda number, line: (401, True))
    with pytest.raises(local.Refused, match="no"):
        api.get("/a")
    assert server.asked == [LOGIN]


def test_a_fresh_token_that_is_refused_is_not_renewed_for_ever(
    serve: Callable[..., tuple[Server, LocalApi]],
) -> None:
    server, api = serve(lambda number, line: (200 if "auth/tokens" in line else 401, True))
    for _ in range(2):
        with pytest.raises(local.Refused):
            api.get("/a")
    assert server.asked == [LOGIN, "GET /a", "GET /a", LOGIN, "GET /a"]
