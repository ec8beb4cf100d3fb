"""Desired state of a node's virtual machines, and what the hypervisor agent reports.

A machine's life is a goal that may move (it shall run, be stopped, be gone), so it is desired
state like a port's. What happens once (a reboot, a snapshot) is an *operation*: a row that
the agent takes, carries out and reports by its id, so that it happens once however often
the agent or the server is killed.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pileus.wire.connections import VolumeConnection
from pileus.wire.records import Record
from pileus.wire.types import (
    Count,
    FilePath,
    Hash,
    HostName,
    IpAddress,
    Line,
    MacAddress,
    Moment,
    Mtu,
    NameLine,
    OptionalWord,
    Pem,
    Position,
    PowerState,
    ServicePortNumber,
    Size,
    Text,
    UrlPath,
    Uuid,
    Word,
    clip,
)

DISK_FORMATS = ("raw", "qcow2")
"""The sources from which a machine's disk can begin."""


class ImageSource(Record, frozen=True):
    """Where a disk's content comes from. ``path`` is below the server's address and carries its
    ticket; ``size`` in bytes; the content's hash is checked after the download and names the cache."""

    image_id: Uuid
    disk_format: Word
    size: Size
    os_hash_algo: OptionalWord
    os_hash_value: Hash
    path: UrlPath


class ServerPort(Record, frozen=True):
    """A port of a server: the hypervisor agent makes its tap and plugs it into br-int."""

    port_id: Uuid
    mac_address: MacAddress
    mtu: Mtu = 1500


class ServerVolume(Record, frozen=True):
    """A volume that a machine shall have as a disk, opened by ``connection``.

    ``device``: its name there (``vdb``; empty: the next one that is free), on ``bus`` (empty: as the
    machine's other disks). ``boot``: it is the root disk, and the machine has no other. ``size_gib`` grows:
    the guest is told. ``limits``: by libvirt's names (``read_bytes_sec``). ``shared``: others may write to it
    at the same time.
    """

    volume_id: Uuid
    connection: VolumeConnection
    size_gib: Count = 0
    device: OptionalWord = ""
    bus: OptionalWord = ""
    boot: bool = False
    read_only: bool = False
    shared: bool = False
    limits: dict[Word, Size] = msgspec.field(default_factory=dict)


class PendingOperation(Record, frozen=True):
    """Something to do once: ``reboot`` (``{"type": "SOFT"|"HARD"}``), ``snapshot``, ``rescue``, …"""

    operation_id: Uuid
    kind: Word
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class Hardware(Record, frozen=True):
    """Hardware that a machine's image or flavor asks for; the defaults are what every other machine has.

    Zero ``sockets``: one for each virtual CPU. ``watchdog_action`` empty: no watchdog. ``pmu`` None: as the
    hypervisor has it. ``disk_limits``: of each disk, by libvirt's names (``read_bytes_sec``). ``kernel_id``:
    the image of the kernel that the hypervisor itself starts, None where the disk has one.
    """

    disk_bus: Word = "virtio"
    vif_model: Word = "virtio"
    machine_type: OptionalWord = ""
    sockets: Count = 0
    cores: Count = 0
    threads: Count = 0
    boot_menu: bool = False
    hpet: bool = False
    pmu: bool | None = None
    hide_hypervisor: bool = False
    guest_agent: bool = False
    watchdog_action: OptionalWord = ""
    random_device: bool = True
    random_rate_bytes: Size = 0
    random_rate_period_ms: Size = 0
    kernel_id: Uuid | None = None
    ramdisk_id: Uuid | None = None
    kernel_arguments: Line = ""
    disk_limits: dict[Word, Size] = msgspec.field(default_factory=dict)


class Rescue(Record, frozen=True):
    """The image that a rescued machine is booted from. ``stable``: the disks keep their places, and
    the image comes last, as a ``device`` (``disk`` or ``cdrom``) on a ``bus`` (empty: as the others)."""

    image: ImageSource
    stable: bool = False
    device: Word = "disk"
    bus: OptionalWord = ""


class Carried(Record, frozen=True):
    """The disks that a machine is made of, where it does not begin from its image.

    ``kind``: ``brought``, from the disks that its host before has brought (``root``, ``ephemeral``);
    ``grown``, from its own disks on this host, which are kept; ``back``, of the disks that were kept.
    """

    kind: Word
    root: ImageSource | None = None
    ephemeral: ImageSource | None = None


class ServerDetails(Record, frozen=True):
    """A server that this host shall have.

    ``generation`` grows when the machine has to be built anew (rebuild, resize). ``wanted`` is
    ``running``, ``stopped``, ``paused`` or ``suspended``. ``config_drive`` maps file names
    (``openstack/latest/meta_data.json``) to contents, None where the server has none.
    """

    server_id: Uuid
    name: Text
    generation: Count
    wanted: Word
    vcpus: Count
    memory_mib: Count
    root_gib: Count
    image: ImageSource | None
    ports: tuple[ServerPort, ...] = ()
    ephemeral_gib: Count = 0
    config_drive: dict[FilePath, bytes] | None = None
    operations: tuple[PendingOperation, ...] = ()
    extra_specs: dict[Text, Text] = msgspec.field(default_factory=dict)
    hardware: Hardware = Hardware()
    rescue: Rescue | None = None
    carried: Carried | None = None
    volumes: tuple[ServerVolume, ...] = ()
    kernel: ImageSource | None = None
    ramdisk: ImageSource | None = None


class Incoming(Record, frozen=True):
    """A server that comes to this host from another one while it runs. The host makes room for it, and lets
    in whoever has the ``certificate`` of the host where it is now."""

    operation_id: Uuid
    server: ServerDetails
    certificate: Pem = ""


class Door(Record, frozen=True):
    """Where a host lets another one in with a server that comes: the result of its operation. ``folder``:
    where the server's disks are to be there."""

    address: IpAddress
    port: ServicePortNumber
    folder: Line


class HypervisorStateRequest(Record, frozen=True):
    """``servers``: None asks for all of the host."""

    host: HostName
    servers: tuple[Uuid, ...] | None = None


class HypervisorState(Record, frozen=True):
    """The answer, read in one transaction. A server that was asked for and is missing here shall not
    be on the host: its domain, disks and taps go."""

    position: Position
    servers: tuple[ServerDetails, ...] = ()
    leaving: tuple[Uuid, ...] = ()
    """Servers of this host that are being deleted: each is reported in ``gone`` when nothing of it is
    here any more, also one that never was."""
    kept: tuple[Uuid, ...] = ()
    """Servers that are elsewhere, of which what is here stays as it is, switched off."""
    incoming: tuple[Incoming, ...] = ()


class Step(Record, frozen=True):
    """A step of a server's life that happened on the node, for its timeline: ``image.fetch``,
    ``disk.create``, ``ports.plug``, ``domain.define``, ``domain.start``, ``guest.lease``, …

    ``started_at`` and ``finished_at`` as ISO 8601 in UTC.
    """

    name: Word
    started_at: Moment
    finished_at: Moment
    detail: Text = ""
    error: Text = ""

    def __post_init__(self) -> None:
        clip(self, "detail", "error")


class ServerReport(Record, frozen=True):
    """A server as it is. ``power_state`` as Nova counts it: 0 no state, 1 running, 3 paused,
    4 shut down, 6 crashed, 7 suspended. ``error`` says why it could not be brought to where it
    should be (None: it is there, or on its way). ``volumes``: those that it has;
    ``refused``: why it could not get or let go of others, by their ids."""

    server_id: Uuid
    generation: Count
    power_state: PowerState
    in_place: bool
    error: Text | None = None
    steps: tuple[Step, ...] = ()
    volumes: tuple[Uuid, ...] = ()
    refused: dict[Uuid, Text] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        clip(self, "error", "refused")


class OperationReport(Record, frozen=True):
    """How an operation ended; ``error`` None when it went well."""

    operation_id: Uuid
    error: Text | None = None
    result: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        clip(self, "error")


class MigrationProgress(Record, frozen=True):
    """How far the live migration of a server has come; sizes in bytes. ``switching``: its guest is stopped
    here, and is about to go on at the other host."""

    operation_id: Uuid
    switching: bool = False
    memory_total: Size = 0
    memory_processed: Size = 0
    memory_remaining: Size = 0
    disk_total: Size = 0
    disk_processed: Size = 0
    disk_remaining: Size = 0


class Inventory(Record, frozen=True):
    """The resources of the host, and how much of them is used."""

    hypervisor_type: Word
    hypervisor_version: Count
    hypervisor_hostname: HostName
    vcpus: Count
    memory_mib: Count
    disk_gib: Count
    memory_used_mib: Count = 0
    disk_free_gib: Count = 0
    cpu_info: dict[str, Any] = msgspec.field(default_factory=dict)
    virtualisation: Annotated[Word, Meta(max_length=32)] = "qemu"
    availability_zone: NameLine = ""
    booted_at: Moment = ""
    """When the host began to run, ISO 8601 in UTC; empty where the agent can't tell."""
    certificate: Pem = ""
    """By which other hosts' agents know this one's; empty: it takes part in no live migrations."""


class HypervisorReport(Record, frozen=True):
    """Changes on the host since the last report. ``gone``: servers of which nothing is left here.

    ``present``, after everything that is wanted was read (at ``position``): all servers of which something
    is here. One that was to go before that and is not among them is gone, even if nobody ever said so.
    """

    host: HostName
    servers: tuple[ServerReport, ...] = ()
    operations: tuple[OperationReport, ...] = ()
    gone: tuple[Uuid, ...] = ()
    inventory: Inventory | None = None
    present: tuple[Uuid, ...] | None = None
    position: Position = 0
    progress: tuple[MigrationProgress, ...] = ()
