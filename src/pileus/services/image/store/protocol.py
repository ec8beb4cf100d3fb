"""The interface of a store of image data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from pileus.core.errors import Fault, Kind


class DataMissing(Fault):
    """The data that an image names is missing (500)."""

    kind = Kind.INTERNAL
    message = "The data of the image is missing in the store."


class StorageFull(Fault):
    """There is no room (413, as in Glance)."""

    kind = Kind.TOO_LARGE
    message = "Image storage media is full: There is not enough disk space on the image storage media."


class Sink(Protocol):
    """An object being written. ``commit`` or ``discard`` ends it."""

    def write(self, data: bytes) -> None:
        """Append; raises StorageFull, also before the room that is kept is touched."""

    def read(self, offset: int, length: int) -> bytes:
        """Read of what was written; less at the end."""

    def commit(self) -> None:
        """Make it whole and durable under its name; raises StorageFull."""

    def discard(self) -> None:
        """Forget it, also what is half written."""


class Source(Protocol):
    """An object being read; it stays readable until closed, also when it is deleted meanwhile."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Read these bytes; less at the end."""

    def close(self) -> None: ...


class DataStore(Protocol):
    """A store. ``worker`` names what may sweep it: one server process at a time works on one store."""

    worker: str

    def create(self, name: str) -> Sink: ...

    def check_room(self, size: int) -> None:
        """Raises StorageFull where so many bytes would not leave the room that is kept."""

    def open(self, name: str) -> Source:
        """Raises DataMissing."""

    def delete(self, name: str) -> None:
        """One that is not there is fine."""

    def sweep(self, wanted: Collection[str]) -> list[str]:
        """Delete every object but these, and all that was left half written; returns the names.

        Where none of the objects is among these, they stay: the database is not the store's.
        """
