"""The layers of volumes in a directory, and which of them are needed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from pileus.drivers.pools.pool import VolumeFormat

Key = tuple[str, int]
"""A layer: the volume whose folder it is in, and its number there."""


class Layer(msgspec.Struct, omit_defaults=True):
    """A file with a disk's content, or with what differs from the layer ``below``. ``size`` in bytes, as
    guests see it."""

    format: VolumeFormat
    size: int
    below: Key | None = None


class Record(msgspec.Struct, omit_defaults=True):
    """A volume's layers by their numbers. ``active`` None: the volume was deleted, and others lie on it."""

    volume_id: str
    size: int
    thick: bool = False
    active: int | None = None
    layers: dict[int, Layer] = msgspec.field(default_factory=dict)
    snapshots: dict[str, int] = msgspec.field(default_factory=dict)
    last: int = 0
    """The greatest number that a layer ever had."""
    coming: int | None = None
    """The layer that a machine was told to go on in, while nobody has noted that it has."""

    def next_key(self) -> Key:
        return self.volume_id, self.last + 1

    def add(self, key: Key, layer: Layer) -> None:
        """Let a new layer be the active one."""
        _, self.last = key
        self.layers[self.last] = layer
        self.active = self.last
        self.coming = None


Records = Mapping[str, Record]


def chain(records: Records, key: Key) -> list[Key]:
    """A layer and those that it lies on, from the top."""
    found: list[Key] = []
    step: Key | None = key
    while step is not None and step not in found:
        found.append(step)
        step = records[step[0]].layers[step[1]].below
    return found


def users(records: Records, key: Key) -> list[str]:
    """The volumes whose active layer is this one, or lies on it."""
    return [
        volume_id
        for volume_id, record in records.items()
        if record.active is not None and key in chain(records, (volume_id, record.active))
    ]


def _above(records: Records) -> dict[Key, list[Key]]:
    above: defaultdict[Key, list[Key]] = defaultdict(list)
    for volume_id, record in records.items():
        for number, layer in record.layers.items():
            if layer.below is not None:
                above[layer.below].append((volume_id, number))
    return above


def _named(records: Records) -> set[Key]:
    """Layers that are a volume or a snapshot."""
    return {
        (volume_id, number)
        for volume_id, record in records.items()
        for number in (record.active, *record.snapshots.values())
        if number is not None
    }


def unneeded(records: Records) -> list[Key]:
    """Layers that are nothing, and that nothing lies on."""
    above, named = _above(records), _named(records)
    every = [(volume_id, number) for volume_id, record in records.items() for number in record.layers]
    return [key for key in every if key not in named and not above.get(key)]


def sole_child(records: Records) -> list[tuple[Key, Key]]:
    """Layers that are nothing, each with the only one that lies on it; those at the bottom come first."""
    above, named = _above(records), _named(records)
    found = [(key, some[0]) for key, some in above.items() if key not in named and len(some) == 1]
    return sorted(found, key=lambda pair: len(chain(records, pair[0])))
