"""Whether KVM works is found out by starting a machine; here under TCG too, which always works."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from pileus.drivers.libvirt import kvm


@pytest.mark.real
def test_the_machine_that_is_tried_ends_as_it_should(tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("not installed: qemu-system-x86_64")
    disk = tmp_path / "disk"
    disk.write_bytes(kvm.boot_sector())
    works, reason = asyncio.run(kvm.start_machine(disk, "tcg", "max", 60))
    assert works, reason


@pytest.mark.real
def test_a_machine_that_hangs_is_killed(tmp_path: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("not installed: qemu-system-x86_64")
    disk = tmp_path / "disk"
    disk.write_bytes(b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa")  # jumps to itself for ever
    began = time.monotonic()
    works, reason = asyncio.run(kvm.start_machine(disk, "tcg", "max", 1))
    assert not works and "had not ended" in reason
    assert time.monotonic() - began < 10


FLAGS = "processor\t: 0\nflags\t\t: fpu vme {}sse\nbugs\t\t: hypervisor\n"


def on_metal(folder: Path) -> Path:
    """/proc/cpuinfo of a machine that is no virtual one."""
    file = folder / "cpuinfo"
    file.write_text(FLAGS.format(""))
    return file


def test_a_virtual_machine_is_known_by_its_processors() -> None:
    assert kvm.is_virtual(FLAGS.format("hypervisor "))
    assert not kvm.is_virtual(FLAGS.format("")), "flags alone count"
    assert not kvm.is_virtual("")


def test_nothing_is_tried_in_a_virtual_machine_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    async def works(timeout_s: float) -> tuple[bool, str]:
        tried.append(timeout_s)
        return True, "it ended"

    memory = tmp_path / "kvm.json"
    file = tmp_path / "cpuinfo"
    file.write_text(FLAGS.format("hypervisor "))
    monkeypatch.setattr(kvm, "_try", works)
    monkeypatch.setattr(kvm, "_PROCESSORS", file)
    monkeypatch.setattr(kvm, "_DEVICE", file)
    verdict = asyncio.run(kvm.probe_kvm(memory))
    assert (verdict.works, verdict.reason, tried) == (False, kvm.NESTED, [])
    assert kvm.recall_kvm(memory) == verdict
    assert asyncio.run(kvm.probe_kvm(memory, nested=True)).works
    assert len(tried) == 1
    assert asyncio.run(kvm.probe_kvm(memory)).works is False, "the setting was taken back"


def test_a_try_that_took_the_machine_down_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "kvm.json"
    boot = ["boot-1"]

    async def down(timeout_s: float) -> tuple[bool, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(kvm, "_PROCESSORS", on_metal(tmp_path))
    monkeypatch.setattr(kvm, "_machine", lambda: f"{boot[0]} 1 1")
    monkeypatch.setattr(kvm, "_try", down)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(kvm.probe_kvm(memory))
    assert kvm.recall_kvm(memory) is None

    async def works(timeout_s: float) -> tuple[bool, str]:
        return True, "it ended"

    monkeypatch.setattr(kvm, "_try", works)
    for boot[0] in ("boot-2", "boot-3"):
        verdict = asyncio.run(kvm.probe_kvm(memory))
        assert (verdict.works, verdict.reason) == (False, kvm.FROZE)
    memory.unlink()
    boot[0] = "boot-1"
    with pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(kvm, "_try", down)
        asyncio.run(kvm.probe_kvm(memory))
    monkeypatch.setattr(kvm, "_try", works)
    assert asyncio.run(kvm.probe_kvm(memory)).works, "only the program went down, not the machine"


def test_the_answer_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "kvm.json"
    asked = 0

    async def found(timeout_s: float) -> tuple[bool, str]:
        nonlocal asked
        asked += 1
        return False, "as the test says"

    monkeypatch.setattr(kvm, "_try", found)
    monkeypatch.setattr(kvm, "_PROCESSORS", on_metal(tmp_path))
    first = asyncio.run(kvm.probe_kvm(memory))
    assert (first.works, first.reason, first.remembered) == (False, "as the test says", False)
    assert asyncio.run(kvm.probe_kvm(memory)) == msgspec.structs.replace(first, remembered=True)
    assert asked == 1
    memory.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(first, machine="another boot", works=True))
    )
    assert asyncio.run(kvm.probe_kvm(memory)).works is False
    memory.write_bytes(b"half a f")
    assert asyncio.run(kvm.probe_kvm(memory)).works is False
    assert asked == 3
