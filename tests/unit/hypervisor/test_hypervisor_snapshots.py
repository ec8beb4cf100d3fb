"""The operation ``snapshot`` on a node: of machines that run and that are off, interrupted, refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable, Power
from pileus.drivers.qemu_img.images import qcow2_size
from pileus.wire.hypervisor import PendingOperation

from .bench import Bench
from .test_hypervisor_agent import ONE, booted, play

__all__ = ["play"]

WAYS: dict[str, Any] = {"image_id": "i1", "upload": "/image/i1?ticket=u", "download": "/image/i1?ticket=t"}


def left(bench: Bench) -> list[str]:
    """Copies that still lie about."""
    return [path.name for path in Path(bench.node.instances, ONE).glob("*snapshot*")]


@pytest.mark.parametrize("wanted", ["running", "stopped", "paused", "suspended"])
def test_a_machine_becomes_an_image(play: Callable[..., None], wanted: str) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, wanted=wanted)
        await bench.settled()
        before = await bench.powers()
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        assert len(bench.server.images["i1"]) > 0
        assert bench.server.uploads == ["i1"]
        await bench.settled()
        assert left(bench) == []
        assert await bench.powers() == before
        steps = [one.name for one in bench.server.steps[ONE]]
        assert steps.count("operation.snapshot") == 1

    play(story)


def test_one_that_is_off_is_read_from_its_disk(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, wanted="stopped")
        await bench.settled()
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert qcow2_size(bench.server.images["i1"]) == 1 << 30

    play(story)


def test_one_that_goes_off_meanwhile_is_copied_all_the_same(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)

        async def copy(*_: Any, **__: Any) -> None:
            bench.hypervisor.power_off(ONE)
            raise HypervisorFailed("copy_disk", "the guest is gone")

        bench.hypervisor.copy_disk = copy  # type: ignore[method-assign]
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        assert qcow2_size(bench.server.images["i1"]) == 1 << 30

    play(story)


def test_what_can_not_be_copied_is_told_and_leaves_nothing(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["copy_disk"] = HypervisorFailed("copy_disk", "No space left on device")
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error == "No space left on device"
        assert bench.server.uploads == []
        await bench.settled()
        assert left(bench) == []
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_what_the_server_refuses_is_told_and_leaves_nothing(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.refuses_uploads = 413
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert "413" in (bench.server.operations["o1"].error or "")
        await bench.settled()
        assert left(bench) == []

    play(story)


def test_an_answer_that_was_not_heard_is_asked_for(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.forgets_to_answer = True
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        assert bench.server.uploads == ["i1", "i1"]

    play(story)


def test_a_killed_agent_brings_what_it_had_copied(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["copy_disk"] = HypervisorUnavailable("copy_disk", "libvirtd restarts")
        bench.server.operate(ONE, "o1", "snapshot", **WAYS)
        await bench.until(lambda: "copy_disk" not in bench.hypervisor.faults)
        await bench.kill()
        await bench.start()
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        await bench.settled()
        assert left(bench) == []

    play(story)


def test_a_machine_is_switched_off_before_its_last_image_is_made(play: Callable[..., None]) -> None:
    """Shelving: off is wanted, and the copy asked for, in one."""

    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        order = PendingOperation("o1", "snapshot", WAYS)
        bench.server.change(ONE, wanted="stopped", operations=(order,))
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        assert qcow2_size(bench.server.images["i1"]) == 1 << 30, "it was read from the disk"
        assert await bench.powers() == {ONE: Power.OFF}

    play(story)


def test_a_guest_is_interrupted(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.operate(ONE, "o1", "crash_dump")
        await bench.until(lambda: "o1" in bench.server.operations)
        assert bench.server.operations["o1"].error is None
        assert bench.hypervisor.interrupted == [ONE]
        bench.server.change(ONE, wanted="stopped")
        await bench.settled()
        bench.server.operate(ONE, "o2", "crash_dump")
        await bench.until(lambda: "o2" in bench.server.operations)
        assert "not running" in (bench.server.operations["o2"].error or "")

    play(story)
