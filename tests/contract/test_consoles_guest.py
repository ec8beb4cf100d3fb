"""The screen of a guest with an operating system in Chromium: its login is seen, it hears the keyboard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import chromium
from tests.contract.test_consoles_chromium import COLOURS, shown
from tests.contract.test_libvirt import Bench
from tests.contract.test_libvirt_guest import bench, guest, started

from pileus.drivers.libvirt.hypervisor import Power
from pileus.web.assets import has_assets

__all__ = ["bench"]

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(bool(chromium.WHY_NOT), reason=chromium.WHY_NOT),
    pytest.mark.skipif(not has_assets("novnc"), reason="noVNC is not fetched (lock/fetch-assets)"),
]


def test_a_login_is_seen_and_hears_the_keyboard(bench: Bench, tmp_path: Path) -> None:
    spec = guest(bench, display=True)
    bench.run(bench.hypervisor.ensure_defined([spec]))
    bench.run(bench.hypervisor.start(spec.uuid))
    started(bench, spec)

    async def look(page: chromium.Page) -> None:
        await page.until(f"{COLOURS} >= 2")
        await page.value("window.pileusConsole.focus()")
        await page.press("\nuname\n")
        await asyncio.sleep(1)
        (tmp_path / "login.png").write_bytes(await page.picture())
        await page.press("\npoweroff\n")  # the guest is logged in as root on its screen
        await page.until("document.getElementById('status').textContent.includes('closed')")

    shown(bench, tmp_path, spec.uuid, "novnc", look)
    assert bench.power(spec) is Power.OFF
