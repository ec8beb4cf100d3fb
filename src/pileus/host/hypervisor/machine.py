"""A server as the hypervisor needs it described. Pure."""

from __future__ import annotations

from typing import Any, cast

from pileus.drivers.libvirt.domain import (
    Disk,
    DiskBus,
    DomainSpec,
    Interface,
    RandomDevice,
    device_aliases,
    interface_alias,
)
from pileus.drivers.libvirt.hypervisor import NAME_PREFIX, Power
from pileus.drivers.netlink.links import Tap
from pileus.host.hypervisor.records import Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.volumes import has_boot_volume, with_volumes
from pileus.wire.hypervisor import Hardware, ServerDetails, ServerPort

LABEL = "pileus-server "
"""The label of a tap of ours, before its port's id."""

_POWER_STATES = {
    Power.RUNNING: 1,
    Power.SHUTDOWN: 1,
    Power.PAUSED: 3,
    Power.OFF: 4,
    Power.CRASHED: 6,
    Power.SUSPENDED: 7,
    Power.UNKNOWN: 0,
}
_SUSPENDED = 7
_CARD = interface_alias("")
_CONSOLES = "console=tty0 console=ttyS0"


def tap_name(port_id: str) -> str:
    """As Nova names it: ``tap`` and the first 11 characters of the port's id (Linux allows 15)."""
    return f"tap{port_id[:11]}"


def port_ids(definition: str, tap: str) -> list[str]:
    """Ports of a running machine's cards on this tap, by the aliases in its definition: the switch may no
    longer know it."""
    ids = [alias.removeprefix(_CARD) for alias in device_aliases(definition) if alias.startswith(_CARD)]
    return [port_id for port_id in ids if tap_name(port_id) == tap]


def tap(port: ServerPort) -> Tap:
    return Tap(tap_name(port.port_id), port.mtu, LABEL + port.port_id)


def power_state(power: Power | None, applied: str) -> int:
    """Power as Nova counts it; a machine whose memory was saved is off to the hypervisor."""
    if power is None:
        return 0
    if power is Power.OFF and applied == "suspended":
        return _SUSPENDED
    return _POWER_STATES[power]


def interface(port: ServerPort, settings: NodeSettings, model: str = "virtio") -> Interface:
    return Interface(
        port_id=port.port_id,
        mac=port.mac_address,
        tap=tap_name(port.port_id),
        mtu=port.mtu,
        model=model,
        offloads=settings.offloads,
    )


_TARGETS: dict[DiskBus, tuple[str, str]] = {
    "virtio": ("vd", "z"),
    "scsi": ("sd", "z"),
    "sata": ("sd", "f"),  # one controller has six ports
    "ide": ("hd", "d"),
}
"""Names of disks on a bus, and the letter at the far end."""


def root_target(hardware: Hardware) -> str:
    """The root disk's name in the machine."""
    return f"{_TARGETS[cast(DiskBus, hardware.disk_bus)][0]}a"


def _asked_for(hardware: Hardware) -> dict[str, Any]:
    """Read what the image or the flavor asks for; nothing of what they are silent about."""
    asked: dict[str, Any] = {
        "boot_menu": hardware.boot_menu,
        "hpet": hardware.hpet,
        "pmu": hardware.pmu,
        "hide_hypervisor": hardware.hide_hypervisor,
        "guest_agent": hardware.guest_agent,
    }
    if hardware.machine_type:
        asked["machine"] = hardware.machine_type
    if hardware.sockets:
        asked["topology"] = (hardware.sockets, hardware.cores, hardware.threads)
    if hardware.watchdog_action not in ("", "disabled"):
        asked["watchdog"] = hardware.watchdog_action
    if not hardware.random_device:
        asked["random"] = None
    elif hardware.random_rate_bytes:
        asked["random"] = RandomDevice(
            rate_bytes=hardware.random_rate_bytes, period_ms=hardware.random_rate_period_ms
        )
    return asked


def _boot_files(server: ServerDetails, places: Places) -> dict[str, Any]:
    """The kernel that is started without a boot loader. Not for a rescue, whose image has its own."""
    hardware = server.hardware
    if not hardware.kernel_id or server.rescue is not None:
        return {}
    arguments = hardware.kernel_arguments or f"root=/dev/{root_target(hardware)} {_CONSOLES}"
    ramdisk = str(places.ramdisk) if hardware.ramdisk_id else ""
    return {"kernel": str(places.kernel), "ramdisk": ramdisk, "kernel_arguments": arguments}


def _own_disks(server: ServerDetails, places: Places, bus: DiskBus) -> list[Disk]:
    """The root disk and what stands beside it; that of a rescue, and then it is booted from."""
    limits, rescue = server.hardware.disk_limits, server.rescue
    paths = [] if has_boot_volume(server) else [(places.root_disk, "root")]
    if server.ephemeral_gib:
        paths.append((places.ephemeral_disk, "ephemeral0"))
    if rescue is not None and not rescue.stable:
        paths.insert(0, (places.rescue_disk, "rescue"))
    booted = "root" if rescue is None else "rescue"
    letters = "abc" if paths and paths[0][1] != "ephemeral0" else "bcd"  # the first is the root volume's
    disks = [
        Disk(
            path=str(path),
            target=f"{_TARGETS[bus][0]}{letter}",
            serial=serial,
            bus=bus,
            boot=1 if serial == booted else None,
            limits=limits,
        )
        for letter, (path, serial) in zip(letters, paths, strict=False)
    ]
    if rescue is not None and rescue.stable:
        its_bus = cast(DiskBus, rescue.bus or bus)
        taken = len(disks) if its_bus == bus else 0
        is_disk = rescue.device == "disk"
        disks.append(
            Disk(
                path=str(places.rescue_disk),
                target=f"{_TARGETS[its_bus][0]}{'abcd'[taken]}",
                serial="rescue",
                device="disk" if is_disk else "cdrom",
                bus=its_bus,
                read_only=not is_disk,
                boot=1,
            )
        )
    return disks


def domain_spec(server: ServerDetails, places: Places, settings: NodeSettings) -> DomainSpec:
    """The machine. The config drive hangs at the far end, so that volumes follow the root disk."""
    hardware = server.hardware
    bus = cast(DiskBus, hardware.disk_bus)
    letters, last = _TARGETS[bus]
    disks = _own_disks(server, places, bus)
    disks = with_volumes(disks, server.volumes, bus, boots=server.rescue is None)
    if server.config_drive is not None:
        disks.append(
            Disk(
                path=str(places.config_drive),
                target=letters + last,
                serial="config-drive",
                format="raw",
                bus=bus,
                read_only=True,
            )
        )
    return DomainSpec(
        uuid=server.server_id,
        name=NAME_PREFIX + server.server_id,
        title="".join(c if c.isprintable() else " " for c in server.name),
        vcpus=server.vcpus,
        memory_mib=server.memory_mib,
        disks=tuple(disks),
        interfaces=tuple(interface(port, settings, hardware.vif_model) for port in server.ports),
        console_log=str(places.console),
        kvm=settings.kvm,
        display=settings.display,
        tcg_cache_mib=None if settings.kvm else settings.tcg_cache_mib,
        labels={"generation": str(server.generation)},
        **_asked_for(hardware),
        **_boot_files(server, places),
    )
