"""The hypervisor as agents see it: the verbs, what they give back, and what they raise.

Verbs can be repeated: starting what runs, stopping what is off and removing what is gone do
nothing. ``driver.LibvirtHypervisor`` does them for real, ``simulated.SimulatedHypervisor``
keeps the same state without running anything.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from pileus.core.streams import ByteStream
from pileus.drivers.libvirt.domain import Disk, DomainSpec, Interface
from pileus.drivers.libvirt.sources import Secret

NAME_PREFIX = "pileus-"
"""Domains whose name begins so are ours; others are neither listed nor touched."""


class HypervisorFailed(Exception):
    """libvirt or QEMU refused or failed; ``verb`` is what was asked of it, the text its reason."""

    def __init__(self, verb: str, reason: str) -> None:
        self.verb = verb
        self.reason = reason
        super().__init__(f"{verb}: {reason}")


class HypervisorUnavailable(HypervisorFailed):
    """No connection to libvirt now; it is being made again."""


class DomainMissing(HypervisorFailed):
    """There is no such domain."""


class NotDefined(HypervisorFailed):
    """Descriptions that libvirt did not take: by the machine's UUID, why. The batch's others are defined."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        super().__init__("ensure_defined", "; ".join(f"{uuid}: {text}" for uuid, text in reasons.items()))


class NotDetached(HypervisorFailed):
    """The guest did not let go of a device in the time allowed."""


class ConsoleMissing(HypervisorFailed):
    """The machine has no such console now."""


class GuestSilent(HypervisorFailed):
    """QEMU's agent in the guest does not answer (yet), or what it runs does not end."""


class Power(enum.Enum):
    """virDomainState, in fewer words."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutting down"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"
    """By the guest's own power management."""
    UNKNOWN = "unknown"


class DomainState(msgspec.Struct, frozen=True):
    """A domain of ours, as listed."""

    uuid: str
    name: str
    power: Power


class Change(enum.Enum):
    """The kind of an event."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    """Off: shut down, destroyed, saved or failed."""
    CRASHED = "crashed"
    SUSPENDED = "suspended"
    REBOOTED = "rebooted"
    DEVICE_REMOVED = "device removed"
    CONNECTED = "connected"
    """libvirt answers (again): events may have been missed, so list. Has no domain."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a domain of ours; ``detail`` is libvirt's word on why, where it has one."""

    change: Change
    uuid: str = ""
    detail: str = ""


class DiskStats(msgspec.Struct, frozen=True):
    """Counters since the start of the machine; sizes in bytes."""

    target: str
    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
    capacity_bytes: int = 0
    allocated_bytes: int = 0


class InterfaceStats(msgspec.Struct, frozen=True):
    """Counters of a tap, seen from the guest: what it received and what it sent."""

    tap: str
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_drops: int = 0
    rx_errors: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_drops: int = 0
    tx_errors: int = 0


class DomainStats(msgspec.Struct, frozen=True):
    """The resources that a domain uses; zeros for one that is off."""

    uuid: str
    power: Power
    vcpus: int = 0
    cpu_time_ns: int = 0
    memory_mib: int = 0
    memory_rss_mib: int = 0
    memory_unused_mib: int | None = None
    """Free memory as the guest's balloon driver tells it; None when it does not."""
    disks: tuple[DiskStats, ...] = ()
    interfaces: tuple[InterfaceStats, ...] = ()


class HostFacts(msgspec.Struct, frozen=True):
    """The machine under the hypervisor. ``version`` is QEMU's, as Nova counts it: 7.2.22 is 7002022."""

    hostname: str
    cpus: int
    memory_mib: int
    hypervisor: str
    version: int
    libvirt_version: int
    arch: str


class MigrationStats(msgspec.Struct, frozen=True):
    """How far a machine that leaves has come, in bytes."""

    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0


CONTROL, MEMORY, DISKS = "control", "memory", "disks"
CHANNELS = (CONTROL, MEMORY, DISKS)
"""The lines between two hypervisors while a machine goes from one to the other: each is a stream of bytes
that connections are made through. They carry no secrets of their own and know nobody: whoever lays them sees
to it that the right one is at the other end."""


class GuestSaid(msgspec.Struct, frozen=True):
    """How a program ended that QEMU's agent has run in a guest; ``output``: both its streams."""

    exit_code: int
    output: bytes = b""


Channel = tuple[asyncio.StreamReader, asyncio.StreamWriter]


ConsoleKind = Literal["vnc", "serial"]


class Hypervisor(Protocol):
    """One host's machines. All verbs raise HypervisorFailed or one of its kinds."""

    events: asyncio.Queue[Event]
    """Events as they come; for one reader."""

    async def connect(self) -> None:
        """Reach libvirt; afterwards a lost connection is made again by itself."""

    async def close(self) -> None:
        """Let go of libvirt; machines run on."""

    async def host(self) -> HostFacts: ...

    async def list_domains(self) -> list[DomainState]:
        """All domains of ours, in one call."""

    async def stats(self, uuids: Collection[str] | None = None) -> dict[str, DomainStats]:
        """Read what domains use (None: all of ours), in one call; missing ones are left out."""

    async def definition(self, uuid: str) -> str:
        """The XML that libvirt holds: of the running machine, else of its next start."""

    async def ensure_defined(self, specs: Sequence[DomainSpec]) -> list[str]:
        """Define what is not defined as described; gives back the UUIDs that were touched. A running
        machine takes a changed definition up at its next start. Raises NotDefined."""

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """Start, or go on from a managed save; a paused machine stays so."""

    async def shutdown(self, uuid: str, timeout_s: float) -> bool:
        """Press the power button, and pull the plug after ``timeout_s``. Gives back whether the guest
        went by itself. A paused machine can't hear: it is destroyed."""

    async def destroy(self, uuid: str) -> None:
        """Pull the plug; drops a managed save, as a machine that is off has none."""

    async def reboot(self, uuid: str, *, hard: bool, timeout_s: float = 60.0) -> bool:
        """Off and on again, by the present definition. Hard: the plug is pulled. Soft: as ``shutdown``
        with ``timeout_s``, of a machine that runs. Gives back whether the guest went by itself."""

    async def suspend(self, uuid: str) -> None:
        """Stop the virtual processors; memory stays (Nova's pause)."""

    async def resume(self, uuid: str) -> None: ...

    async def interrupt(self, uuid: str) -> None:
        """Send a non-maskable interrupt into a machine that runs or is paused, which makes most guests write
        their memory out."""

    async def save(self, uuid: str) -> None:
        """Write memory to a file and stop (Nova's suspend); ``start`` goes on from there."""

    async def undefine(self, uuids: Collection[str]) -> None:
        """Destroy and forget, with managed save and NVRAM. Disks stay."""

    async def copy_disk(self, uuid: str, target: str, path: Path, *, quiesce: bool = False) -> None:
        """Copy a disk of a machine that runs or is paused, as it is in this moment, into a new qcow2 that
        lies on no other file. The guest goes on meanwhile.

        ``target`` is the disk's name in the machine (``vda``). ``quiesce``: the guest's agent writes out and
        holds its file systems while the moment is taken. A copy that was begun before is begun anew.
        """

    async def run_in_guest(
        self, uuid: str, command: Sequence[str], input: bytes = b"", timeout_s: float = 30.0
    ) -> GuestSaid:
        """Run a program in the guest by QEMU's agent there. GuestSilent where none answers, or the program
        does not end in time."""

    async def open_console(self, uuid: str, kind: ConsoleKind) -> ByteStream:
        """Connect to a running machine's display (it speaks RFB) or to its first serial line. Whoever had the
        serial line before loses it. ConsoleMissing where there is none, or the machine is off."""

    async def attach_interface(self, uuid: str, interface: Interface) -> None:
        """Now if it runs, and for its next start."""

    async def detach_interface(self, uuid: str, port_id: str, timeout_s: float = 20.0) -> None:
        """Raises NotDetached when a running guest keeps the device; it is not there at the next start."""

    async def attach_disk(self, uuid: str, disk: Disk) -> None: ...

    async def detach_disk(self, uuid: str, serial: str, timeout_s: float = 20.0) -> None: ...

    async def resize_file(self, path: Path, size: int) -> bool:
        """Make a file larger that a running machine has as a disk, and tell the guest; False: none has."""

    async def move_to_overlays(self, moves: Mapping[Path, Path]) -> set[Path]:
        """Let running machines that have files as disks go on, each in a qcow2 that lies on it: all disks of
        one machine at one moment. Those that some machine had."""

    async def resize_disk(self, uuid: str, serial: str, size: int) -> None:
        """Tell a running guest that a disk has become larger; its source is so already, or is a file that
        becomes so now. Nothing where the machine is off."""

    async def ensure_secrets(self, secrets: Sequence[Secret]) -> None:
        """Have libvirt know these, for disks that name them. It forgets them when it ends."""

    async def drop_secrets(self, uuids: Collection[str]) -> None: ...

    # -- machines that go from one host to another while they run; ``way`` names a migration on both hosts

    async def way_out(self, way: str) -> Mapping[str, Path]:
        """Get ready for a machine that leaves. Gives back, by channel, the paths at which somebody has to
        listen and carry what is said to the other host."""

    async def stops_for_memory(self, uuid: str) -> bool:
        """Whether the guest has to stand still (``force_migration``) before the first bytes of its memory
        are carried, as the hypervisor would lose track of what it writes."""

    async def migrate(self, uuid: str, way: str, folder: Path, new_folder: str) -> None:
        """Bring a machine with the content of its disks to the other host, where its files are below
        ``new_folder``; it is not here afterwards. A machine that fails to go stays and runs on. When the
        guest is stopped here, so that it goes on there, an event says so (PAUSED, ``migrated``)."""

    async def migration_stats(self, uuid: str) -> MigrationStats | None:
        """How far it is; None where the machine is not about to leave."""

    async def abort_migration(self, uuid: str) -> None:
        """Have it stay; nothing where it is not about to leave."""

    async def force_migration(self, uuid: str) -> None:
        """Stop the guest until it is on the other host, so that it gets there."""

    async def expect(self, way: str, spec: DomainSpec) -> None:
        """Let this machine come, whose disks are there in their sizes."""

    async def channel(self, way: str, name: str) -> Channel:
        """Connect to this end of a channel of a machine that is expected."""

    async def way_closed(self, way: str) -> None:
        """Forget a way, on either side."""
