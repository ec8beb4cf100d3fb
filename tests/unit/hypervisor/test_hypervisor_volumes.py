"""Volumes of machines on a host: they come, grow and go while the machine runs; what fails is told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pileus.drivers.libvirt.domain import Disk
from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable
from pileus.drivers.libvirt.sources import IscsiSource, NbdSource, RbdSource
from pileus.host.hypervisor.machine import domain_spec
from pileus.host.hypervisor.records import Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.volumes import secrets
from pileus.wire.connections import VolumeConnection
from pileus.wire.hypervisor import Carried, ServerVolume

from .bench import Bench, details
from .test_hypervisor_agent import ONE, booted, play, steps

__all__ = ["play"]


def uid(number: int) -> str:
    return str(uuid.UUID(int=0xF000 + number))


def volume(number: int, **values: Any) -> ServerVolume:
    connection = VolumeConnection("file", disk_format="qcow2", path=f"/pool/{number}/1.qcow2")
    return replace(ServerVolume(uid(number), connection, size_gib=1), **values)


def disks(bench: Bench) -> dict[str, Disk]:
    """The disks of the machine that runs, by their names in it."""
    running = bench.hypervisor._machines[ONE].running
    return {disk.target: disk for disk in running.disks} if running is not None else {}


def has(bench: Bench, *numbers: int) -> bool:
    report = bench.server.states.get(ONE)
    return report is not None and report.volumes == tuple(sorted(map(uid, numbers)))


def is_at(bench: Bench, generation: int) -> bool:
    report = bench.server.states.get(ONE)
    return report is not None and report.in_place and report.generation == generation


def test_volumes_come_grow_and_go(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, volumes=(volume(1, device="vdc"), volume(2)))
        await bench.until(lambda: has(bench, 1, 2))
        found = disks(bench)
        assert (found["vdc"].serial, found["vdb"].serial) == (uid(1), uid(2))
        assert (found["vdc"].path, found["vdc"].format) == ("/pool/1/1.qcow2", "qcow2")
        bench.server.change(ONE, volumes=(volume(1, device="vdc", size_gib=5), volume(2)))
        await bench.until(lambda: "volume.grow" in steps(bench, ONE))
        await bench.settled()
        bench.server.change(ONE, volumes=(volume(1, device="vdc", size_gib=5),))
        await bench.until(lambda: has(bench, 1))
        assert "vdb" not in disks(bench)
        await bench.kill()
        await bench.start()
        await bench.settled()
        assert steps(bench, ONE).count("volume.attach") == 2, "nothing is done twice"
        bench.server.change(ONE, volumes=())
        await bench.until(lambda: has(bench))
        assert "domain.stop" not in steps(bench, ONE)

    play(story)


def test_a_machine_that_is_off_gets_its_volumes(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, wanted="stopped")
        await bench.until(lambda: bench.server.states[ONE].power_state == 4)
        await bench.settled()
        bench.server.change(ONE, volumes=(volume(1),))
        await bench.until(lambda: has(bench, 1))
        bench.server.change(ONE, wanted="running")
        await bench.until(lambda: uid(1) in {disk.serial for disk in disks(bench).values()})

    play(story)


def test_a_machine_starts_from_a_volume(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        bench.server.put(details(1, volumes=(volume(1, boot=True), volume(2)), ephemeral_gib=1))
        await bench.until(lambda: has(bench, 1, 2))
        found = disks(bench)
        assert {name: found[name].serial for name in ("vda", "vdb", "vdc")} == {
            "vda": uid(1),
            "vdb": "ephemeral0",
            "vdc": uid(2),
        }
        assert found["vda"].boot == 1
        folder = Path(bench.node.instances, ONE)
        assert not (folder / "disk").exists()
        await bench.settled()
        bench.server.change(ONE, wanted="stopped")
        await bench.until(lambda: bench.server.states[ONE].power_state == 4)
        await bench.settled()
        bench.server.change(ONE, wanted="running")
        await bench.until(lambda: bool(disks(bench)))

    play(story)


def test_what_fails_is_told_and_the_machine_runs_on(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.hypervisor.faults["attach_disk"] = HypervisorFailed("attach_disk", "no such file")
        bench.server.change(ONE, volumes=(volume(1),))
        await bench.until(lambda: bench.server.states[ONE].refused == {uid(1): "no such file"})
        await bench.settled()
        assert bench.server.states[ONE].in_place
        assert steps(bench, ONE).count("volume.attach") == 1, "it is not tried again and again"
        bench.server.change(ONE, volumes=())
        await bench.until(lambda: bench.server.states[ONE].refused == {})
        bench.server.change(ONE, volumes=(volume(1),))
        await bench.until(lambda: has(bench, 1))

    play(story)


@pytest.mark.parametrize("after", [True, False])
def test_the_agent_ends_in_between(play: Callable[..., None], after: bool) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        attach = bench.hypervisor.attach_disk

        async def interrupted(key: str, disk: Disk) -> None:
            if after:
                await attach(key, disk)
            raise HypervisorUnavailable("attach_disk", "the connection is lost")

        bench.hypervisor.attach_disk = interrupted  # type: ignore[method-assign]
        bench.server.change(ONE, volumes=(volume(1),))
        await bench.until(lambda: "volume.attach" in steps(bench, ONE))
        await bench.kill()
        bench.hypervisor.attach_disk = attach  # type: ignore[method-assign]
        await bench.start()
        await bench.until(lambda: has(bench, 1))

    play(story)


def test_a_guest_that_holds_on_is_asked_again(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        await booted(bench, 1)
        bench.server.change(ONE, volumes=(volume(1),))
        await bench.until(lambda: has(bench, 1))
        bench.hypervisor.deaf.add(ONE)
        bench.server.change(ONE, volumes=())
        await bench.until(lambda: "volume.detach" in steps(bench, ONE))
        assert has(bench, 1), "it has it still"
        bench.hypervisor.deaf.clear()
        await bench.until(lambda: has(bench))

    play(story)


def test_secrets_go_with_the_volumes_that_needed_them(play: Callable[..., None]) -> None:
    def remote(number: int, name: str = "iqn.x") -> ServerVolume:
        values = {"port": 3260, "lun": 1, "username": "u", "password": "hush"}
        return volume(number, connection=VolumeConnection("iscsi", address="192.0.2.1", name=name, **values))

    async def story(bench: Bench) -> None:
        told = bench.hypervisor.secrets
        await booted(bench, 1)
        bench.server.change(ONE, volumes=(remote(1), remote(2)))
        await bench.until(lambda: has(bench, 1, 2))
        assert len(told) == 2
        await bench.kill()
        await bench.start()
        bench.server.change(ONE, volumes=(remote(2),))
        await bench.until(lambda: has(bench, 2))
        await bench.until(lambda: len(told) == 1)
        # made anew, and opened elsewhere
        before = set(told)
        bench.server.change(ONE, generation=2, volumes=(remote(2, "iqn.y"),))
        await bench.until(
            lambda: bench.server.states[ONE].generation == 2 and bench.server.states[ONE].in_place
        )
        await bench.until(lambda: len(told) == 1 and not before & set(told))
        bench.server.delete(ONE)
        await bench.until(lambda: not told)

    play(story)


def test_a_machine_on_a_volume_becomes_larger_and_goes_back(play: Callable[..., None]) -> None:
    async def story(bench: Bench) -> None:
        root = volume(1, boot=True)
        bench.server.put(details(1, volumes=(root,), ephemeral_gib=1, image=None))
        await bench.until(lambda: is_at(bench, 1))
        folder = Path(bench.node.instances, ONE)
        for generation, kind, gib in ((2, "grown", 2), (3, "back", 1)):
            bench.server.change(
                ONE, generation=generation, carried=Carried(kind), ephemeral_gib=gib, root_gib=5
            )
            await bench.until(lambda generation=generation: is_at(bench, generation))
            assert bench.server.states[ONE].error is None
            assert disks(bench)["vda"].serial == uid(1)
            assert not (folder / "disk").exists()
            assert (folder / "disk.eph0.kept").exists() == (kind == "grown")

    play(story)


def test_how_each_kind_is_opened(tmp_path: Path) -> None:
    nbd = VolumeConnection("nbd", address="192.0.2.1", port=10809, name="v", certificate="some")
    iscsi = VolumeConnection(
        "iscsi", address="192.0.2.1", port=3260, name="iqn.x", lun=1, username="u", password="hush"
    )
    rbd = VolumeConnection(
        "rbd", name="p/i", monitors=("192.0.2.1:6789", "[2001:db8::1]:6789"), username="u", password="key"
    )
    block = VolumeConnection("block", path="/dev/vg/v")
    volumes = tuple(replace(volume(n), connection=one) for n, one in enumerate((nbd, iscsi, rbd, block)))
    server = details(1, volumes=volumes)
    found = domain_spec(server, Places(tmp_path), NodeSettings(instances=tmp_path)).disks[1:-1]
    first, second, third = (disk.network for disk in found[:3])
    assert first == NbdSource(address="192.0.2.1", port=10809, name="v", tls_name="192.0.2.1")
    assert isinstance(second, IscsiSource) and (second.target, second.lun) == ("iqn.x", 1)
    assert isinstance(third, RbdSource) and third.monitors[1] == ("[2001:db8::1]", 6789)
    assert (found[3].path, found[3].block, found[3].network) == ("/dev/vg/v", True, None)
    told = list(secrets(volumes).values())
    assert [one.uuid for one in told] == [second.secret, third.secret]
    assert [one.value for one in told] == [b"hush", b"key"]
    assert "hush" not in repr(found)
    # A node that says the names of another one's volume does not change that one's secret.
    (other,) = secrets([replace(volume(9), connection=replace(iscsi, password="other"))]).values()
    assert other.uuid != second.secret and other.usage != told[0].usage
