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


def test_the_answer_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "kvm.json"
    asked = 0

    async def found(timeout_s: float) -> tuple[bool, str]:
        nonlocal asked
        asked += 1
        return False, "as the test says"

    monkeypatch.setattr(kvm, "_try", found)
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
