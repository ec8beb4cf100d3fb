"""Consoles of machines: the same questions to libvirt with QEMU and to the simulated hypervisor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.test_libvirt import Bench, bench, daemon, guest_disk, runner
from tests.rfb import Display

from pileus.core.streams import ByteStream
from pileus.drivers.libvirt.domain import DomainSpec
from pileus.drivers.libvirt.hypervisor import ConsoleMissing

__all__ = ["bench", "daemon", "runner"]

# Sends back what comes from the first serial port.
_ECHO = bytes.fromhex("bafd03eca80174fbbaf803eceeebf1")


def echoing(path: Path) -> None:
    guest_disk(path)
    path.write_bytes(_ECHO.ljust(510, b"\0") + path.read_bytes()[510:])


def running(bench: Bench, *, display: bool = True) -> DomainSpec:
    spec = bench.spec(display=display)
    echoing(Path(spec.disks[0].path))
    bench.run(bench.hypervisor.ensure_defined([spec]))
    bench.run(bench.hypervisor.start(spec.uuid))
    return spec


async def said_back(line: ByteStream, text: bytes) -> None:
    """Type until the text comes back: the guest may not be there yet."""
    found = b""

    async def read() -> None:
        nonlocal found
        while text not in found:
            data = await line.receive()
            assert data, found
            found += data

    reading = asyncio.create_task(read())
    for _ in range(100):
        await line.send(text)
        done, _ = await asyncio.wait([reading], timeout=0.3)
        if done:
            return reading.result()
    raise AssertionError(found)


def test_a_display_shows_a_picture(bench: Bench) -> None:
    spec = running(bench)

    async def look() -> None:
        for _ in range(2):
            stream = await bench.hypervisor.open_console(spec.uuid, "vnc")
            display = Display(stream)
            await display.open()
            assert display.width >= 320 and display.height >= 200
            assert len(await display.picture())
            await stream.close()
            await stream.close()

    bench.run(look())


def test_a_serial_line_is_somebodys(bench: Bench) -> None:
    spec = running(bench)

    async def talk() -> None:
        first = await bench.hypervisor.open_console(spec.uuid, "serial")
        await said_back(first, b"hello there")
        second = await bench.hypervisor.open_console(spec.uuid, "serial")
        while await first.receive():
            pass
        await said_back(second, b"and again")
        await bench.hypervisor.destroy(spec.uuid)
        while await second.receive():
            pass
        await second.close()

    bench.run(talk())


def test_what_has_no_console(bench: Bench) -> None:
    spec = running(bench, display=False)

    async def ask() -> None:
        with pytest.raises(ConsoleMissing):
            await bench.hypervisor.open_console(spec.uuid, "vnc")
        await bench.hypervisor.destroy(spec.uuid)
        for kind in ("vnc", "serial"):
            with pytest.raises(ConsoleMissing):
                await bench.hypervisor.open_console(spec.uuid, kind)  # type: ignore[arg-type]

    bench.run(ask())


def test_nothing_listens(bench: Bench) -> None:
    definition = bench.run(bench.hypervisor.definition(running(bench).uuid))
    assert "<listen type='none'" in definition.replace('"', "'")
    assert "port=" not in definition.partition("<graphics")[2].partition("</graphics>")[0].replace("'", '"')
