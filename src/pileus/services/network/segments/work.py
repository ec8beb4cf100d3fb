"""Units of work of segments: a network gets one more, or loses one that nothing is on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from pileus.core.context import Context
from pileus.core.errors import Unavailable
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse, NetworkNotFound
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.allocation import choose_segments
from pileus.services.network.networks.carriers import carried, check_provider, check_tags, narrow
from pileus.services.network.networks.host_segments import host_segments, segments_of
from pileus.services.network.networks.resource import NUMBER, PHYSICAL, TYPE
from pileus.services.network.networks.tables import networks, segments
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.services.network.rules.segments import Segment
from pileus.services.network.segments.resource import SEGMENT
from pileus.services.network.subnets.tables import subnets
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

ATTEMPTS = 10


class SegmentInUse(InUse):
    message = "Segment '{segment_id}' cannot be deleted: {reason}."


class NoSegmentFoundInMaximumAllowedAttempts(Unavailable):
    message = "Unable to create the segment. No available segment found in maximum allowed attempts."


_NETWORKS = (
    select(networks.c.id, networks.c.project_id, networks.c.mtu, networks.c.vlan_transparent, networks.c.qinq)
    .where(networks.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(networks.c.id)
    .with_for_update()
)
_PRESENT = (
    select(
        segments.c.network_id,
        segments.c.network_type,
        segments.c.physical_network,
        segments.c.segmentation_id,
        segments.c.segment_index,
    )
    .where(segments.c.network_id.in_(bindparam("ids", expanding=True)))
    .order_by(segments.c.network_id, segments.c.segment_index)
)
_CARRY = (
    update(networks)
    .where(networks.c.id == bindparam("key"))
    .values(
        network_type=bindparam("kind"),
        physical_network=bindparam("physnet"),
        segmentation_id=bindparam("number"),
        segments=bindparam("several"),
        mtu=bindparam("size"),
        **next_revision(networks, bindparam("now")),
    )
)
_SUBNETS = (
    select(subnets.c.id, subnets.c.segment_id)
    .where(subnets.c.segment_id.in_(bindparam("ids", expanding=True)))
    .order_by(subnets.c.id)
)
_BOUND = (
    select(ports.c.id, ports.c.network_id, ports.c.host)
    .where(
        ports.c.network_id.in_(bindparam("ids", expanding=True)),
        ports.c.host != "",
        ports.c.vif_type.not_in((UNBOUND, BINDING_FAILED)),
    )
    .order_by(ports.c.id)
)


def segment_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new segments behind those that their networks have; what is in use is refused as for networks."""
    specs = copied(specs)
    wishes = []
    for spec in specs:
        wish = {
            TYPE: spec["network_type"],
            PHYSICAL: spec["physical_network"] or None,
            NUMBER: spec["segmentation_id"] if "segmentation_id" in spec.given else None,
        }
        check_provider(wish, config)
        wishes.append(wish)
    found = _lock(tx, {spec["network_id"] for spec in specs})
    for wish, spec in zip(wishes, specs, strict=True):
        wish["project_id"] = found[spec["network_id"]].project_id
    last = {row.network_id: row.segment_index for row in tx.rows(_PRESENT, {"ids": sorted(found)})}
    for spec in specs:
        spec["segment_index"] = last[spec["network_id"]] = last.get(spec["network_id"], -1) + 1
    for _ in range(ATTEMPTS):
        for spec, chosen in zip(specs, choose_segments(tx, wishes, config), strict=True):
            spec.update(chosen._asdict())
        try:
            with tx.savepoint():
                SEGMENT.insert(tx, context, specs)
        except Duplicate:
            continue
        _carry(tx, context, found, config)
        tx.emit_many([_event(context, "segment.create", spec, found) for spec in specs])
        return specs
    raise NoSegmentFoundInMaximumAllowedAttempts()


def segment_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change the names and descriptions of segments."""
    return SEGMENT.change(tx, context, copied_updates(updates))


def segment_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete segments; SegmentInUse where a subnet belongs to one, or a port is on it."""
    found = _lock(tx, {one["network_id"] for one in originals})
    _refuse_used(tx, originals)
    try:
        with tx.savepoint():
            SEGMENT.remove(tx, originals)
    except Referenced:
        # A subnet came between the look and the delete.
        raise _in_use(originals[0]["id"], "subnet", [""]) from None
    _carry(tx, context, found, config)
    tx.emit_many([_event(context, "segment.delete", one, found) for one in originals])


def _lock(tx: Tx, network_ids: Collection[str]) -> dict[str, Row[Any]]:
    """Read networks and hold them: their lists of segments are written whole. NetworkNotFound."""
    found = {row.id: row for row in tx.rows(_NETWORKS, {"ids": sorted(network_ids)})}
    for missing in sorted(set(network_ids) - found.keys()):
        raise NetworkNotFound(network_id=missing)
    return found


def _carry(tx: Tx, context: Context, found: Mapping[str, Row[Any]], config: NetworkConfig) -> None:
    """Write how networks are carried by the segments that they have now."""
    present: dict[str, list[Segment]] = {network_id: [] for network_id in found}
    for row in tx.rows(_PRESENT, {"ids": sorted(found)}):
        present[row.network_id].append(Segment(row.network_type, row.physical_network, row.segmentation_id))
    rows = []
    for network_id, several in present.items():
        values = {**carried(several), "mtu": found[network_id].mtu}
        narrow(values, several, config)
        check_tags(found[network_id]._mapping, several)  # type: ignore[arg-type]
        rows.append(
            {
                "key": network_id,
                "kind": values[TYPE],
                "physnet": values[PHYSICAL],
                "number": values[NUMBER],
                "several": values["segments"],
                "size": values["mtu"],
                "now": context.now,
            }
        )
    tx.execute(_CARRY, rows)


def _refuse_used(tx: Tx, originals: Sequence[Values]) -> None:
    ids = [one["id"] for one in originals]
    used: dict[str, list[str]] = {}
    for row in tx.rows(_SUBNETS, {"ids": ids}):
        used.setdefault(row.segment_id, []).append(row.id)
    for segment_id, several in used.items():
        raise _in_use(segment_id, "subnet", several)
    of = sorted({one["network_id"] for one in originals})
    bound = tx.rows(_BOUND, {"ids": of})
    near = host_segments(tx, segments_of(tx, of), {row.host for row in bound}) if bound else {}
    on: dict[str, list[str]] = {}
    for row in bound:
        segment = near.get((row.network_id, row.host))
        if segment is not None:
            on.setdefault(segment.id, []).append(row.id)
    for segment_id in ids:
        if segment_id in on:
            raise _in_use(segment_id, "port", on[segment_id])


def _in_use(segment_id: str, kind: str, several: Sequence[str]) -> SegmentInUse:
    reason = f"The segment is still associated with {kind}(s) {', '.join(several)}"
    return SegmentInUse(segment_id=segment_id, reason=reason)


def _event(context: Context, kind: str, segment: Values, found: Mapping[str, Row[Any]]) -> Any:
    network = found[segment["network_id"]]
    return event(
        context,
        kind,
        segment["id"],
        network.project_id,
        [scopes.network(network.id), scopes.dhcp_network(network.id)],
        network_id=network.id,
    )
