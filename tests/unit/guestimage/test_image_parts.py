"""Archives, partition tables, kernel modules and console lines: values in, values out."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

import pytest

from pileus.app.commands import image
from pileus.drivers.guestimage import CannotBuildImage, build, build_image
from pileus.drivers.guestimage.console import Said, said
from pileus.drivers.guestimage.contents import COMMAND_LINE
from pileus.drivers.guestimage.disk import MIB, Partition, master_boot_record
from pileus.drivers.guestimage.kernel import Modules
from pileus.drivers.guestimage.tree import Tree, newc, stage


def read_newc(archive: bytes) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, owner, time and content by path."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = archive[at + 110 : at + 110 + numbers[11] - 1].decode()
        data = at + -(-(110 + numbers[11]) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (numbers[1], numbers[2], numbers[5], archive[data : data + numbers[6]])
        at = data + -(-numbers[6] // 4) * 4


def a_tree() -> Tree:
    tree = Tree()
    tree.file("bin/busybox", b"#!", 0o755)
    tree.link("bin/sh", "busybox")
    tree.folder("home/someone", 0o750, owner=1000)
    return tree


def test_an_archive_holds_what_the_tree_holds_with_folders_first() -> None:
    archive = newc(a_tree(), epoch=7)
    assert len(archive) % 4 == 0
    found = read_newc(archive)
    assert list(found) == ["bin", "bin/busybox", "bin/sh", "home", "home/someone"]
    assert found["bin"] == (stat.S_IFDIR | 0o755, 0, 7, b"")
    assert found["bin/busybox"] == (stat.S_IFREG | 0o755, 0, 7, b"#!")
    assert found["bin/sh"] == (stat.S_IFLNK | 0o777, 0, 7, b"busybox")
    assert found["home/someone"] == (stat.S_IFDIR | 0o750, 1000, 7, b"")


def test_a_link_gives_way_to_a_file() -> None:
    tree = a_tree()
    tree.link("bin/busybox", "elsewhere")
    assert tree.nodes["bin/busybox"].content == b"#!"


def test_a_staged_tree_has_modes_and_times(tmp_path: Path) -> None:
    stage(a_tree(), tmp_path, epoch=1000)
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    assert stat.S_IMODE((tmp_path / "home/someone").stat().st_mode) == 0o750
    assert {path.lstat().st_mtime for path in tmp_path.rglob("*")} == {1000}


def test_partition_table() -> None:
    rows = [Partition(MIB, 20 * MIB, 0x0E, active=True), Partition(21 * MIB, 64 * MIB, 0x83)]
    sector = master_boot_record(b"\xeb\xfe", rows, 0x01020304)
    assert len(sector) == 512
    assert sector[:2] == b"\xeb\xfe"
    assert sector[440:444] == b"\x04\x03\x02\x01"
    assert sector[510:] == b"\x55\xaa"
    assert struct.unpack("<B3xB3xII", sector[446:462]) == (0x80, 0x0E, 2048, 40960)
    assert struct.unpack("<B3xB3xII", sector[462:478]) == (0, 0x83, 43008, 131072)
    assert sector[478:510] == bytes(32)


def test_boot_code_never_reaches_the_table() -> None:
    with pytest.raises(ValueError, match="440"):
        master_boot_record(bytes(441), [], 0)


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    folder = tmp_path / "6.1.0"
    (folder / "kernel").mkdir(parents=True)
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    for name, depends in (("net", "ring,fail"), ("ring", ""), ("fail", "ring"), ("virtio-rng", "ring,ext4")):
        info = b"license=GPL\0alias=virtio:%s\0depends=%s\0" % (name.encode(), depends.encode())
        (folder / f"kernel/{name}.ko").write_bytes(b"\x7fELF\0" + info)
    return Modules(folder)


def test_modules_come_after_what_they_need_and_built_in_ones_not_at_all(modules: Modules) -> None:
    assert modules.version == "6.1.0"
    assert modules.closure(["net", "virtio-rng", "ext4"]) == ["ring", "fail", "net", "virtio_rng"]


def test_files_for_modprobe(modules: Modules) -> None:
    names = modules.closure(["net", "virtio_rng"])
    assert modules.dep_file(names).splitlines() == [
        "kernel/ring.ko:",
        "kernel/fail.ko: kernel/ring.ko",
        "kernel/net.ko: kernel/fail.ko kernel/ring.ko",
        "kernel/virtio-rng.ko: kernel/ring.ko",
    ]
    assert "alias virtio:net net\n" in modules.alias_file(names)


def test_a_module_that_is_not_there_is_named(modules: Modules) -> None:
    with pytest.raises(CannotBuildImage, match=r"6\.1\.0 has no module warp"):
        modules.closure(["warp"])


def test_the_kernel_does_not_panic_for_a_late_tick() -> None:
    assert "no_timer_check" in COMMAND_LINE.split()


def test_console_lines_are_found_among_others() -> None:
    console = (
        "SeaBIOS\r\n[    2.093430] pileus-guest: boot kernel=6.1 uptime=2.08\r\n"
        "root@web1:~# [    3.5] pileus-guest: lease 10.0.0.5/24 gateway 10.0.0.1 interface eth0\r\n"
        "[    4.0] other: ready\r\n[   14.25] pileus-guest: half a li"
    )
    assert said(console) == [
        Said(2.09343, "boot kernel=6.1 uptime=2.08"),
        Said(3.5, "lease 10.0.0.5/24 gateway 10.0.0.1 interface eth0"),
    ]


def test_missing_programs_are_named_by_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "is_installed", lambda program: False)
    with pytest.raises(CannotBuildImage, match="e2fsprogs mtools qemu-utils"):
        build_image(tmp_path / "out", tmp_path, lambda text: None)
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "is_installed", lambda program: False)
    with pytest.raises(SystemExit) as ended:
        image.build(tmp_path / "out", tmp_path / "cache")
    assert ended.value.code != 0
    assert "Debian packages are missing: e2fsprogs mtools qemu-utils" in capsys.readouterr().err
