"""Refusals that several nouns of the volume service share; the messages are Cinder's."""

from __future__ import annotations

from pileus.core.errors import Conflict, Fault, Invalid, Kind, NotFound


class BadRequest(Invalid):
    """A request that can't be (400), in a sentence of its own."""


class InvalidVolume(Invalid):
    message = "Invalid volume: {reason}"


class InvalidSnapshot(Invalid):
    message = "Invalid snapshot: {reason}"


class InvalidBackup(Invalid):
    message = "Invalid backup: {reason}"


class QuotaError(Fault):
    """A quota would be exceeded (413)."""

    kind = Kind.OVER_QUOTA


class VolumeNotFound(NotFound):
    message = "Volume {id} could not be found."


class SnapshotNotFound(NotFound):
    message = "Snapshot {id} could not be found."


class BackupNotFound(NotFound):
    message = "Backup {id} could not be found."


class GroupNotFound(NotFound):
    message = "Group {id} could not be found."


class AttachmentNotFound(NotFound):
    message = "Volume attachment could not be found with filter: attachment_id = {id}."


class VolumeTypeNotFound(NotFound):
    message = "Volume type {id} could not be found."


class ImageNotFound(NotFound):
    message = "Image {id} could not be found."


class ServiceNotFound(NotFound):
    message = "Service {host} could not be found."


class ConnectionLate(Fault):
    """The pool's node did not say in time how a volume is opened: asking again may help (503)."""

    kind = Kind.UNAVAILABLE
    message = "The host of volume {id} has not opened it yet. Try again later."


class ConnectionRefused(Conflict):
    """The pool's node can't open a volume for this connector."""

    message = "Volume {id} can't be opened there: {reason}"
