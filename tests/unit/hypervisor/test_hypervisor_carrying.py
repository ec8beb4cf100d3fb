"""Disks that go to another host, grow on their own, and come back: on a node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pileus.drivers.libvirt.hypervisor import HypervisorUnavailable, Power
from pileus.drivers.qemu_img.images import ImageFailed, qcow2_size
from pileus.wire.hypervisor import Carried, HypervisorState, PendingOperation

from .bench import Bench
from .test_hypervisor_agent import ONE, booted, play

__all__ = ["play"]

GIB = 1 << 30
DISKS: Any = {
    "disks": [
        {"name": "root", "upload": "/image/r?ticket=u", "download": "/image/r?ticket=t"},
        {"name": "ephemeral", "upload": "/image/e?ticket=u", "download": "/image/e?ticket=t"},
    ]
}


def folder(bench: Bench) -> Path:
    return Path(bench.node.instances, ONE)


def files(bench: Bench) -> set[str]:
    return {path.name for path in folder(bench).glob("*") if path.name.startswith(("disk", "carry"))}


async def size(bench: Bench, name: str = "disk") -> int:
    return (await bench.images.info(folder(bench) / name, "qcow2")).size


async def carry(bench: Bench) -> None:
    order = PendingOperation("o1", "carry", DISKS)
    bench.server.change(ONE, wanted="stopped", operations=(order,))
    await bench.until(lambda: "o1" in bench.server.operations)


def keep(bench: Bench, server_id: str) -> None:
    """The server is elsewhere; what is here stays, if it is one of ours."""
    genuine = bench.server._hypervisor_state

    def state(request: Any) -> HypervisorState:
        said = genuine(request)
        return HypervisorState(said.position, said.servers, said.leaving, (server_id,))

    bench.server._hypervisor_state = state  # type: ignore[method-assign]
    bench.server.delete(ONE)


def test_disks_are_brought_by_a_machine_that_is_off_and_stay_until_nobody_wants_them(
    play: Callable[..., None],
) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, ephemeral_gib=2, generation=2)
        await bench.settled()
        await carry(bench)
        assert bench.server.operations["o1"].error is None
        assert qcow2_size(bench.server.images["r"]) == GIB
        assert qcow2_size(bench.server.images["e"]) == 2 * GIB
        assert await bench.powers() == {ONE: Power.OFF}
        await bench.settled()
        assert not [name for name in files(bench) if name.startswith("carry")]
        genuine = vars(bench.server).get("_hypervisor_state")
        before = bench.server.servers[ONE]
        keep(bench, ONE)
        await bench.settled()
        await bench.full_pass()
        assert {"disk", "disk.eph0"} <= files(bench) and await bench.powers() == {ONE: Power.OFF}
        # It comes back: the machine that is here is the one that is wanted.
        assert genuine is None
        del bench.server._hypervisor_state
        marked = folder(bench) / "disk"
        inode = marked.stat().st_ino
        bench.server.put(
            replace(before, generation=4, wanted="running", operations=(), carried=Carried("back"))
        )
        await bench.settled()
        assert await bench.powers() == {ONE: Power.RUNNING}
        assert marked.stat().st_ino == inode
        keep(bench, "00000000-0000-4000-8000-00000000ffff")
        await bench.settled()
        assert not folder(bench).exists(), "who keeps another one's does not keep it"

    play(story)


def test_a_machine_is_made_of_what_was_brought_and_lies_in_larger_disks(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        root = bench.server.image("root", b"what a guest wrote")
        other = bench.server.image("other", b"its second disk")
        bench.server.change(
            ONE, generation=2, root_gib=3, ephemeral_gib=2, carried=Carried("brought", root, other)
        )
        await bench.settled()
        assert (await size(bench), await size(bench, "disk.eph0")) == (3 * GIB, 2 * GIB)
        info = await bench.images.info(folder(bench) / "disk", "qcow2")
        assert info.backing is not None and root.os_hash_value in info.backing
        bench.server.change(ONE, carried=None)
        await bench.full_pass()
        assert Path(info.backing).exists(), "it is lain on"
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


@pytest.mark.parametrize("end", ["confirmed", "taken back"])
def test_on_its_own_host_a_machine_grows(play: Callable[..., None], end: str) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        inode = (folder(bench) / "disk").stat().st_ino
        bench.server.change(ONE, generation=2, root_gib=3, vcpus=2, carried=Carried("grown"))
        await bench.settled()
        assert files(bench) - {"disk.config"} == {"disk", "disk.kept"}
        assert await size(bench) == 3 * GIB
        running = bench.hypervisor._machines[ONE].running
        assert running is not None and running.vcpus == 2
        await bench.full_pass()
        assert "disk.kept" in files(bench)
        if end == "confirmed":
            bench.server.change(ONE, carried=None)
            await bench.settled()
            assert await size(bench) == 3 * GIB
        else:
            bench.server.change(ONE, generation=3, root_gib=1, vcpus=1, carried=Carried("back"))
            await bench.settled()
            assert await size(bench) == GIB
            assert (folder(bench) / "disk").stat().st_ino == inode
        assert files(bench) - {"disk.config"} == {"disk"}
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_one_that_can_not_grow_keeps_its_disk(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        inode = (folder(bench) / "disk").stat().st_ino

        async def convert(*_: Any, **__: Any) -> None:
            raise ImageFailed("convert", "No space left on device")

        genuine, bench.images.convert = bench.images.convert, convert  # type: ignore[method-assign]
        bench.server.change(ONE, generation=2, root_gib=3, carried=Carried("grown"))
        await bench.until(lambda: bench.server.states[ONE].error is not None)
        assert "No space" in (bench.server.states[ONE].error or "")
        assert (folder(bench) / "disk.kept").exists()
        bench.images.convert = genuine  # type: ignore[method-assign]
        bench.server.change(ONE, generation=3, root_gib=1, carried=Carried("back"))
        await bench.settled()
        assert (folder(bench) / "disk").stat().st_ino == inode
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_a_killed_agent_goes_on_growing(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["start"] = HypervisorUnavailable("start", "libvirtd restarts")
        bench.server.change(ONE, generation=2, root_gib=3, carried=Carried("grown"))
        await bench.until(lambda: "start" not in bench.hypervisor.faults)
        await bench.kill()
        await bench.start()
        await bench.settled()
        assert files(bench) - {"disk.config"} == {"disk", "disk.kept"}
        assert await size(bench) == 3 * GIB
        assert await bench.powers() == {ONE: Power.RUNNING}

    play(story)


def test_what_is_to_come_back_and_is_not_here_is_told(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        (folder(bench) / "disk").unlink()
        bench.server.change(ONE, generation=2, carried=Carried("back"))
        await bench.until(lambda: bench.server.states[ONE].error is not None)
        assert "missing" in (bench.server.states[ONE].error or "")

    play(story)
