"""The desired volumes of a node's pools, as they were last read, and up to which position."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pileus.wire import scopes
from pileus.wire.volume import VolumeDetails, VolumeOperation, VolumeState

Key = tuple[str, str]
"""A volume: its pool, and its id. While it moves from pool to pool both have one of that id."""


class Desired:
    """``operations``: those of no volume; ``known``: whether everything was ever read."""

    def __init__(self, host: str) -> None:
        self.volumes: dict[Key, VolumeDetails] = {}
        self.operations: dict[str, VolumeOperation] = {}
        self.known = False
        self.position = 0
        self._host = host
        self._read_at: dict[str, int] = {}

    def asked(self, changed: Iterable[str]) -> set[str] | None:
        """The ids of the volumes that changed scopes speak of; None: all."""
        if scopes.volumes(self._host) in changed:
            return None
        return {key for kind, key in map(scopes.split, changed) if kind == "volume"}

    def take(self, state: VolumeState, asked: Collection[str] | None) -> None:
        """An answer about the volumes that were ``asked`` for (None: all)."""
        if asked is None:
            self.volumes = {}
            self.operations = {one.operation_id: one for one in state.operations}
            self.position = state.position
            self._read_at.clear()
            self.known = True
        for volume_id in asked or ():
            self._read_at[scopes.volume(volume_id)] = state.position
        self.volumes = {key: one for key, one in self.volumes.items() if key[1] not in (asked or ())}
        self.volumes |= {(one.pool, one.volume_id): one for one in state.volumes}

    def named_operations(self) -> set[str]:
        """The ids of all operations that the server still names."""
        named = {one.operation_id for volume in self.volumes.values() for one in volume.operations}
        return named | set(self.operations)

    def unread(self, names: Iterable[str], position: int) -> set[str]:
        """Those scopes that were last read before ``position``."""
        return {name for name in names if max(self._read_at.get(name, 0), self.position) < position}
