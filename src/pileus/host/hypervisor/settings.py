"""The settings of a hypervisor agent's node."""

from __future__ import annotations

from pathlib import Path

import msgspec


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``instances``: the folder of the machines' disks; QEMU's user must be able to pass through it and all
    above it. ``durable`` False: what is remembered outlives the process, not the machine (simulation)."""

    instances: Path
    integration_bridge: str = "br-int"
    kvm: bool = False
    offloads: bool = True
    """False with a switch in user space."""
    tcg_cache_mib: int = 128
    """Memory for translated code, a machine, where there is no KVM."""
    shutdown_timeout_s: float = 60.0
    """Time that a guest has after the power button was pressed."""
    display: bool = True
    """Whether machines have a video card and a display."""
    at_once: int = 8
    """Machines that are worked on at the same time."""
    console_limit: int = 1 << 20
    """Bytes of a console's log that are kept."""
    image_keep_s: float = 86400.0
    """Time that a base image stays after no machine uses it."""
    reserved_memory_mib: int = 0
    reserved_disk_gib: int = 0
    disk_gib: int | None = None
    """Disk that is there; None: what the folder's file system has."""
    heartbeat_interval_s: float = 30.0
    availability_zone: str = ""
    migration_address: str = ""
    """Where other hosts reach this one with machines that come; empty: none does."""
    migration_ports: range = range(0)
    """Ports for them; none: any."""
    durable: bool = True
    boot_id: str = ""
    """Another one after each start of the host; empty: not known, and then no start is noticed."""
    resume: bool = True
    """Whether machines that ran when the host went down are started when it is up again."""
