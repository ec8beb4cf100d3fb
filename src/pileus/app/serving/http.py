"""Serving HTTP inside this process: uvicorn without its own signals and logging."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from pileus.app.serving.connections import Gate
from pileus.app.serving.protocol import BoundedProtocol, BoundedSocket
from pileus.core.errors import Invalid

BACKLOG = 2048
GRACE_S = 5
LARGEST_MESSAGE = 1 << 20
"""Bytes of one message of a WebSocket."""


class BadListenAddress(Invalid):
    message = "{address} can't be listened on: {reason}"


def listen_tcp(address: str) -> socket.socket:
    """A listening socket on ``HOST:PORT`` (``[::1]:PORT`` for IPv6); raises BadListenAddress."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 1 << 16):
        raise BadListenAddress(address=address, reason="it is not HOST:PORT, with a port of 0 to 65535")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        raise BadListenAddress(address=address, reason=error) from error
    return sock


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket at ``path``, in the place of one that a crash left."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.bind(str(path))
    path.chmod(0o666)  # the folder and the node token decide who may speak
    sock.listen(BACKLOG)
    return sock


class BadCertificate(Invalid):
    message = "The certificate {certificate} with the key {key} can't be used: {reason}"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has signal handlers of its own."""
        yield


class HttpServer:
    """Serves one ASGI application on several sockets, with TLS on those of TCP if there is a certificate.

    ``client_ca`` is who signs the certificates that clients may show.

    Certificate and key are read at once, while the process still may; raises BadCertificate.
    """

    def __init__(
        self,
        app: Any,
        gate: Gate,
        tcp: list[socket.socket],
        unix: list[socket.socket],
        *,
        certificate: str = "",
        key: str = "",
        client_ca: str = "",
    ) -> None:
        self._listeners = [
            (self._config(app, gate, certificate, key, client_ca), tcp),
            (self._config(app, gate, "", ""), unix),
        ]
        self._servers: list[uvicorn.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def _config(app: Any, gate: Gate, certificate: str, key: str, client_ca: str = "") -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            loop="none",
            http=functools.partial(BoundedProtocol, gate=gate),  # type: ignore[arg-type]
            ws=BoundedSocket,
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=certificate or None,
            ssl_keyfile=key or None,
            ssl_ca_certs=client_ca or None,
            ssl_cert_reqs=ssl.CERT_OPTIONAL if client_ca else ssl.CERT_NONE,
        )
        try:
            config.load()
        except OSError as error:  # of the TLS library, which names no file
            raise BadCertificate(
                certificate=certificate, key=key or "in it", reason=error.strerror or error
            ) from error
        return config

    async def start(self) -> None:
        """Begin to answer; returns when connections are accepted."""
        for config, sockets in self._listeners:
            if not sockets:
                continue
            server = _Server(config)
            self._servers.append(server)
            self._tasks.append(asyncio.create_task(server.serve(sockets=sockets)))
        while not all(server.started for server in self._servers):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Finish the requests that are under way, and close."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._tasks)
