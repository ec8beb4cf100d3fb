"""Subports of trunks: ports whose frames come through another port's interface, with a tag.

There is no row of the switch's database for a subport, so its numbers are written on its parent's port:
``pileus-subports`` lists ``PORT=NETWORK/VLAN/NUMBER``, and a restart finds them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from pileus.host.l2.model import Model
from pileus.host.l2.settings import SUBPORTS_KEY
from pileus.host.l2.view import PortView
from pileus.wire.switch import DeviceDetails

_ENTRY = re.compile(r"([\w.-]{1,255})=([\w.-]{1,255})/(\d{1,5})/(\d{1,5})", re.ASCII)
LAST_TAG = 4094


class Remembered(NamedTuple):
    """A subport's network, local VLAN and number, as they stand on its parent's port."""

    network_id: str
    vlan: int
    number: int


def remembered(port: PortView) -> dict[str, Remembered]:
    """The subports that are written on a port; what can't be read is left out."""
    found = {}
    for entry in port.external_ids.get(SUBPORTS_KEY, "").split():
        if (parts := _ENTRY.fullmatch(entry)) is not None:
            found[parts[1]] = Remembered(parts[2], int(parts[3]), int(parts[4]))
    return found


def written(subports: Iterable[tuple[str, Remembered]]) -> str | None:
    """The text to be written on their parent's port; None: there are none."""
    entries = [f"{key}={one.network_id}/{one.vlan}/{one.number}" for key, one in sorted(subports)]
    return " ".join(entries) or None


def carried(
    model: Model, alive: Mapping[str, PortView], wanted: Callable[[DeviceDetails, Model], bool]
) -> dict[str, PortView]:
    """Subports that shall carry packets, by the port of their parent, which is alive."""
    return {
        key: alive[one.parent_id]
        for key, one in model.devices.items()
        if one.parent_id is not None and one.parent_id in alive and key not in alive and wanted(one, model)
    }


def parents(model: Model, alive: Iterable[str]) -> frozenset[str]:
    """Ports whose interface others share."""
    found = (model.devices[key].parent_id for key in alive)
    return frozenset(parent for parent in found if parent is not None)


def second_tags(devices: Iterable[DeviceDetails]) -> Iterator[tuple[str, str]]:
    """Subports that claim a tag of their parent which another one has, with the reason."""
    taken: dict[tuple[str, int], str] = {}
    for one in devices:
        if one.parent_id is None:
            continue
        first = taken.setdefault((one.parent_id, one.vlan_id), one.port_id)
        if first != one.port_id:
            yield one.port_id, f"tag {one.vlan_id} of {one.parent_id} belongs to {first}"
