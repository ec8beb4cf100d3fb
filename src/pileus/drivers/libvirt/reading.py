"""libvirt's numbers and flat lists of statistics, read into our words. Pure, and needs no libvirt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.drivers.libvirt.hypervisor import Change, DiskStats, DomainStats, InterfaceStats, Power

POWER = {
    1: Power.RUNNING,
    2: Power.RUNNING,  # blocked on a resource: Xen's word
    3: Power.PAUSED,
    4: Power.SHUTDOWN,
    5: Power.OFF,
    6: Power.CRASHED,
    7: Power.SUSPENDED,
}
"""virDomainState."""

LIFECYCLE: dict[int, tuple[Change, tuple[str, ...]]] = {
    0: (Change.DEFINED, ("added", "updated", "renamed", "from snapshot")),
    1: (Change.UNDEFINED, ("removed", "renamed")),
    2: (Change.STARTED, ("booted", "migrated", "restored", "from snapshot", "wakeup")),
    3: (
        Change.PAUSED,
        ("paused", "migrated", "ioerror", "watchdog", "restored", "from snapshot", "api error", "postcopy"),
    ),
    4: (Change.RESUMED, ("unpaused", "migrated", "from snapshot", "postcopy")),
    5: (
        Change.STOPPED,
        ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot"),
    ),
    # 6: the guest has finished going down; a stop follows at once.
    7: (Change.SUSPENDED, ("memory", "disk")),
    8: (Change.CRASHED, ("panicked", "crashloaded")),
}
"""virDomainEventType to our word and the words of its detail."""

_MIB = 1024


def read_stats(uuid: str, values: Mapping[str, Any]) -> DomainStats:
    """One domain's record of virConnectGetAllDomainStats."""
    unused_kib = values.get("balloon.unused")
    return DomainStats(
        uuid=uuid,
        power=POWER.get(values.get("state.state", 0), Power.UNKNOWN),
        vcpus=values.get("vcpu.current", 0),
        cpu_time_ns=values.get("cpu.time", 0),
        memory_mib=values.get("balloon.current", 0) // _MIB,
        memory_rss_mib=values.get("balloon.rss", 0) // _MIB,
        memory_unused_mib=unused_kib // _MIB if unused_kib is not None else None,
        disks=tuple(
            DiskStats(
                target=values[f"block.{i}.name"],
                read_bytes=values.get(f"block.{i}.rd.bytes", 0),
                read_requests=values.get(f"block.{i}.rd.reqs", 0),
                write_bytes=values.get(f"block.{i}.wr.bytes", 0),
                write_requests=values.get(f"block.{i}.wr.reqs", 0),
                capacity_bytes=values.get(f"block.{i}.capacity", 0),
                allocated_bytes=values.get(f"block.{i}.allocation", 0),
            )
            for i in range(values.get("block.count", 0))
        ),
        interfaces=tuple(
            InterfaceStats(
                tap=values[f"net.{i}.name"],
                rx_bytes=values.get(f"net.{i}.rx.bytes", 0),
                rx_packets=values.get(f"net.{i}.rx.pkts", 0),
                rx_drops=values.get(f"net.{i}.rx.drop", 0),
                rx_errors=values.get(f"net.{i}.rx.errs", 0),
                tx_bytes=values.get(f"net.{i}.tx.bytes", 0),
                tx_packets=values.get(f"net.{i}.tx.pkts", 0),
                tx_drops=values.get(f"net.{i}.tx.drop", 0),
                tx_errors=values.get(f"net.{i}.tx.errs", 0),
            )
            for i in range(values.get("net.count", 0))
            if f"net.{i}.name" in values
        ),
    )
