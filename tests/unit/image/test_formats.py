"""Formats read from content: sizes, what is refused and why, and that no bytes get past the readers."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.image import samples
from tests.unit.image.samples import DESCRIPTOR, GIB, GOOD, MIB, SECTOR, look

from pileus.core.formats import FORMATS, BadImage, Finding, ImageDataRefused, Reader, judge
from pileus.core.formats.finding import READERS
from pileus.core.formats.reading import LARGEST_DISK


@pytest.mark.parametrize("name", GOOD)
def test_a_good_image_is_known_with_the_size_of_its_disk(name: str) -> None:
    data, size = GOOD[name]
    assert look(data) == Finding(name.split()[0], size)


def test_what_nobody_knows_is_raw() -> None:
    assert look(b"") == Finding("raw", 0)
    assert look(b"QFI") == Finding("raw", 3)
    assert look(b"\0" * 5000) == Finding("raw", 5000)


def described(kind: str = "monolithicSparse", extent: str = 'RW 8 SPARSE "a.vmdk"', more: str = "") -> bytes:
    return samples.vmdk(f'# Disk DescriptorFile\ncreateType="{kind}"\n{extent}\n{more}\n')


DANGEROUS = {
    "qcow2 backing": (samples.qcow2(backing=512, backing_size=11), "backing file"),
    "qcow2 version 2 backing": (samples.qcow2(version=2, backing=512, backing_size=11), "backing file"),
    "qcow2 data file": (samples.qcow2(features=4), "external data file"),
    "qcow2 corrupt": (samples.qcow2(features=2), "corrupt"),
    "qcow2 unknown feature": (samples.qcow2(features=1 << 40), "unknown incompatible features"),
    "qcow2 version": (samples.qcow2(version=4), "version 4"),
    "qcow2 version 1": (samples.qcow2(version=1), "version 1"),
    "qcow2 clusters": (samples.qcow2(cluster_bits=63), "cluster size"),
    "qcow2 header length": (samples.qcow2(header_length=1 << 30), "header"),
    "qcow2 size": (samples.qcow2(size=2**64 - 1), "impossible disk size"),
    "qcow2 cut off": (samples.qcow2()[:80], "outside of the file"),
    "vmdk descriptor file": (DESCRIPTOR.encode(), "bare descriptor"),
    "vmdk without capacity": (samples.vmdk(capacity=0), "no capacity"),
    "vmdk without descriptor": (samples.vmdk(offset=0), "no descriptor"),
    "vmdk long descriptor": (samples.vmdk(size=1 << 40), "no descriptor"),
    "vmdk descriptor outside": (samples.vmdk(offset=1 << 50), "outside of the file"),
    "vmdk flat": (described("monolithicFlat", 'RW 8 FLAT "/etc/passwd" 0'), "type 'monolithicFlat'"),
    "vmdk flat extent": (described(extent='RW 8 FLAT "disk-flat.vmdk" 0'), "another file"),
    "vmdk path": (described(extent='RW 8 SPARSE "/etc/passwd"'), "another file"),
    "vmdk path up": (described(extent='RW 8 SPARSE "../disk"'), "another file"),
    "vmdk two extents": (described(extent='RW 8 SPARSE "a"\nRW 8 SPARSE "b"'), "2 extents"),
    "vmdk no extent": (described(extent=""), "0 extents"),
    "vmdk two types": (described(more='createType="streamOptimized"'), "two types"),
    "vmdk parent": (described(more="parentCID=12345678"), "backing file"),
    "vmdk parent hint": (described(more='parentFileNameHint="base.vmdk"'), "backing file"),
    "vmdk no footer": (samples.vmdk_stream(footer=b"\0" * SECTOR), "footer is missing"),
    "vmdk other footer": (
        samples.vmdk_stream(footer=samples.vmdk_header(5, gd_offset=40)),
        "differs",
    ),
    "vdi difference": (samples.vdi(kind=4), "difference to another"),
    "vdi version": (samples.vdi(version=7), "version 0x7"),
    "vhd difference": (samples.vhd(kind=4), "difference to another"),
    "vhd no dynamic header": (samples.vhd()[:512], "dynamic header"),
    "vhd too short": (samples.vhd_fixed(size=GIB), "shorter"),
    "vhd fixed first": (samples.vhd(kind=2), "not where"),
    "vhdx parent flag": (samples.vhdx(flags=2), "difference to another"),
    "vhdx parent": (samples.vhdx(parent=True), "difference to another"),
    "vhdx no regions": (b"vhdxfile".ljust(MIB, b"\0"), "metadata region"),
    "iso cut off": (samples.iso()[:32800], "outside of the file"),
    "qed": (b"QED\0".ljust(512, b"\0"), "not taken"),
    "qcow2 and iso": (samples.qcow2() + samples.iso()[4096:], "at once"),
    "qcow2 and vhd": (samples.qcow2() + samples.vhd_fixed(), "at once"),
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_dangerous_image_is_refused_whatever_it_is_called(name: str) -> None:
    data, words = DANGEROUS[name]
    found = look(data)
    assert words in found.danger, found
    for disk_format in FORMATS:
        with pytest.raises(ImageDataRefused, match="refused"):
            judge(disk_format, "bare", found, require_match=False)


@pytest.mark.parametrize("repeated", [" ", "\t", '" ', "= ", "a=", "RW 1 S ", '="'])
def test_a_descriptor_is_read_in_linear_time(repeated: str) -> None:
    began = time.process_time()
    for start in ("a=", "RW 1 SPARSE", "", 'a="'):
        look(described(more=f'{start}{repeated * 800}"x"y'))
    assert time.process_time() - began < 0.5


def test_content_must_be_what_it_is_called() -> None:
    known = {name: Finding(name, 7) for name in READERS}
    raw = Finding("raw", 7)
    for name, found in known.items():
        for disk_format in FORMATS:
            if name == disk_format:
                assert judge(disk_format, "bare", found, require_match=True) == 7
                continue
            for container in ("bare", "ova"):
                with pytest.raises(ImageDataRefused, match="does not match the disk_format"):
                    judge(disk_format, container, found, require_match=False)
    for disk_format in ("raw", "ami", "ari", "aki", "ploop"):
        assert judge(disk_format, "bare", raw, require_match=True) == 7
    with pytest.raises(ImageDataRefused):
        judge("qcow2", "bare", raw, require_match=True)
    assert judge("qcow2", "bare", raw, require_match=False) == 7
    assert judge("vmdk", "ova", raw, require_match=True) == 7


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=12)), max_size=8),
    st.integers(0, 2**22),
)
def test_no_mutation_raises(name: str, patches: list[tuple[int, bytes]], cut: int) -> None:
    # headers are where readers look: most patches go there
    data = bytearray(GOOD[name][0])
    interesting = (0, 0x40, 0x170, 512, 32768, 192 << 10, 2 * MIB, (2 * MIB) + 65536, len(data) - 512)
    for number, (at, patch) in enumerate(patches):
        start = interesting[at % len(interesting)] + number * 16 if at % 4 else at
        start = min(max(0, start), len(data))
        data[start : start + len(patch)] = patch
    found = look(bytes(data[: cut if cut % 3 == 0 else None]))
    assert found.format in {"raw", *READERS}
    assert 0 <= found.virtual_size <= LARGEST_DISK


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 2**32))
def test_no_noise_in_a_header_raises(name: str, seed: int) -> None:
    data = GOOD[name][0]
    dice = random.Random(seed)
    noise = dice.randbytes(1024)
    mixed = bytes(kept if dice.random() < 0.9 else new for kept, new in zip(data[:1024], noise, strict=False))
    found = look(mixed + data[1024:])
    assert 0 <= found.virtual_size <= LARGEST_DISK


@given(st.binary(max_size=64), st.integers(-(2**70), 2**70), st.integers(-5, 2**70))
def test_a_reader_gives_exactly_what_is_there_or_says_no(data: bytes, offset: int, length: int) -> None:
    reader = Reader(lambda start, count: data[start : start + count], len(data))
    try:
        got = reader.bytes(offset, length, "thing")
    except BadImage:
        assert length < 0 or offset < 0 or offset + length > len(data) or length > MIB
    else:
        assert got == data[offset : offset + length] and len(got) == length


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("qcow2", "compat=0.10", "qcow2"),
        ("qcow2", "compat=1.1,extended_l2=on", "qcow2"),
        ("qcow2", "compression_type=zstd,lazy_refcounts=on", "qcow2"),
        ("vmdk", "subformat=monolithicSparse", "vmdk"),
        ("vmdk", "subformat=streamOptimized", "vmdk"),
        ("vdi", "static=off", "vdi"),
        ("vdi", "static=on", "vdi"),
        ("vpc", "subformat=dynamic,force_size=on", "vhd"),
        ("vpc", "subformat=fixed,force_size=on", "vhd"),
        ("vhdx", "subformat=dynamic", "vhdx"),
        ("vhdx", "subformat=fixed", "vhdx"),
        ("raw", "", "raw"),
    ],
)
def test_what_qemu_makes_is_read_as_qemu_reads_it(kind: str, options: str, name: str, tmp_path: Path) -> None:
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img is not installed (Debian package qemu-utils)")
    path = tmp_path / "image"
    source = tmp_path / "source"
    source.write_bytes(b"\1" * MIB + b"\0" * (3 * MIB))
    chosen = ["-o", options] if options else []
    command = [program, "convert", "-f", "raw", "-O", kind, *chosen, str(source), str(path)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    assert look(path.read_bytes()) == Finding(name, 4 * MIB)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["-f", "qcow2", "-b", "/dev/null", "-F", "raw", "-u", "image", "1M"], "backing file"),
        (["-f", "qcow2", "-o", "data_file=data", "image", "1M"], "external data file"),
        (["-f", "vmdk", "-o", "subformat=monolithicFlat", "image", "1M"], "bare descriptor"),
        (["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "image", "1M"], "bare descriptor"),
        (["-f", "qed", "image", "1M"], "not taken"),
    ],
)
def test_what_qemu_makes_to_point_elsewhere_is_refused(
    command: list[str], words: str, tmp_path: Path
) -> None:
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img is not installed (Debian package qemu-utils)")
    made = subprocess.run(
        [program, "create", *command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr
    assert words in look((tmp_path / "image").read_bytes()).danger
