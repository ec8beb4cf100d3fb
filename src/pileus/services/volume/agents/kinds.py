"""The kinds of operations that nodes carry out: a node's word for each, and what its end makes of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pileus.services.volume.backups import work as backups
from pileus.services.volume.backups.finishing import (
    finish_backup,
    finish_backup_delete,
    finish_restore,
    finish_verify,
)
from pileus.services.volume.groups.snapshots import MAKE_ALL, finish_group
from pileus.services.volume.snapshots.work import (
    DROP,
    MAKE,
    REVERT,
    finish_drop,
    finish_revert,
    finish_snapshot,
)
from pileus.services.volume.volumes.creation import CREATE, finish_create
from pileus.services.volume.volumes.deletion import DELETE, finish_delete
from pileus.services.volume.volumes.growing import EXTEND, finish_extend
from pileus.services.volume.volumes.reimaging import REIMAGE, finish_reimage
from pileus.services.volume.volumes.uploading import UPLOAD, finish_upload
from pileus.wire import volume as wire


class OnNode(NamedTuple):
    """One kind. ``finish(tx, context, ended, config=…)``: a unit of work about all that ended together."""

    verb: str
    finish: Callable[..., Any]


ON_NODE: dict[str, OnNode] = {
    CREATE: OnNode(wire.CREATE, finish_create),
    DELETE: OnNode(wire.DELETE, finish_delete),
    EXTEND: OnNode(wire.EXTEND, finish_extend),
    REIMAGE: OnNode(wire.REWRITE, finish_reimage),
    UPLOAD: OnNode(wire.UPLOAD, finish_upload),
    MAKE: OnNode(wire.SNAPSHOT, finish_snapshot),
    DROP: OnNode(wire.DELETE_SNAPSHOT, finish_drop),
    REVERT: OnNode(wire.REVERT, finish_revert),
    MAKE_ALL: OnNode(wire.SNAPSHOT_GROUP, finish_group),
    backups.MAKE: OnNode(wire.BACKUP, finish_backup),
    backups.RESTORE: OnNode(wire.RESTORE, finish_restore),
    backups.DROP: OnNode(wire.DELETE_BACKUP, finish_backup_delete),
    backups.VERIFY: OnNode(wire.VERIFY_BACKUP, finish_verify),
}
"""By the operation's kind."""

OF_HOSTS = (backups.DROP, backups.VERIFY, MAKE_ALL)
"""Kinds that are about a backup or a group, and no one volume."""

VERBS = {kind: one.verb for kind, one in ON_NODE.items()}
