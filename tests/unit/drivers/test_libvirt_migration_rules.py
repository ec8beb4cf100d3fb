"""What a machine that comes may be, and what its old host may ask of libvirt here."""

from __future__ import annotations

import re
import struct

import msgspec
import pytest

from pileus.drivers.libvirt.domain import Disk, DomainSpec, render
from pileus.drivers.libvirt.migration import (
    Gate,
    Trespass,
    moved_description,
    must_be_expected,
    writable_disks,
)

# -- what stands before libvirt


SPEC = DomainSpec(
    uuid="11111111-1111-4000-8000-000000000002",
    name="pileus-11111111-1111-4000-8000-000000000002",
    title="a/b",
    vcpus=1,
    memory_mib=64,
    disks=(
        Disk(path="/a/disk", target="vda", serial="root"),
        Disk(path="/a/disk.config", target="vdz", serial="c", format="raw", read_only=True),
    ),
    console_log="/a/console.log",
    labels={"path": "/x"},
)


def described(**changes: str) -> str:
    """The description as libvirt tells it, with texts replaced."""
    text = render(SPEC).replace('unit="MiB">64', 'unit="KiB">65536')
    for before, after in (one.split("=>") for one in changes.values()):
        assert before in text
        text = text.replace(before, after, 1)
    return text


def test_a_description_is_taken_to_another_folder() -> None:
    moved = moved_description(described(), "/a", "/b/c")
    assert writable_disks(moved) == ["vda"]
    expected = msgspec.structs.replace(
        SPEC,
        disks=tuple(
            msgspec.structs.replace(disk, path=disk.path.replace("/a", "/b/c")) for disk in SPEC.disks
        ),
        console_log="/b/c/console.log",
    )
    must_be_expected(moved, expected)
    with pytest.raises(Trespass, match="/b/c"):
        must_be_expected(moved, SPEC)


SHOWN = msgspec.structs.replace(SPEC, display=True)


def test_a_display_that_listens_nowhere_goes_along() -> None:
    text = render(SHOWN).replace('unit="MiB">64', 'unit="KiB">65536')
    must_be_expected(text, SHOWN)
    with pytest.raises(Trespass, match="display"):
        must_be_expected(text, SPEC)
    assert '<listen type="none"' in text
    for change in (
        '<listen type="address" address="0.0.0.0"',
        '<listen type="socket" socket="/etc/shadow"',
        '<listen type="none" socket="/etc/shadow"',
    ):
        with pytest.raises(Trespass):
            must_be_expected(text.replace('<listen type="none"', change), SHOWN)
    for change in ('<graphics type="vnc" port="5900"', '<graphics type="spice"'):
        with pytest.raises(Trespass):
            must_be_expected(text.replace('<graphics type="vnc"', change), SHOWN)


STARTED = msgspec.structs.replace(
    SPEC, kernel="/a/kernel", ramdisk="/a/ramdisk", kernel_arguments="root=/dev/vda init=/etc/shadow"
)


def started(change: str = "") -> str:
    """The description of one whose kernel is a file of its own."""
    text = render(STARTED).replace('unit="MiB">64', 'unit="KiB">65536')
    before, _, after = change.partition("=>")
    assert before in text
    return text.replace(before, after, 1)


def test_a_kernel_of_its_own_goes_along() -> None:
    must_be_expected(started(), STARTED)
    moved = moved_description(started(), "/a", "/b/c")
    assert "<kernel>/b/c/kernel</kernel><initrd>/b/c/ramdisk</initrd>" in re.sub(r">\s+<", "><", moved)
    assert "<cmdline>root=/dev/vda init=/etc/shadow</cmdline>" in moved
    with pytest.raises(Trespass):
        must_be_expected(started(), SPEC)


@pytest.mark.parametrize(
    "change",
    [
        "/a/kernel=>/boot/vmlinuz",
        "/a/ramdisk=>/etc/shadow",
        "/a/ramdisk=>/a/kernel",
        "root=/dev/vda=>root=/dev/vdb",
        "/a/disk.config=>root=/dev/vda init=/etc/shadow",
        "<kernel>=><kernel file='/etc/shadow'>",
    ],
)
def test_no_other_kernel_comes_along(change: str) -> None:
    with pytest.raises(Trespass):
        must_be_expected(started(change), STARTED)


@pytest.mark.parametrize(
    "change",
    [
        "/a/disk.config=>/etc/shadow",
        '<disk type="file"=><disk type="block"',
        '<disk type="file"=><disk type="network"',
        "</devices>=><hostdev mode='subsystem' type='usb'/></devices>",
        "</devices>=><filesystem type='mount'><source dir='/'/></filesystem></devices>",
        "</devices>=><emulator>/tmp/qemu</emulator></devices>",
        '<serial type="pty">=><serial type="file"><source path="/etc/x"/>',
        '<serial type="pty">=><serial type="tcp">',
        "/a/console.log=>/etc/crontab",
        "</domain>=><commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'/></domain>",
        "</os>=><kernel>/boot/vmlinuz</kernel></os>",
        "/dev/urandom=>/dev/sda",
        "<vcpu>1=><vcpu>64",
        '"KiB">65536=>"KiB">99999999',
        '"KiB">65536=>"TiB">1',
        f"{SPEC.uuid}</uuid>=>11111111-1111-4000-8000-000000000003</uuid>",
        "</devices>=><interface type='bridge'/></devices>",
        "</devices>=><interface type='ethernet'><target dev='eth0'/></interface></devices>",
        "</domain>=><seclabel type='static' model='dac'><label>+0:+0</label></seclabel></domain>",
        "</domain>=><seclabel type='none'/></domain>",
        "</domain>=><seclabel type='dynamic' model='x'><baselabel>y</baselabel></seclabel></domain>",
        "</devices>=><rng><seclabel type='dynamic'/></rng></devices>",
        "</devices>=><rng><backend model='egd' type='tcp'/></rng></devices>",
        "</devices>=><input type='evdev'/></devices>",
        "</devices>=><disk type='file'><source file='vmlinuz'/></disk></devices>",
        "</disk>=><backingStore type='volume'><source pool='a' volume='b'/></backingStore></disk>",
        "</devices>=><channel type='unix'><source mode='connect' path='x'/></channel></devices>",
        "<domain=>x<domain",
    ],
)
def test_a_description_that_names_more_is_refused(change: str) -> None:
    must_be_expected(described(), SPEC)
    with pytest.raises(Trespass):
        must_be_expected(described(change=change), SPEC)


def xdr(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def message(procedure: int, body: bytes = b"", *, program: int = 0x20008086, kind: int = 0) -> bytes:
    return struct.pack(">IIIIIII", 28 + len(body), program, 1, procedure, kind, 1, 0) + body


def opened(uri: str | None = "qemu:///system") -> bytes:
    name = struct.pack(">I", 0) if uri is None else struct.pack(">I", 1) + xdr(uri)
    return message(1, name + bytes(4))


def prepare(flags: int = 0x41, **changes: str) -> bytes:
    values = {
        "migrate_uri": "unix:///w/memory",
        "disks_uri": "unix:///w/disks",
        "destination_xml": described(),
        **changes,
    }
    return of_migration(303, flags, values)


def finish(flags: int = 0x41, **changes: str) -> bytes:
    return of_migration(306, flags, {"destination_name": SPEC.name, **changes}, bytes(4))


def of_migration(procedure: int, flags: int, values: dict[str, str], more: bytes = b"") -> bytes:
    body = struct.pack(">I", len(values) + 1)
    for name, value in values.items():
        body += xdr(name) + struct.pack(">I", 7) + xdr(value)
    body += xdr("bandwidth") + struct.pack(">IQ", 4, 1)
    return message(procedure, body + xdr("cookie") + struct.pack(">I", flags) + more)


def test_only_the_calls_of_a_migration_pass() -> None:
    gate = Gate(SPEC, "unix:///w/memory", "unix:///w/disks")
    several = message(66) + message(60) + opened() + message(1, program=0x6B656570)
    several += prepare() + finish() + message(2)
    passed = b"".join(gate.take(several[at : at + 7]) for at in range(0, len(several), 7))
    assert passed == several


@pytest.mark.parametrize(
    "said",
    [
        message(11),  # define
        message(10),  # create
        message(303),
        message(1, program=0x20008087),  # QEMU's monitor
        message(1, kind=3),
        prepare(migrate_uri="tcp://192.0.2.1:1"),
        prepare(disks_uri="unix:///run/docker.sock"),
        prepare(destination_xml="<domain/>"),
        prepare(destination_name="other"),
        prepare(flags=0x49),  # to stay defined
        finish(flags=0x49),
        finish(destination_name="other"),
        message(306),
        message(1),
        opened(None),
        opened("qemu+ext:///system?command=/tmp/x"),
        opened("qemu+ssh://192.0.2.1/system"),
        prepare()[:-16] + struct.pack(">IQI", 1 << 20, 0, 1),
        struct.pack(">I", 4),
        struct.pack(">I", 1 << 30),
    ],
)
def test_other_calls_do_not(said: bytes) -> None:
    with pytest.raises(Trespass):
        Gate(SPEC, "unix:///w/memory", "unix:///w/disks").take(said)
