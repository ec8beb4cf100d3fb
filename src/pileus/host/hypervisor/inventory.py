"""The inventory of a host: its hypervisor's facts and its disk."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from pathlib import Path

from pileus.drivers.libvirt.hypervisor import HostFacts
from pileus.host.hypervisor.settings import NodeSettings
from pileus.wire.hypervisor import Inventory

_GIB = 1 << 30


def inventory(
    host: str, facts: HostFacts, settings: NodeSettings, memory_used_mib: int, certificate: str = ""
) -> Inventory:
    """The node's inventory, without what is reserved. ``certificate``: by which other hosts know it."""
    disk = os.statvfs(settings.instances)
    total, free = disk.f_blocks * disk.f_frsize // _GIB, disk.f_bavail * disk.f_frsize // _GIB
    if settings.disk_gib is not None:
        total = free = settings.disk_gib
    return Inventory(
        hypervisor_type=facts.hypervisor,
        hypervisor_version=facts.version,
        hypervisor_hostname=host,
        vcpus=facts.cpus,
        memory_mib=max(0, facts.memory_mib - settings.reserved_memory_mib),
        disk_gib=max(0, total - settings.reserved_disk_gib),
        memory_used_mib=memory_used_mib,
        disk_free_gib=max(0, free - settings.reserved_disk_gib),
        cpu_info={
            "arch": facts.arch,
            **processor(),
            "topology": {"sockets": facts.cpus, "cores": 1, "threads": 1},
        },
        virtualisation="kvm" if settings.kvm else "qemu",
        availability_zone=settings.availability_zone,
        booted_at=booted_at(),
        certificate=certificate,
    )


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Maker and model of the machine's processors (proc(5)); what it does not say is missing."""
    names = {"vendor_id": "vendor", "model name": "model"}
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                found.setdefault(names[name.strip()], value.strip())
            if not line.strip() and found:
                break  # the others are the same
    return found


def booted_at(stat: Path = Path("/proc/stat")) -> str:
    """The time when this machine began to run (proc(5)), ISO 8601 in UTC; empty where it does not say."""
    for line in stat.read_text().splitlines():
        if line.startswith("btime "):
            return dt.datetime.fromtimestamp(int(line.split()[1]), dt.UTC).isoformat()
    return ""


def memory_used_mib(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory of this machine that is not available to programs (proc(5))."""
    values = {}
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0])
    return (values["MemTotal"] - values["MemAvailable"]) // 1024
