"""The operations ``rescue`` and ``unrescue`` on a node: disks and their order, power, failures, a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable, Power
from pileus.wire.hypervisor import PendingOperation, Rescue

from .bench import Bench
from .test_hypervisor_agent import ONE, booted, play

__all__ = ["play"]


def disks(bench: Bench) -> list[tuple[str, str, int | None]]:
    """Serial, name and boot order of each disk of the running machine, without the config drive."""
    running = bench.hypervisor._machines[ONE].running
    assert running is not None
    return [(d.serial, d.target, d.boot) for d in running.disks if d.serial != "config-drive"]


async def rescue(bench: Bench, **how: Any) -> None:
    image = bench.server.image("rescue", b"a rescue image")
    orders = (PendingOperation("o1", "rescue"),)
    bench.server.change(ONE, rescue=Rescue(image, **how), wanted="running", operations=orders)
    await bench.until(lambda: "o1" in bench.server.operations)


def file(bench: Bench) -> Path:
    return Path(bench.node.instances, ONE, "disk.rescue")


@pytest.mark.parametrize("before", ["running", "stopped"])
def test_it_starts_from_the_rescue_image_and_then_from_its_own(
    play: Callable[..., None], before: str
) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, wanted=before)
        await bench.settled()
        await rescue(bench)
        assert bench.server.operations["o1"].error is None
        await bench.settled()
        assert disks(bench) == [("rescue", "vda", 1), ("root", "vdb", None)]
        assert await bench.powers() == {ONE: Power.RUNNING}
        # The order is over; what the server says of the machine stays.
        bench.server.change(ONE, operations=())
        await bench.full_pass()
        assert disks(bench)[0][0] == "rescue"
        bench.server.operate(ONE, "o2", "unrescue")
        await bench.until(lambda: "o2" in bench.server.operations)
        bench.server.change(ONE, rescue=None, operations=())
        await bench.settled()
        assert bench.server.operations["o2"].error is None
        assert disks(bench) == [("root", "vda", 1)]
        assert await bench.powers() == {ONE: Power.RUNNING}
        assert not file(bench).exists()

    play(story)


def test_the_image_of_a_rescue_is_kept_while_it_is_lain_on(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        def cached() -> int:
            return len([one for one in (bench.folder / "images").iterdir() if one.is_file()])

        await booted(bench, 1)
        before = cached()
        await rescue(bench)
        await bench.settled()
        await bench.full_pass()
        assert cached() == before + 1, "also where images are kept for no time"
        bench.server.operate(ONE, "o2", "unrescue")
        await bench.until(lambda: "o2" in bench.server.operations)
        bench.server.change(ONE, rescue=None, operations=())
        await bench.settled()
        await bench.full_pass()
        assert cached() == before

    play(story, image_keep_s=0.0)


def test_a_stable_rescue_leaves_disks_where_they_are(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        await rescue(bench, stable=True, device="cdrom", bus="sata")
        assert disks(bench) == [("root", "vda", None), ("rescue", "sda", 1)]
        running = bench.hypervisor._machines[ONE].running
        assert running is not None
        (drive,) = (disk for disk in running.disks if disk.serial == "rescue")
        assert (drive.device, drive.read_only) == ("cdrom", True)

    play(story)


def test_one_that_can_not_be_rescued_is_as_it_was(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["start"] = HypervisorFailed("start", "no such bus")
        await rescue(bench)
        assert bench.server.operations["o1"].error == "no such bus"
        bench.server.change(ONE, rescue=None, operations=())
        await bench.settled()
        assert disks(bench) == [("root", "vda", 1)]
        assert await bench.powers() == {ONE: Power.RUNNING}
        assert not file(bench).exists()

    play(story)


def test_an_image_that_is_gone_is_told(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.operate(ONE, "o1", "rescue")
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error == "The rescue image is gone."
        await bench.settled()
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_a_killed_agent_finishes_a_rescue(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["start"] = HypervisorUnavailable("start", "libvirtd restarts")
        image = bench.server.image("rescue", b"a rescue image")
        bench.server.change(ONE, rescue=Rescue(image))
        bench.server.operate(ONE, "o1", "rescue")
        await bench.until(lambda: "start" not in bench.hypervisor.faults)
        await bench.kill()
        await bench.start()
        await bench.until(lambda: "o1" in bench.server.operations)
        await bench.settled()
        assert bench.server.operations["o1"].error is None
        assert disks(bench)[0] == ("rescue", "vda", 1)

    play(story)
