"""Units of work of ranges of segments.

A project that has a range of its own gets segments of that, as long as there are some; afterwards, and all
others, of what is shared: the ranges of the settings, and those that administrators share. Nothing that
is another project's is given away.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse
from pileus.services.network.config import NetworkConfig
from pileus.services.network.network_segment_ranges.resource import NETWORK_SEGMENT_RANGE
from pileus.services.network.networks.tables import networks, segments
from pileus.services.network.rules.segments import LIMITS
from pileus.store.tx import Tx

MOST_SHOWN = 65536
_DEFAULTS = uuid.UUID("6a0f3f0e-52e0-5b7c-9b8b-3b0c1f6f8a11")


class NetworkSegmentRangeNetTypeNotSupported(Invalid):
    message = "Network type {type} does not support network segment ranges."


class NetworkSegmentRangeReferencedByProject(InUse):
    message = "Network Segment Range {range_id} is referenced by one or more project networks."


class NetworkSegmentRangeDefaultReadOnly(Invalid):
    message = (
        "Network Segment Range {range_id} is a default segment range which could not be updated or deleted."
    )


class NetworkSegmentRangeOverlaps(Conflict):
    message = "Network segment range overlaps with range(s) with id {range_id}"


class NetworkVlanRangeError(Invalid):
    message = "Invalid network VLAN range: '{range}' - '{error}'."


class NetworkTunnelRangeError(Invalid):
    message = "Invalid network tunnel range: '{range}' - {error}."


_USED = (
    select(segments.c.segmentation_id, networks.c.project_id)
    .select_from(segments.join(networks, networks.c.id == segments.c.network_id))
    .where(
        segments.c.network_type == bindparam("kind"),
        segments.c.physical_network == bindparam("physnet"),
        segments.c.segmentation_id.between(bindparam("low"), bindparam("high")),
    )
    .order_by(segments.c.segmentation_id)
)


def ranges_read(tx: Tx, config: NetworkConfig, wanted: str | None = None) -> list[dict[str, Any]]:
    """All ranges, or the one with the id ``wanted``: those of the settings first. A statement for each range
    besides one for all: administrators ask, and rarely."""
    rows = fetch(tx, NETWORK_SEGMENT_RANGE, None if wanted is None else [wanted])
    several = [*defaults(config), *sorted(rows, key=lambda one: (one["created_at"], one["id"]))]
    return [_with_use(tx, one) for one in several if wanted in (None, one["id"])]


def defaults(config: NetworkConfig) -> list[dict[str, Any]]:
    """The ranges of the settings. Their ids are made of what they say."""
    found = []
    for kind in ("vlan", "vxlan", "gre"):
        for physical_network, several in config.ranges.pools(kind):
            for low, high in several:
                text = f"{kind}/{physical_network}/{low}/{high}"
                found.append(
                    {
                        "id": str(uuid.uuid5(_DEFAULTS, text)),
                        "name": "",
                        "description": "",
                        "default": True,
                        "shared": True,
                        "project_id": None,
                        "network_type": kind,
                        "physical_network": physical_network,
                        "minimum": low,
                        "maximum": high,
                        "tags": [],
                        "revision_number": 0,
                    }
                )
    return found


def range_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig) -> list[Values]:
    """Write new ranges."""
    specs = copied(specs)
    for spec in specs:
        if spec["network_type"] not in LIMITS:
            raise NetworkSegmentRangeNetTypeNotSupported(type=spec["network_type"])
        if spec["network_type"] != "vlan":
            spec["physical_network"] = ""
        elif not spec["physical_network"]:
            raise _bad(
                "Network type vlan requires 'physical_network' to be specified while creating new range"
            )
        if spec["shared"]:
            spec["project_id"] = None
        elif not spec["project_id"]:
            raise _bad("if NetworkSegmentRange is not shared, it must have a project_id")
        _check(tx, spec)
        NETWORK_SEGMENT_RANGE.insert(tx, context, [spec])
        tx.emit(event(context, "network_segment_range.create", spec["id"], spec["project_id"] or ""))
    return [Values(_with_use(tx, spec), spec.given) for spec in specs]


def range_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ranges; no id that is in use falls out of one."""
    shown = []
    for one in copied_updates(updates):
        before, wish = one.original, Values({**one.original, **one.changes})
        used = [row.segmentation_id for row in _used(tx, before)]
        if used and (wish["minimum"] > used[0] or wish["maximum"] < used[-1]):
            raise NetworkSegmentRangeReferencedByProject(range_id=before["id"])
        if {"minimum", "maximum"} & {*one.changes}:
            _check(tx, wish)
        (after,) = NETWORK_SEGMENT_RANGE.change(tx, context, [one])
        tx.emit(event(context, "network_segment_range.update", before["id"], before["project_id"] or ""))
        shown.append(Values(_with_use(tx, after), after.given))
    return shown


def range_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete ranges of which no id is in use."""
    for one in originals:
        if _used(tx, one):
            raise NetworkSegmentRangeReferencedByProject(range_id=one["id"])
    NETWORK_SEGMENT_RANGE.remove(tx, originals)
    tx.emit_many(
        [
            event(context, "network_segment_range.delete", one["id"], one["project_id"] or "")
            for one in originals
        ]
    )


def _bad(text: str) -> BadRequest:
    return BadRequest(resource="network_segment_range", msg=text)


def _check(tx: Tx, spec: Mapping[str, Any]) -> None:
    """Both ends are ids of the type, in order, and no other range has one of them."""
    kind, low, high = spec["network_type"], spec["minimum"], spec["maximum"]
    least, most = LIMITS[kind]
    refusal = NetworkVlanRangeError if kind == "vlan" else NetworkTunnelRangeError
    for number in (low, high):
        if not least <= number <= most:
            what = "VLAN tag" if kind == "vlan" else f"{kind} ID"
            raise refusal(range=f"{low}:{high}", error=f"{number} is not a valid {what}")
    if high < low:
        raise refusal(range=f"{low}:{high}", error="End of range is less than start of range")
    tx.lock(f"network_segment_ranges:{kind}")
    others = [
        other["id"]
        for other in fetch(tx, NETWORK_SEGMENT_RANGE)
        if other["id"] != spec["id"]
        and (other["network_type"], other["physical_network"]) == (kind, spec["physical_network"])
        and other["minimum"] <= high
        and low <= other["maximum"]
    ]
    if others:
        raise NetworkSegmentRangeOverlaps(range_id=", ".join(sorted(others)))


def _used(tx: Tx, one: Mapping[str, Any]) -> list[Any]:
    where = {"kind": one["network_type"], "physnet": one["physical_network"]}
    return list(tx.rows(_USED, {**where, "low": one["minimum"], "high": one["maximum"]}))


def _with_use(tx: Tx, one: Mapping[str, Any]) -> dict[str, Any]:
    used = {row.segmentation_id: row.project_id for row in _used(tx, one)}
    return {
        **one,
        "used": {str(number): project_id for number, project_id in used.items()},
        "available": list(itertools.islice(_free(one, used), MOST_SHOWN)),
    }


def _free(one: Mapping[str, Any], used: Mapping[int, str]) -> Iterable[int]:
    return (number for number in range(one["minimum"], one["maximum"] + 1) if number not in used)
