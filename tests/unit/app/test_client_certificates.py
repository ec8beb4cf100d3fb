"""The TLS listener hands on the certificate that a client shows, and takes only those that its CA signed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from pathlib import Path
from typing import Any

from tests.certificates import make_certificate

from pileus.app.sections import LimitSection
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp
from pileus.web.client import Proxies
from pileus.web.client_certificate import EXTENSION, thumbprint


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    found = scope.get("extensions", {}).get(EXTENSION)
    body = thumbprint(found).encode() if found else b"none"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


async def _ask(port: int, ca: Path, own: tuple[Path, Path] | None) -> str:
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    if own is not None:
        context.load_cert_chain(*own)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return (await reader.read()).decode()
    finally:
        writer.close()


def test_the_listener_hands_on_certificates(tmp_path: Path):
    server_cert, server_key = make_certificate(tmp_path, "server")
    mine, strange = make_certificate(tmp_path, "client"), make_certificate(tmp_path, "strange")

    async def story() -> None:
        sock = listen_tcp("127.0.0.1:0")
        port = sock.getsockname()[1]
        http = HttpServer(
            _echo,
            Gate(LimitSection(), Proxies()),
            [sock],
            [],
            certificate=str(server_cert),
            key=str(server_key),
            client_ca=str(mine[0]),
        )
        await http.start()
        try:
            der = ssl.PEM_cert_to_DER_cert(mine[0].read_text())
            assert thumbprint(der) in await _ask(port, server_cert, mine)
            assert "none" in await _ask(port, server_cert, None)
            # TLS 1.3: the client is told of the refusal after its own part of the handshake
            try:
                answer = await _ask(port, server_cert, strange)
            except (ssl.SSLError, ConnectionError):
                answer = ""
            assert answer == ""
        finally:
            await http.stop()

    asyncio.run(asyncio.wait_for(story(), 60))


def test_thumbprints_are_those_that_keystonemiddleware_compares():
    """As ``oauth2_mtls_token`` works one out: of the PEM text that OpenSSL writes, with the padding."""
    der = b"a certificate, for what a digest cares"
    body = base64.b64encode(der).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    wanted = base64.urlsafe_b64encode(hashlib.sha256(pem.encode()).digest()).decode()
    assert thumbprint(der) == wanted and wanted.endswith("=")
