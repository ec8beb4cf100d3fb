"""The states of volumes, snapshots and attachments, and what may be done in which."""

from __future__ import annotations

CREATING, AVAILABLE, IN_USE = "creating", "available", "in-use"
ATTACHING, DETACHING, RESERVED = "attaching", "detaching", "reserved"
EXTENDING, ERROR_EXTENDING = "extending", "error_extending"
DELETING, ERROR_DELETING, ERROR = "deleting", "error_deleting", "error"
DOWNLOADING, UPLOADING = "downloading", "uploading"
RETYPING, REVERTING, MAINTENANCE = "retyping", "reverting", "maintenance"
BACKING_UP, RESTORING_BACKUP, ERROR_RESTORING = "backing-up", "restoring-backup", "error_restoring"
ERROR_BACKING_UP = "error_backing-up"
RESTORING = "restoring"
"""Of a backup that is put into a volume."""
AWAITING_TRANSFER, MANAGING, ERROR_MANAGING, UNMANAGING = (
    "awaiting-transfer",
    "managing",
    "error_managing",
    "unmanaging",
)

VOLUME_STATES = (
    *(CREATING, AVAILABLE, DELETING, ERROR, ERROR_DELETING, ERROR_MANAGING, MANAGING),
    *(ATTACHING, IN_USE, DETACHING, MAINTENANCE, RESTORING_BACKUP, ERROR_RESTORING, RESERVED),
    *(AWAITING_TRANSFER, BACKING_UP, ERROR_BACKING_UP, ERROR_EXTENDING, DOWNLOADING, UPLOADING),
    *(RETYPING, EXTENDING),
)
"""States to which an administrator may reset a volume."""
ATTACH_STATES = (ATTACHING, "attached", DETACHING, "detached", "error_attaching", "error_detaching")
MIGRATION_STATES = ("migrating", "error", "success", "completing", "none", "starting")
SNAPSHOT_STATES = (
    AVAILABLE,
    ERROR,
    CREATING,
    DELETING,
    ERROR_DELETING,
    BACKING_UP,
    RESTORING,
    "unmanaging",
)

DELETABLE = frozenset({AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_MANAGING, ERROR_DELETING})
"""States in which a volume can be deleted without force."""
SNAPSHOT_DELETABLE = frozenset({AVAILABLE, ERROR, ERROR_DELETING})

ATTACHED, RESERVED_ATTACHMENT, DETACHED = "attached", "reserved", "detached"
