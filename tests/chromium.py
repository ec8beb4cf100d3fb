"""Chromium without a screen, driven by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
WHY_NOT = "" if PROGRAM else "Chromium is not installed (Debian's package chromium)"
STARTS_WITHIN_S, LOADS_WITHIN_S = 60.0, 60.0


class Page:
    """One open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.said: list[str] = []
        """What its scripts wrote to the console, and what went wrong there."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=LOADS_WITHIN_S)
            if message.get("id") == number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            if message.get("method") in (
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ):
                self.said.append(str(message["params"])[:1000])

    async def value(self, expression: str) -> Any:
        """What a piece of JavaScript comes to."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until a piece of JavaScript is true; give back what it is then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOADS_WITHIN_S):
                while not (found := await self.value(expression)):
                    await asyncio.sleep(0.2)
                return found
        shown = await self.value("document.body.innerText")
        raise AssertionError(f"{expression} is not so; the page shows {shown!r}, and said {self.said}")

    async def picture(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    async def press(self, text: str) -> None:
        """Type, a key at a time."""
        for letter in text:
            key = "Enter" if letter == "\n" else letter
            keys = {"key": key, "windowsVirtualKeyCode": 13 if letter == "\n" else ord(letter.upper())}
            typed = {"text": "\r" if letter == "\n" else letter}
            await self.call("Input.dispatchKeyEvent", type="keyDown", **keys, **typed)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **keys)


@contextlib.asynccontextmanager
async def page(address: str) -> AsyncIterator[Page]:
    """A browser of its own with this page."""
    folder = Path(tempfile.mkdtemp(prefix="plc-browser-"))
    browser = await asyncio.create_subprocess_exec(
        PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--window-size=900,700", "--remote-debugging-port=0", f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "DevToolsActivePort"
        async with asyncio.timeout(STARTS_WITHIN_S):
            while not (told.exists() and len(told.read_text().split()) == 2):
                await asyncio.sleep(0.1)
        port = told.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://127.0.0.1:{port}/json/new") as reply:
                target = await reply.json()
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26) as socket:
                found = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await found.call(f"{domain}.enable")
                await found.call("Page.navigate", url=address)
                yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            browser.terminate()
        await browser.wait()
        shutil.rmtree(folder, ignore_errors=True)
