"""A typed description of a virtual machine, rendered to libvirt's domain XML.

Pure: the same description gives the same text (https://libvirt.org/formatdomain.html).
Interfaces are taps that exist already and that the switch's agent plugs; libvirt neither
makes nor removes them, and knows nothing of the switch. Devices carry aliases of ours
(``ua-…``), so that they can be found again for detaching.

The definition holds a digest of the description in our own metadata element: a definition
whose digest is the wanted one is left alone.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from pileus.drivers.libvirt.sources import NetworkSource, render_source

NAMESPACE = "urn:pileus:libvirt:1"
_PREFIX = "pileus"
ET.register_namespace(_PREFIX, NAMESPACE)

DiskBus = Literal["virtio", "scsi", "sata", "ide"]
"""The bus of a disk; libvirt has no CD-ROM on virtio."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk or CD-ROM of a machine; ``serial`` (up to 20 bytes reach the guest) names it for detaching."""

    path: str
    """Empty where it is no file and no device, but a ``network`` source."""
    target: str
    """The name in the guest as far as the hypervisor can suggest it: ``vda``, ``sda``, ``hda``."""
    serial: str
    format: Literal["qcow2", "raw"] = "qcow2"
    device: Literal["disk", "cdrom"] = "disk"
    bus: DiskBus = "virtio"
    block: bool = False
    """Whether ``path`` is a block device and not a file."""
    network: NetworkSource | None = None
    shared: bool = False
    """Whether other machines may write to it at the same time."""
    read_only: bool = False
    cache: Literal["none", "writeback", "writethrough", "directsync", "unsafe"] = "writeback"
    boot: int | None = None
    """Place in the boot order, from 1; None: never booted from."""
    limits: Mapping[str, int] = {}
    """Limits of what it does in a second, by libvirt's names: ``read_bytes_sec``, ``total_iops_sec`` and so
    on."""

    @property
    def alias(self) -> str:
        """The device's name in libvirt."""
        return disk_alias(self.serial)


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface of a machine, on a tap that exists."""

    port_id: str
    mac: str
    tap: str
    mtu: int | None = None
    """Told to the guest by virtio (VIRTIO_NET_F_MTU)."""
    model: str = "virtio"
    offloads: bool = True
    """False when the switch runs in user space: its datapath can't finish checksums or cut big
    segments that a guest left for hardware to do."""
    queues: int = 1
    boot: int | None = None

    @property
    def alias(self) -> str:
        """The device's name in libvirt."""
        return interface_alias(self.port_id)


class RandomDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The guest's source of random bytes: so many in so many milliseconds, or as many as it asks for."""

    rate_bytes: int = 0
    period_ms: int = 0


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual machine. ``name`` carries the driver's prefix, which says that it is ours."""

    uuid: str
    name: str
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    console_log: str | None = None
    """File that collects what the serial port says; its owner keeps it small (see ``console``)."""
    kvm: bool = False
    machine: str = "pc"
    """``pc`` takes new devices while it runs without ports kept free for them; ``q35`` gets spare ones."""
    arch: str = "x86_64"
    cpu: str | None = None
    """``host-passthrough``, ``host-model``, ``maximum`` or a model's name; None: the host's own under
    KVM, all that can be emulated otherwise."""
    tcg_cache_mib: int | None = None
    """Memory for translated code where there is no KVM; None: QEMU's own idea, up to 1 GiB a machine."""
    display: bool = False
    """Whether it has a video card, and a display by VNC that listens nowhere: libvirt gives connections."""
    topology: tuple[int, int, int] | None = None
    """Sockets, cores of each, threads of each core; None: a socket for each virtual CPU."""
    kernel: str = ""
    """File of the kernel that the hypervisor starts, and not a boot loader on a disk; empty: none."""
    ramdisk: str = ""
    kernel_arguments: str = ""
    boot_menu: bool = False
    hpet: bool = False
    pmu: bool | None = None
    """Whether the guest sees performance counters; None: as the hypervisor has it."""
    hide_hypervisor: bool = False
    guest_agent: bool = False
    """Whether there is a channel for QEMU's agent in the guest."""
    watchdog: str | None = None
    """The action when the guest no longer resets its watchdog: ``reset``, ``poweroff``, ``pause`` or
    ``none``; None: it has no watchdog."""
    random: RandomDevice | None = RandomDevice()
    title: str = ""
    product: str = "OpenStack Nova"
    """DMI product name, by which cloud-init knows where it is."""
    serial: str = ""
    """DMI serial number; the machine's UUID when empty."""
    labels: Mapping[str, str] = {}
    """Kept in the definition's metadata, for people and for reading back."""


_SPARE_PORTS = 8
_NO_OFFLOAD_HOST = ("csum", "gso", "tso4", "tso6", "ecn", "ufo", "mrg_rxbuf")
_NO_OFFLOAD_GUEST = ("csum", "tso4", "tso6", "ecn", "ufo")


def disk_alias(serial: str) -> str:
    """Libvirt's name of the disk with this serial."""
    return _alias("disk", serial)


def interface_alias(port_id: str) -> str:
    """Libvirt's name of the interface of this port."""
    return _alias("net", port_id)


def render(spec: DomainSpec) -> str:
    """The domain XML of a description, with its digest."""
    return _text(_domain(spec, digest(spec)))


def digest(spec: DomainSpec) -> str:
    """A digest that differs whenever the definition would."""
    return hashlib.sha256(_text(_domain(spec, "")).encode()).hexdigest()[:32]


def read_digest(metadata: str) -> str:
    """The digest in the metadata element that libvirt keeps; empty when there is none."""
    try:
        return ET.fromstring(metadata).get("digest", "")  # noqa: S314 - from libvirt, as it wrote it
    except ET.ParseError:
        return ""


def render_metadata(labels: Mapping[str, str], digest: str) -> ET.Element:
    """Our element in a domain's ``<metadata>``."""
    element = ET.Element(f"{{{NAMESPACE}}}server", {"digest": digest} if digest else {})
    for name, value in sorted(labels.items()):
        ET.SubElement(element, f"{{{NAMESPACE}}}label", name=name, value=value)
    return element


def render_interface(interface: Interface) -> str:
    """The device XML of one interface, as attaching takes it."""
    return _text(_interface(interface))


def render_disk(disk: Disk) -> str:
    """The device XML of one disk, as attaching takes it."""
    return _text(_disk(disk))


def device_aliases(definition: str) -> set[str]:
    """The aliases of ours in a domain's XML."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    names = (element.get("name", "") for element in root.findall("./devices/*/alias"))
    return {name for name in names if name.startswith("ua-")}


def has_display(definition: str) -> bool:
    """Whether a domain of this XML has a display by VNC."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    return root.find("./devices/graphics[@type='vnc']") is not None


def serial_line(definition: str) -> str:
    """The path of the terminal of a running domain's first serial line, of its XML; empty: there is none."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    source = root.find("./devices/serial[@type='pty']/source")
    return "" if source is None else source.get("path", "")


def disk_targets(definition: str) -> list[str]:
    """The names of a domain's disks in the machine (``vda``), of its XML."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    return [one.get("dev", "") for one in root.findall("./devices/disk/target")]


def target_of_alias(definition: str, alias: str) -> str | None:
    """The name in the machine of the disk with this alias; None: it has no such disk."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    for disk in root.findall("./devices/disk"):
        name, target = disk.find("alias"), disk.find("target")
        if name is not None and target is not None and name.get("name") == alias:
            return target.get("dev")
    return None


def render_backup(targets: Sequence[str], target: str, path: Path) -> str:
    """The XML of a whole copy of one disk among ``targets`` into a new qcow2.

    Source: https://libvirt.org/formatbackup.html
    """
    root = ET.Element("domainbackup", mode="push")
    disks = ET.SubElement(root, "disks")
    for one in targets:
        if one != target:
            ET.SubElement(disks, "disk", name=one, backup="no")
            continue
        disk = ET.SubElement(disks, "disk", name=one, backup="yes", type="file")
        ET.SubElement(disk, "driver", type="qcow2")
        ET.SubElement(disk, "target", file=str(path))
    return _text(root)


def _domain(spec: DomainSpec, digest: str) -> ET.Element:
    root = ET.Element("domain", type="kvm" if spec.kvm else "qemu")
    _leaf(root, "name", spec.name)
    _leaf(root, "uuid", spec.uuid)
    if spec.title:
        _leaf(root, "title", spec.title)
    ET.SubElement(root, "metadata").append(render_metadata(spec.labels, digest))
    _leaf(root, "memory", str(spec.memory_mib), unit="MiB")
    _leaf(root, "vcpu", str(spec.vcpus))
    root.append(_sysinfo(spec))
    system = ET.SubElement(root, "os")
    _leaf(system, "type", "hvm", arch=spec.arch, machine=spec.machine)
    if spec.kernel:
        files = (("kernel", spec.kernel), ("initrd", spec.ramdisk), ("cmdline", spec.kernel_arguments))
        for name, text in files:
            if text:
                _leaf(system, name, text)
    if spec.boot_menu:
        ET.SubElement(system, "bootmenu", enable="yes")
    ET.SubElement(system, "smbios", mode="sysinfo")
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")  # what a polite shutdown goes through
    ET.SubElement(features, "apic")
    if spec.hide_hypervisor:
        ET.SubElement(ET.SubElement(features, "kvm"), "hidden", state="on")
    if spec.pmu is not None:
        ET.SubElement(features, "pmu", state="on" if spec.pmu else "off")
    if spec.tcg_cache_mib is not None and not spec.kvm:
        _leaf(ET.SubElement(features, "tcg"), "tb-cache", str(spec.tcg_cache_mib), unit="MiB")
    root.append(_cpu(spec))
    root.append(_clock(spec))
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _leaf(root, event, action)
    devices = ET.SubElement(root, "devices")
    devices.extend(_controllers(spec))
    devices.extend(_disk(disk) for disk in spec.disks)
    devices.extend(_interface(interface) for interface in spec.interfaces)
    devices.extend(_fittings(spec))
    return root


def _sysinfo(spec: DomainSpec) -> ET.Element:
    sysinfo = ET.Element("sysinfo", type="smbios")
    system = ET.SubElement(sysinfo, "system")
    for name, value in (
        ("manufacturer", "Pileus"),
        ("product", spec.product),
        ("serial", spec.serial or spec.uuid),
        ("uuid", spec.uuid),
        ("family", "Virtual Machine"),
    ):
        _leaf(system, "entry", value, name=name)
    return sysinfo


def _cpu(spec: DomainSpec) -> ET.Element:
    wanted = spec.cpu or ("host-passthrough" if spec.kvm else "maximum")
    if wanted in ("host-passthrough", "host-model", "maximum"):
        cpu = ET.Element("cpu", mode=wanted)
    else:
        cpu = ET.Element("cpu", mode="custom", match="exact")
        _leaf(cpu, "model", wanted, fallback="allow")
    # A socket for each, as guests that are licensed or limited by cores see fewest surprises in.
    sockets, cores, threads = spec.topology or (spec.vcpus, 1, 1)
    ET.SubElement(cpu, "topology", sockets=str(sockets), cores=str(cores), threads=str(threads))
    return cpu


def _clock(spec: DomainSpec) -> ET.Element:
    clock = ET.Element("clock", offset="utc")
    ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
    ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    ET.SubElement(clock, "timer", name="hpet", present="yes" if spec.hpet else "no")
    return clock


def _controllers(spec: DomainSpec) -> Sequence[ET.Element]:
    found = [ET.Element("controller", type="usb", model="none")]
    if any(disk.bus == "scsi" for disk in spec.disks):
        found.append(ET.Element("controller", type="scsi", index="0", model="virtio-scsi"))
    if "q35" in spec.machine:
        found.append(ET.Element("controller", type="pci", index="0", model="pcie-root"))
        ports = len(spec.disks) + len(spec.interfaces) + _SPARE_PORTS
        found.extend(ET.Element("controller", type="pci", model="pcie-root-port") for _ in range(ports))
    return found


def _disk(disk: Disk) -> ET.Element:
    kind = "network" if disk.network is not None else "block" if disk.block else "file"
    element = ET.Element("disk", type=kind, device=disk.device)
    driver = {"name": "qemu", "type": disk.format, "cache": disk.cache}
    if disk.device == "disk" and not disk.read_only:
        driver["discard"] = "unmap"
    ET.SubElement(element, "driver", driver)
    if disk.network is not None:
        element.append(render_source(disk.network))
    else:
        ET.SubElement(element, "source", {"dev" if disk.block else "file": disk.path})
    ET.SubElement(element, "target", dev=disk.target, bus=disk.bus)
    if disk.read_only or disk.device == "cdrom":
        ET.SubElement(element, "readonly")
    elif disk.shared:
        ET.SubElement(element, "shareable")
    _leaf(element, "serial", disk.serial)
    if disk.limits:
        tune = ET.SubElement(element, "iotune")
        for name, value in sorted(disk.limits.items()):
            _leaf(tune, name, str(value))
    if disk.boot is not None:
        ET.SubElement(element, "boot", order=str(disk.boot))
    ET.SubElement(element, "alias", name=disk.alias)
    return element


def _interface(interface: Interface) -> ET.Element:
    element = ET.Element("interface", type="ethernet")
    ET.SubElement(element, "mac", address=interface.mac)
    ET.SubElement(element, "target", dev=interface.tap, managed="no")
    ET.SubElement(element, "model", type=interface.model)
    if interface.model == "virtio" and (interface.queues > 1 or not interface.offloads):
        driver = ET.SubElement(element, "driver")
        if interface.queues > 1:
            driver.set("queues", str(interface.queues))
        if not interface.offloads:
            driver.set("name", "qemu")  # vhost would be the kernel's, which has offloads of its own mind
            ET.SubElement(driver, "host", dict.fromkeys(_NO_OFFLOAD_HOST, "off"))
            ET.SubElement(driver, "guest", dict.fromkeys(_NO_OFFLOAD_GUEST, "off"))
    if interface.mtu is not None:
        ET.SubElement(element, "mtu", size=str(interface.mtu))
    if interface.boot is not None:
        ET.SubElement(element, "boot", order=str(interface.boot))
    else:
        ET.SubElement(element, "rom", enabled="no")  # no network boot: seconds saved at each start
    ET.SubElement(element, "alias", name=interface.alias)
    return element


def _fittings(spec: DomainSpec) -> Sequence[ET.Element]:
    serial = ET.Element("serial", type="pty")
    if spec.console_log is not None:
        # Appending is what lets another process shorten the file under QEMU's feet.
        ET.SubElement(serial, "log", file=spec.console_log, append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    found = [serial]
    video = ET.Element("video")
    if not spec.display:
        ET.SubElement(video, "model", type="none")
    else:
        graphics = ET.Element("graphics", type="vnc")
        ET.SubElement(graphics, "listen", type="none")
        ET.SubElement(video, "model", type="vga")
        found += [graphics, ET.Element("input", type="tablet", bus="virtio")]
    found.append(video)
    if spec.random is not None:
        rng = ET.Element("rng", model="virtio")
        if spec.random.rate_bytes:
            rate = ET.SubElement(rng, "rate", bytes=str(spec.random.rate_bytes))
            if spec.random.period_ms:
                rate.set("period", str(spec.random.period_ms))
        _leaf(rng, "backend", "/dev/urandom", model="random")
        found.append(rng)
    if spec.watchdog is not None:
        found.append(ET.Element("watchdog", model="i6300esb", action=spec.watchdog))
    if spec.guest_agent:
        channel = ET.Element("channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
        found.append(channel)
    balloon = ET.Element("memballoon", model="virtio", freePageReporting="on")
    ET.SubElement(balloon, "stats", period="10")
    return [*found, balloon]


def _alias(kind: str, name: str) -> str:
    return f"ua-{kind}-{re.sub('[^A-Za-z0-9_-]', '_', name)}"


def _leaf(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _text(element: ET.Element) -> str:
    ET.indent(element)
    return ET.tostring(element, encoding="unicode") + "\n"
