"""Desired state of the pools of a node, and what its storage agent reports.

A volume is known by its id and its pool: while one moves from pool to pool both have it. That it can be
opened from a host is a goal, so it is desired state (:class:`VolumeExport`): an export that is named is
open, one that is no longer named is closed. What happens once (a volume is made, grows, is copied) is an
*operation*: the agent takes it, carries it out and reports it by its id, so that it happens once however
often the agent or the server is killed. Operations of one volume are carried out one after the other, in
the order in which they are named.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pileus.wire.connections import BLOCK as BLOCK
from pileus.wire.connections import FILE as FILE
from pileus.wire.connections import ISCSI as ISCSI
from pileus.wire.connections import NBD as NBD
from pileus.wire.connections import PROTOCOLS as PROTOCOLS
from pileus.wire.connections import RBD as RBD
from pileus.wire.connections import VolumeConnection as VolumeConnection
from pileus.wire.hypervisor import ImageSource, OperationReport
from pileus.wire.records import Record
from pileus.wire.types import (
    Count,
    HostName,
    IpAddress,
    NameLine,
    OptionalWord,
    Percent,
    PoolName,
    Position,
    ShortLine,
    Size,
    Text,
    UrlPath,
    Uuid,
    Word,
    clip,
)

CREATE = "create"
"""``size_gib``; ``source`` None: it is empty."""
DELETE = "delete"
"""Its exports are closed first; one that is not there is deleted. A snapshot that others depend on is an
error."""
EXTEND = "extend"
"""To ``size_gib``, also while it is open. A volume of that size or more is left as it is."""
SNAPSHOT = "snapshot"
"""Make ``snapshot_id``, also while it is open (consistent as after a crash)."""
SNAPSHOT_GROUP = "snapshot_group"
"""Make the snapshots of all ``members`` at one moment, or none; an operation of the host."""
DELETE_SNAPSHOT = "delete_snapshot"
REVERT = "revert"
"""Back to what it was in ``snapshot_id``, its newest; nobody has it open."""
UPLOAD = "upload"
"""Fill the image ``image`` with a copy, in the format ``disk_format``, and bring it to the server."""
BACKUP = "backup"
"""Copy it into ``backup``; result: ``{"size_bytes", "object_count"}``."""
DELETE_BACKUP = "delete_backup"
"""Also where its volume is gone: it is an operation of the host."""
VERIFY_BACKUP = "verify_backup"
"""Read all of it, and compare it with what it should be, ``size_gib`` long; an operation of the host as well.
Result: ``{"object_count"}``."""
RESTORE = "restore"
"""Overwrite it with ``backup``; nobody has it open."""
REWRITE = "rewrite"
"""Overwrite it with ``source``, an image; nobody has it open."""
MANAGE = "manage"
"""Take ``name``, which is in the pool already, for this volume; result: ``{"size_gib"}``."""
UNMANAGE = "unmanage"
"""Forget it and leave its bytes where they are, under a name that ``MANAGE`` would take."""

OPERATIONS = (
    *(CREATE, DELETE, EXTEND, SNAPSHOT, SNAPSHOT_GROUP, DELETE_SNAPSHOT, REVERT, UPLOAD),
    *(BACKUP, DELETE_BACKUP, VERIFY_BACKUP, RESTORE, REWRITE, MANAGE, UNMANAGE),
)
"""Kinds of operations. One that a storage agent does not know ends with an error."""

MANAGEABLE = "manageable_volumes"
"""A question: what is in ``{"pool"}`` and is none of ours? ``{"volumes": [{"name", "size_bytes",
"reason"}]}``, with ``reason`` why one can't be managed, or empty."""


class VolumeEncryption(Record, frozen=True):
    """LUKS inside of the volume. ``passphrase`` is told to QEMU alone, and is written into no file and no
    log."""

    passphrase: bytes
    cipher: ShortLine = "aes-xts-plain64"
    key_bits: Count = 256

    def __repr__(self) -> str:
        """Show how the volume is encrypted; the passphrase is no log's."""
        return f"VolumeEncryption({self.cipher!r}, {self.key_bits})"


class VolumeBackup(Record, frozen=True):
    """A backup: its id, its place below the node's backup target, and the one whose sequel it is (None:
    whole)."""

    backup_id: Uuid
    container: NameLine
    parent_id: Uuid | None = None
    encryption: VolumeEncryption | None = None


class VolumeSource(Record, frozen=True):
    """The content that a volume begins with: of ``image``, of the backup ``backup``, or of ``volume_id``,
    a volume in the same pool, as it is or as it was in its snapshot ``snapshot_id``."""

    image: ImageSource | None = None
    volume_id: Uuid | None = None
    snapshot_id: Uuid | None = None
    backup: VolumeBackup | None = None


class VolumeImage(Record, frozen=True):
    """An image that is to be filled: paths below the server's address, with their tickets."""

    image_id: Uuid
    disk_format: Word
    upload: UrlPath
    download: UrlPath


class GroupMember(Record, frozen=True):
    """A volume of a group, and the snapshot that is to be made of it."""

    volume_id: Uuid
    pool: PoolName
    snapshot_id: Uuid


class VolumeOperation(Record, frozen=True):
    """Something to do once with a volume; the words above say which fields a ``kind`` has."""

    operation_id: Uuid
    kind: Word
    size_gib: Count = 0
    snapshot_id: Uuid | None = None
    source: VolumeSource | None = None
    image: VolumeImage | None = None
    backup: VolumeBackup | None = None
    name: NameLine = ""
    members: tuple[GroupMember, ...] = ()


class VolumeExport(Record, frozen=True):
    """A volume shall be open for a host (``export_id`` is the attachment's).

    ``host`` is the name of whoever opens it: the agent gives the same host a file or a device, and others
    what ``protocols`` (best first) and the pool have in common. ``initiator`` and ``address`` are those
    of an outside initiator, where it said them.
    """

    export_id: Uuid
    host: NameLine
    read_only: bool = False
    protocols: tuple[Word, ...] = ()
    initiator: NameLine = ""
    address: IpAddress | None = None


class VolumeSnapshot(Record, frozen=True):
    """A snapshot that the volume has."""

    snapshot_id: Uuid


class VolumeDetails(Record, frozen=True):
    """A volume that a pool of this host has, or shall have once its operations are carried out.

    ``ready`` False: it is not made yet, or is about to go: nothing is missed where it is not there.
    ``limits``: of its exports, by QEMU's names (``iops-total``), where whoever opens it does not keep them.
    """

    volume_id: Uuid
    pool: PoolName
    size_gib: Count
    ready: bool = True
    snapshots: tuple[VolumeSnapshot, ...] = ()
    exports: tuple[VolumeExport, ...] = ()
    operations: tuple[VolumeOperation, ...] = ()
    encryption: VolumeEncryption | None = None
    limits: dict[Word, Size] = msgspec.field(default_factory=dict)


class VolumeStateRequest(Record, frozen=True):
    """``volumes``: None asks for all of the host's pools."""

    host: HostName
    volumes: tuple[Uuid, ...] | None = None


class VolumeState(Record, frozen=True):
    """The answer, read in one transaction.

    ``operations`` are about no volume, or about several: backups, and snapshots of groups.
    What lies in a pool and is not named here is told by ``present`` and left as it is: only an operation
    deletes bytes. Its exports are closed.
    """

    position: Position
    volumes: tuple[VolumeDetails, ...] = ()
    operations: tuple[VolumeOperation, ...] = ()


class ExportReport(Record, frozen=True):
    """An export that is open by ``connection``; or could not be opened, and why."""

    export_id: Uuid
    connection: VolumeConnection | None = None
    error: Text | None = None

    def __post_init__(self) -> None:
        clip(self, "error")


class VolumeProgress(Record, frozen=True):
    """How far an operation is."""

    operation_id: Uuid
    percent: Percent


class PoolReport(Record, frozen=True):
    """A pool as it is. Sizes in bytes; ``error``: why nothing can be put there now (None: it can).

    ``backend_name`` is what types name (``volume_backend_name``); ``capabilities`` are what else their
    extra specs may ask for. ``backups``: whether volumes of it can be backed up on this node;
    ``backup_place``: the word of the place that they are kept at, where other nodes have it, too. ``shared``:
    the pool, by this word, is the same as that of other nodes with the word (empty: it is this node's
    alone).
    """

    name: PoolName
    driver: Word
    backend_name: NameLine
    protocol: OptionalWord = ""
    total_bytes: Size = 0
    free_bytes: Size = 0
    thin: bool = True
    over_subscription_ratio: Annotated[float, Meta(ge=1.0, le=1000.0)] = 20.0
    reserved_percentage: Percent = 0
    multiattach: bool = True
    backups: bool = False
    backup_place: OptionalWord = ""
    shared: OptionalWord = ""
    availability_zone: NameLine = ""
    disk_formats: tuple[Word, ...] = ("raw", "qcow2")
    configurations: dict[str, Any] = msgspec.field(default_factory=dict)
    """Other capabilities: names and plain values (texts, numbers, truths)."""
    error: Text | None = None

    def __post_init__(self) -> None:
        clip(self, "error")


class StoredVolume(Record, frozen=True):
    """A volume of ours that lies in a pool."""

    volume_id: Uuid
    pool: PoolName


class VolumeReport(Record, frozen=True):
    """Changes on the host since the last report; ``pools`` (all of them) comes with each heartbeat.

    ``present``, after everything that is wanted was read (at ``position``): all volumes of ours in the pools.
    """

    host: HostName
    pools: Annotated[tuple[PoolReport, ...], Meta(max_length=256)] | None = None
    operations: tuple[OperationReport, ...] = ()
    exports: tuple[ExportReport, ...] = ()
    progress: tuple[VolumeProgress, ...] = ()
    present: tuple[StoredVolume, ...] | None = None
    position: Position = 0
