"""Finding the volume that a request is about, changing it, telling its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.volume.api import enforce
from pileus.services.volume.errors import BadRequest, InvalidVolume, VolumeNotFound
from pileus.services.volume.events import volume_event
from pileus.services.volume.tables.pools import volume_services
from pileus.services.volume.volumes.resource import VOLUME
from pileus.store.tx import Tx
from pileus.web.request import Request

SHOW = "volume:get"


def target_of(volume: Mapping[str, Any]) -> dict[str, Any]:
    """The target that policy rules look at."""
    return {"project_id": volume["project_id"], "user_id": volume["user_id"]}


def find_volume(tx: Tx, request: Request, key: str | None = None, *, lock: bool = False) -> Values:
    """The volume that the path names (or ``key``), if the caller may see it and the route's rule allows this.

    One of another project is not there for those who may not see it.
    """
    volume = seen_volume(tx, request, key if key is not None else request.path["id"], lock=lock)
    enforce(request, target_of(volume))
    return volume


def seen_volume(tx: Tx, request: Request, key: str, *, lock: bool = False) -> Values:
    """A volume that the caller may see; VolumeNotFound otherwise."""
    found = fetch(tx, VOLUME, [key], lock=lock)
    if not found or not request.access.allows(SHOW, target_of(found[0])):
        raise VolumeNotFound(id=key)
    return found[0]


def volume_change(tx: Tx, context: Context, volume: Values, **changes: Any) -> Values:
    """Write changes of one volume; returns its new values."""
    return VOLUME.change(tx, context, [Update(volume, Values(changes))])[0]


def volume_tell(
    tx: Tx, context: Context, volume: Mapping[str, Any], kind: str = "volume.update", **payload: Any
) -> None:
    """Say that a volume has changed: its node looks at it again."""
    tx.emit(volume_event(context, kind, volume, **payload))


def must_be(volume: Mapping[str, Any], action: str, *states: str) -> None:
    """Raise InvalidVolume unless a volume is in one of the states."""
    if volume["status"] not in states:
        raise InvalidVolume(
            reason=f"Volume {volume['id']} status must be {' or '.join(states)} to {action}, but current "
            f"status is: {volume['status']}."
        )


def must_be_placed(volume: Mapping[str, Any]) -> None:
    """Raise InvalidVolume for a volume that no pool has."""
    if not volume["node"]:
        raise InvalidVolume(reason=f"Volume {volume['id']} is in no pool.")


def must_not_be_frozen(tx: Tx, volume: Mapping[str, Any]) -> None:
    """Raise BadRequest where the volume's pool is frozen."""
    if not volume["host"]:
        return
    host = volume["host"].partition("#")[0]
    c = volume_services.c
    if tx.first(select(c.id).where(c.host == host, c.frozen)) is not None:
        raise BadRequest(f"The pool {host} is frozen.")


def volumes_of(tx: Tx, volume_ids: Sequence[str]) -> dict[str, Values]:
    """Volumes by id, whoever's they are."""
    return {one["id"]: one for one in fetch(tx, VOLUME, sorted(volume_ids))} if volume_ids else {}


def volumes_held(tx: Tx, volume_ids: Sequence[str]) -> dict[str, Values]:
    """The same, held until the transaction ends."""
    return {one["id"]: one for one in fetch(tx, VOLUME, sorted(volume_ids), lock=True)} if volume_ids else {}
