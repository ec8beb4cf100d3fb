"""The words of two libvirt daemons when a machine moves, and which of them a host lets in. Pure.

The host that a machine leaves speaks libvirt's own protocol to the daemon of the one that it goes to
(https://libvirt.org/internals/rpc.html). Who may speak it may do anything there, so that a host would be
master of another one. Therefore ``Gate`` stands before the daemon: it lets through the calls that a migration
needs and no others, and the description of the machine only where it names nothing but what was prepared for
it. A machine that came so is defined by its new host itself.
"""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping

import msgspec

from pileus.drivers.libvirt.domain import NAMESPACE, DomainSpec


class Trespass(Exception):
    """The other host asks for something that no migration needs; the text says what."""


# -- the description of the machine

_DEVICES = frozenset(
    {
        "audio", "channel", "console", "controller", "disk", "emulator", "graphics", "input", "interface",
        "memballoon", "rng", "serial", "video", "watchdog",
    }
)  # fmt: skip
_TYPES = {
    "disk": {"file"},
    "interface": {"ethernet"},
    "serial": {"pty"},
    "console": {"pty"},
    "channel": {"unix"},
    "audio": {"none"},
    "graphics": {"vnc"},
    "input": {"keyboard", "mouse", "tablet"},
}
_INNER = {("backingStore", "type"): {"file"}, ("backend", "model"): {"random", "builtin"}}
"""Values of attributes of elements within devices, which may also be absent."""
_PATHS = frozenset({"file", "path"})
"""Attributes that are paths, also those that are none from the root."""
_TOP = frozenset(
    {
        "name", "uuid", "title", "metadata", "memory", "currentMemory", "vcpu", "resource", "sysinfo", "os",
        "features", "cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "pm", "devices", "seclabel",
        "iothreads", "maxMemory",
    }
)  # fmt: skip
_EMULATOR = re.compile(r"/usr/(bin|libexec)/qemu-(system-[a-z0-9_]+|kvm)")
_BOOT_FILES = ("kernel", "initrd")
_KNOWN_PATHS = frozenset({"/dev/urandom", "/machine"})
_OWN_TAGS = (f"{{{NAMESPACE}}}",)


def moved_description(description: str, before: str, after: str) -> str:
    """The description of a running machine for another host, where its files lie below another folder."""
    root = ET.fromstring(description)  # noqa: S314 - from libvirt, as it wrote it
    for element in root.iter():
        for name, value in element.attrib.items():
            if value.startswith(f"{before}/"):
                element.set(name, after + value[len(before) :])
        if element.tag in _BOOT_FILES and element.text and element.text.startswith(f"{before}/"):
            element.text = after + element.text[len(before) :]
    return ET.tostring(root, encoding="unicode")


def is_emulated(description: str) -> bool:
    """Whether a machine's processors are emulated (TCG)."""
    return ET.fromstring(description).get("type") == "qemu"  # noqa: S314 - from libvirt, as it wrote it


def writable_disks(description: str) -> list[str]:
    """The names in the machine (``vda``) of the disks that are to be copied."""
    root = ET.fromstring(description)  # noqa: S314 - from libvirt, as it wrote it
    return [
        disk.find("target").get("dev", "")  # type: ignore[union-attr] # libvirt's always have one
        for disk in root.findall("./devices/disk")
        if disk.find("readonly") is None and disk.find("target") is not None
    ]


def must_be_expected(description: str, spec: DomainSpec) -> None:
    """Raise Trespass where a machine that wants to come is not ``spec``, or names anything of this host but
    what is that machine's."""
    try:
        root = ET.fromstring(description)  # noqa: S314 - expat expands no external entities
    except ET.ParseError as error:
        raise Trespass(f"its description can't be read: {error}") from error
    if root.tag != "domain" or (root.findtext("uuid"), root.findtext("name")) != (spec.uuid, spec.name):
        raise Trespass("it is another machine than the one that was expected")
    if int(root.findtext("vcpu", "0")) > spec.vcpus or _kib(root.find("memory")) > spec.memory_mib << 10:
        raise Trespass("it is larger than the one that was expected")
    for element in root:
        if element.tag not in _TOP:
            raise Trespass(f"it has {element.tag}")
    for device in root.findall("./devices/*"):
        allowed = _TYPES.get(device.tag)
        if device.tag not in _DEVICES or (allowed is not None and device.get("type") not in allowed):
            raise Trespass(f"it has the device {device.tag} {device.get('type', '')}".rstrip())
    for (tag, name), words in _INNER.items():
        for element in root.iter(tag):
            if element.get(name) not in (None, *words):
                raise Trespass(f"it has a {tag} {element.get(name)}")
    if (emulator := root.findtext("./devices/emulator")) and not _EMULATOR.fullmatch(emulator):
        raise Trespass(f"it has the emulator {emulator}")
    for label in root.iter("seclabel"):
        dynamic = label in root and label.get("type", "dynamic") == "dynamic"
        if not dynamic or label.find("baselabel") is not None:
            raise Trespass("it says by itself whom it runs as")
    taps = {interface.tap for interface in spec.interfaces}
    for interface in root.findall("./devices/interface"):
        target = interface.find("target")
        if target is None or target.get("dev") not in taps or interface.find("script") is not None:
            raise Trespass("it has another interface than those that were expected")
    for graphics in root.findall("./devices/graphics"):
        listens = any((one.tag, one.attrib) != ("listen", {"type": "none"}) for one in graphics)
        if listens or graphics.attrib.keys() != {"type"} or not spec.display:
            raise Trespass("it has a display that listens, or that was not expected")
    started = {"kernel": spec.kernel, "initrd": spec.ramdisk, "cmdline": spec.kernel_arguments}
    _must_have_paths(root, {disk.path for disk in spec.disks} | {spec.console_log or ""}, started)


def _must_have_paths(root: ET.Element, expected: Collection[str], started: Mapping[str, str]) -> None:
    """``started``: the text that elements of direct kernel boot have, which no other may have."""
    for element in root.iter():
        if element.tag.startswith(_OWN_TAGS) or element.tag in ("title", "emulator"):
            continue
        if element.tag in started:
            if element.attrib or (element.text or "").strip() != started[element.tag].strip():
                raise Trespass(f"it has another {element.tag} than the one that was expected")
            continue
        for name, value in (*element.attrib.items(), ("", element.text or "")):
            text = value.strip()
            is_path = "/" in text or name in _PATHS
            if is_path and text not in expected and text not in _KNOWN_PATHS:
                raise Trespass(f"it has {text} in {element.tag}")


def _kib(element: ET.Element | None) -> int:
    if element is None or element.get("unit", "KiB") != "KiB":
        raise Trespass("its memory is not told in KiB")
    return int(element.text or 0)


# -- the calls

_PROGRAM, _KEEPALIVE = 0x20008086, 0x6B656570
_CALL = 0
_OPEN, _CLOSE, _FEATURE, _AUTH_LIST, _PREPARE, _FINISH = 1, 2, 60, 66, 303, 306
_CALLS = frozenset({_OPEN, _CLOSE, _FEATURE, _AUTH_LIST, _PREPARE, _FINISH})
_HEADER = struct.Struct(">IIIIIII")
_URI = "qemu:///system"
"""The name that may be opened: by others the daemon would open connections of its own, or run programs."""
_LONGEST = 33554432
"""Bytes of a message (``VIR_NET_MESSAGE_MAX``)."""
_PERSIST, _UNDEFINE, _PEER2PEER, _TUNNELLED = 8, 16, 2, 4
_FORBIDDEN_FLAGS = _PERSIST | _PEER2PEER | _TUNNELLED
_STRING = 7
_SIZES = {1: 4, 2: 4, 3: 8, 4: 8, 5: 8, 6: 4}


class Gate:
    """Takes what the other host says to libvirt, and gives back what may be passed on. ``spec``: the machine
    that may come; ``memory`` and ``disks``: where it may come to."""

    def __init__(self, spec: DomainSpec, memory: str, disks: str) -> None:
        self._spec = spec
        self._addresses = {"migrate_uri": memory, "disks_uri": disks}
        self._left = b""

    def take(self, data: bytes) -> bytes:
        """Whole messages that may pass. Raises Trespass."""
        self._left += data
        passed = []
        while len(self._left) >= 4:
            (length,) = struct.unpack_from(">I", self._left)
            if not _HEADER.size <= length <= _LONGEST:
                raise Trespass(f"a message of {length} bytes")
            if len(self._left) < length:
                break
            message, self._left = self._left[:length], self._left[length:]
            self._judge(message)
            passed.append(message)
        return b"".join(passed)

    def _judge(self, message: bytes) -> None:
        _, program, _, procedure, kind, _, _ = _HEADER.unpack_from(message)
        if program == _KEEPALIVE:
            return
        if program != _PROGRAM or kind != _CALL or procedure not in _CALLS:
            raise Trespass(f"the call {program:#x}/{procedure}")
        arguments = message[_HEADER.size :]
        if procedure == _OPEN and _read_open(arguments) != _URI:
            raise Trespass("another connection than one to this host's machines")
        if procedure in (_PREPARE, _FINISH):
            self._judge_migration(arguments, prepares=procedure == _PREPARE)

    def _judge_migration(self, arguments: bytes, *, prepares: bool) -> None:
        values, flags = _read_migration(arguments)
        if flags & _FORBIDDEN_FLAGS:
            raise Trespass(f"a migration with the flags {flags:#x}")
        if values.get("destination_name", self._spec.name) != self._spec.name:
            raise Trespass("another name")
        if not prepares:
            return
        for name, wanted in self._addresses.items():
            if values.get(name) != wanted:
                raise Trespass(f"a migration to {values.get(name)}")
        must_be_expected(values.get("destination_xml", ""), self._spec)


def _read_open(data: bytes) -> str | None:
    """Read the name that ``CONNECT_OPEN`` is given, if it is given one."""
    try:
        (given,) = struct.unpack_from(">I", data)
        return _text(data, 4)[0] if given else None
    except (struct.error, UnicodeDecodeError) as error:
        raise Trespass("a connection that can't be read") from error


def _read_migration(data: bytes) -> tuple[dict[str, str], int]:
    """Read the texts among the parameters of ``DOMAIN_MIGRATE_PREPARE3_PARAMS`` or ``…_FINISH3_PARAMS``, and
    the flags (XDR, RFC 4506)."""
    try:
        place = 4
        (count,) = struct.unpack_from(">I", data)
        values: dict[str, str] = {}
        for _ in range(count):
            name, place = _text(data, place)
            (kind,) = struct.unpack_from(">I", data, place)
            place += 4
            if kind == _STRING:
                text, place = _text(data, place)
                if name in values and name != "migrate_disks":
                    raise Trespass(f"{name} is told twice")
                values[name] = text
            else:
                place += _SIZES[kind]
        _, place = _text(data, place)  # the cookie
        (flags,) = struct.unpack_from(">I", data, place)
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise Trespass("a migration that can't be read") from error
    return values, flags


def _text(data: bytes, place: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", data, place)
    end = place + 4 + length
    if end > len(data):
        raise Trespass("a text that is longer than its message")
    return data[place + 4 : end].decode(), end + -length % 4


class Sockets(msgspec.Struct, frozen=True):
    """The names of two sockets as QEMU sees them, in the same folder on each host."""

    folder: str

    @property
    def memory(self) -> str:
        return f"unix://{self.folder}/memory"

    @property
    def disks(self) -> str:
        return f"unix://{self.folder}/disks"
