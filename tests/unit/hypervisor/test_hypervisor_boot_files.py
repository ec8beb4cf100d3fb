"""A machine that is started with a kernel and ramdisk: they are its own, whatever becomes of the images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pileus.drivers.libvirt.hypervisor import Power
from pileus.wire.hypervisor import Hardware, ImageSource, ServerDetails

from .bench import Bench
from .test_hypervisor_agent import ONE, details, in_place, play

__all__ = ["play"]


def files(bench: Bench) -> dict[str, bytes]:
    folder = Path(bench.node.instances, ONE)
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name in ("kernel", "ramdisk")
    }


def raw(bench: Bench, name: str, content: bytes) -> ImageSource:
    return msgspec.structs.replace(bench.server.image(name, content), disk_format="raw")


def details_with(bench: Bench, *names: str, **more: Any) -> ServerDetails:
    """One whose image names these; ``more`` are changes of what the server says."""
    images = {name: raw(bench, name, name.encode()) for name in names}
    hardware = Hardware(**{f"{name}_id": image.image_id for name, image in images.items()})
    return msgspec.structs.replace(details(1), hardware=hardware, **{**images, **more})


def test_its_files_are_its_own(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        bench.server.put(details_with(bench, "kernel", "ramdisk"))
        await bench.until(lambda: bench.server.states.get(ONE) == in_place(ONE))
        await bench.settled()
        assert files(bench) == {"kernel": b"kernel", "ramdisk": b"ramdisk"}
        assert {path.stat().st_mode & 0o777 for path in Path(bench.node.instances, ONE).glob("[kr]*")} == {
            0o600
        }
        running = bench.hypervisor._machines[ONE].running
        assert running is not None
        assert (Path(running.kernel).name, Path(running.ramdisk).name) == ("kernel", "ramdisk")
        # The images go: it starts as before, also after a restart of the host.
        bench.server.change(ONE, kernel=None, ramdisk=None, wanted="stopped")
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, 4))
        bench.server.change(ONE, wanted="running")
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE))
        assert await bench.powers() == {ONE: Power.RUNNING}
        # Built anew without a kernel it has none.
        bench.server.change(ONE, hardware=Hardware(), generation=2)
        await bench.until(lambda: bench.server.states[ONE] == in_place(ONE, generation=2))
        assert files(bench) == {}

    play(story)


def test_one_whose_kernel_is_gone_says_so(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        bench.server.put(details_with(bench, "kernel", kernel=None))
        await bench.until(lambda: ONE in bench.server.states)
        await bench.settled()
        assert "kernel's image" in (bench.server.states[ONE].error or "")
        assert Power.RUNNING not in (await bench.powers()).values()
        bench.server.delete(ONE)
        await bench.settled()
        assert await bench.powers() == {}

    play(story)
