"""Which doors to open and to close. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pileus.host.doors import Door


class DoorPlan(msgspec.Struct, frozen=True):
    """``close`` goes first: a door may be opened anew in the same place."""

    close: tuple[Door, ...]
    open: tuple[Door, ...]

    def __len__(self) -> int:
        return len(self.close) + len(self.open)


def plan_doors(
    wanted: Mapping[str, tuple[Door, ...]],
    opened: Mapping[Door, int],
    incarnations: Mapping[str, int | None],
) -> DoorPlan:
    """Compare. ``opened`` has the incarnation of the namespace that a door was opened in; ``wanted`` and
    ``incarnations`` go by namespace. A door waits for its namespace."""
    right = {door for doors in wanted.values() for door in doors}
    stays = {
        door
        for door, incarnation in opened.items()
        if door in right and incarnations.get(door.namespace) == incarnation
    }
    return DoorPlan(
        close=tuple(door for door in opened if door not in stays),
        open=tuple(
            door
            for door in sorted(right - stays, key=lambda door: (door.namespace, door.address, door.port))
            if incarnations.get(door.namespace) is not None
        ),
    )
