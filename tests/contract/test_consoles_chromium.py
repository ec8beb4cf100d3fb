"""Consoles as a person sees them: the pages in Chromium, the server between, and the machine behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests import chromium
from tests.api.compute.cloud import Cloud, cloud
from tests.contract.test_libvirt import Bench, bench, daemon, runner
from tests.contract.test_libvirt_consoles import running

from pileus.app.sections import LimitSection
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp
from pileus.core.streams import ByteStream
from pileus.web.assets import has_assets
from pileus.web.client import Proxies

__all__ = ["bench", "daemon", "runner"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(chromium.WHY_NOT), reason=chromium.WHY_NOT),
    pytest.mark.skipif(not has_assets("novnc"), reason="noVNC is not fetched (lock/fetch-assets)"),
]

COLOURS = """(() => {
  const canvas = document.querySelector("#console canvas");
  if (!canvas || !canvas.width) return 0;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) seen.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]);
  return seen.size;
})()"""
"""How many colours the display shows."""

Look = Callable[[chromium.Page], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(folder: Path, bench: Bench, uuid: str, kind: str) -> AsyncIterator[tuple[Cloud, str]]:
    """A cloud that has a server with the consoles of this machine, and the address of one of them."""

    async def open_stream(host: str, scope: str, question: str, **asked: Any) -> ByteStream:
        return await bench.hypervisor.open_console(uuid, asked["console"])

    async with cloud(f"sqlite:///{folder / 'cloud.db'}") as api:
        api.streams.instead = open_stream
        await api.a_network()
        server = await api.boot(await api.host(), "web")
        protocol = {"novnc": "vnc", "serial": "serial"}[kind]
        body = {"remote_console": {"protocol": protocol, "type": kind}}
        reply = await api("POST", f"/servers/{server['id']}/remote-consoles", body)
        tcp = listen_tcp("127.0.0.1:0")
        http = HttpServer(api.app, Gate(LimitSection(), Proxies()), [tcp], [])
        await http.start()
        try:
            address = urlsplit(reply.json["remote_console"]["url"])
            host = f"127.0.0.1:{tcp.getsockname()[1]}"
            yield api, address._replace(scheme="http", netloc=host).geturl()
        finally:
            await http.stop()


def shown(bench: Bench, folder: Path, uuid: str, kind: str, look: Look) -> None:
    async def story() -> None:
        async with served(folder, bench, uuid, kind) as (_, address), chromium.page(address) as page:
            try:
                await look(page)
            finally:
                (folder / f"{kind}.png").write_bytes(await page.picture())

    bench.run(story())


def test_a_display_in_the_browser(bench: Bench, tmp_path: Path) -> None:
    spec = running(bench)

    async def look(page: chromium.Page) -> None:
        await page.until(f"{COLOURS} >= 2")
        assert "Connecting" not in await page.value("document.getElementById('status').textContent")
        await bench.hypervisor.destroy(spec.uuid)
        await page.until("document.getElementById('status').textContent.includes('closed')")

    shown(bench, tmp_path, spec.uuid, "novnc", look)


def test_a_serial_line_in_the_browser(bench: Bench, tmp_path: Path) -> None:
    spec = running(bench)
    screen = "Array.from(document.querySelectorAll('.xterm-rows > div'), (row) => row.textContent).join('')"

    async def look(page: chromium.Page) -> None:
        await page.until("document.getElementById('status').textContent.startsWith('Connected')")
        for _ in range(20):  # the machine may not listen yet
            await page.press("hello")
            await asyncio.sleep(0.5)
            if "hello" in await page.value(screen):
                return
        raise AssertionError(await page.value(screen))

    shown(bench, tmp_path, spec.uuid, "serial", look)
