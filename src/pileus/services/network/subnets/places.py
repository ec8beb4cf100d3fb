"""Subnets of routed networks: the segment that each belongs to, and the routes between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.networks.tables import segments
from pileus.services.network.rules.peer_routes import Prefix, with_peers
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.wire import scopes


class SegmentNotFound(NotFound):
    message = "Segment {segment_id} could not be found."


class SubnetsNotAllAssociatedWithSegments(Invalid):
    message = (
        "All of the subnets on network '{network_id}' must either all be associated with segments or all not "
        "associated with any segment."
    )


class NetworkIdsDontMatch(Invalid):
    message = (
        "The subnet's network id, '{subnet_network}', doesn't match the network_id of segment '{segment_id}'"
    )


class SubnetSegmentAssociationChangeNotAllowed(Invalid):
    message = (
        "A subnet that is already associated with a segment cannot have its segment association changed."
    )


class NoUpdateSubnetWhenMultipleSegmentsOnNetwork(Invalid):
    message = (
        "The network '{network_id}' has multiple segments, it is only possible to associate an existing "
        "subnet with a segment on networks with a single segment."
    )


_SEGMENTS = select(segments.c.id, segments.c.network_id)
_PREFIXES = select(
    subnets.c.id,
    subnets.c.ip_version,
    subnets.c.cidr,
    subnets.c.gateway_ip,
    subnets.c.segment_id,
    subnets.c.host_routes,
    subnets.c.network_id,
    subnets.c.project_id,
).where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))
_SET_ROUTES = (
    update(subnets)
    .where(subnets.c.id == bindparam("key"))
    .values(host_routes=bindparam("routes"), **next_revision(subnets, bindparam("now")))
)


def check_new(tx: Tx, specs: Sequence[Values], present: Mapping[str, Collection[str | None]]) -> None:
    """Check the segments that new subnets name. ``present``: those of the subnets there, by network.

    SegmentNotFound, NetworkIdsDontMatch, SubnetsNotAllAssociatedWithSegments.
    """
    named = {spec["segment_id"] for spec in specs if spec["segment_id"]}
    known = _networks_of(tx, named)
    mixed = {network_id: {bool(one) for one in several} for network_id, several in present.items()}
    for spec in specs:
        network_id, segment_id = spec["network_id"], spec["segment_id"]
        kinds = mixed.setdefault(network_id, set())
        kinds.add(bool(segment_id))
        if len(kinds) > 1:
            raise SubnetsNotAllAssociatedWithSegments(network_id=network_id)
        _check_network(network_id, segment_id, known)


def check_changed(tx: Tx, updates: Sequence[Update]) -> None:
    """Check the segments that subnets are to belong to from now on: the network's only one, for its only
    subnet."""
    for one in updates:
        before = one.original
        after = one.changes.get("segment_id", before["segment_id"])
        if after == before["segment_id"]:
            continue
        network_id = before["network_id"]
        if len(tx.rows(_PREFIXES, {"ids": [network_id]})) > 1:
            raise SubnetsNotAllAssociatedWithSegments(network_id=network_id)
        if before["segment_id"] is not None:
            raise SubnetSegmentAssociationChangeNotAllowed()
        if len(tx.rows(_SEGMENTS.where(segments.c.network_id == network_id))) > 1:
            raise NoUpdateSubnetWhenMultipleSegmentsOnNetwork(network_id=network_id)
        _check_network(network_id, after, _networks_of(tx, {after}))


def _networks_of(tx: Tx, named: Collection[str]) -> dict[str, str]:
    rows = tx.rows(_SEGMENTS.where(segments.c.id.in_(sorted(named)))) if named else ()
    return dict(map(tuple, rows))


def _check_network(network_id: str, segment_id: str | None, known: Mapping[str, str]) -> None:
    if segment_id is None:
        return
    if segment_id not in known:
        raise SegmentNotFound(segment_id=segment_id)
    if known[segment_id] != network_id:
        raise NetworkIdsDontMatch(subnet_network=network_id, segment_id=segment_id)


def route_new(tx: Tx, context: Context, specs: Sequence[Values]) -> None:
    """Route between new subnets of segments and those of other segments, both ways; before the insert."""
    placed = [spec for spec in specs if spec["segment_id"]]
    rows = _peers(tx, placed)
    fresh = [_prefix(spec) for spec in placed]
    of = {spec["id"]: spec["network_id"] for spec in placed} | {row.id: row.network_id for row in rows}
    everybody = [*fresh, *(Prefix(*tuple(row)[:6]) for row in rows)]

    def routes(one: Prefix) -> list[dict[str, str]]:
        same = [other for other in everybody if of[other.id] == of[one.id]]
        return with_peers(one, same, {one.gateway_ip})

    for spec, prefix in zip(placed, fresh, strict=True):
        spec["host_routes"] = routes(prefix)
    _write(tx, context, rows, {row.id: routes(Prefix(*tuple(row)[:6])) for row in rows})


def route_changed(tx: Tx, updates: Sequence[Update]) -> None:
    """Route anew by the gateways that subnets of segments have from now on."""
    placed = [
        (one, merged)
        for one in updates
        if {"gateway_ip", "host_routes", "segment_id"} & {*one.changes}
        and (merged := {**one.original, **one.changes})["segment_id"]
    ]
    rows = _peers(tx, [merged for _, merged in placed])
    for one, merged in placed:
        others = [Prefix(*tuple(row)[:6]) for row in rows if row.network_id == merged["network_id"]]
        before = one.original["gateway_ip"]
        one.changes["host_routes"] = with_peers(_prefix(merged), others, {before, merged["gateway_ip"]})


def route_without(tx: Tx, context: Context, gone: Sequence[Values]) -> None:
    """Take the routes to subnets of segments away, which are being deleted."""
    placed = [one for one in gone if one["segment_id"]]
    ids = {one["id"] for one in gone}
    rows = [row for row in _peers(tx, placed) if row.id not in ids]
    routes = {}
    for row in rows:
        prefix = Prefix(*tuple(row)[:6])
        lost = {one["cidr"] for one in placed if one["network_id"] == row.network_id}
        others = [Prefix(*tuple(other)[:6]) for other in rows if other.network_id == row.network_id]
        routes[row.id] = with_peers(prefix, others, {prefix.gateway_ip}, lost)
    _write(tx, context, rows, routes)


def _prefix(subnet: Mapping[str, Any]) -> Prefix:
    return Prefix(*(subnet[name] for name in Prefix._fields))


def _peers(tx: Tx, placed: Iterable[Mapping[str, Any]]) -> Sequence[Any]:
    ids = sorted({one["network_id"] for one in placed})
    return tx.rows(_PREFIXES, {"ids": ids}) if ids else ()


def _write(tx: Tx, context: Context, rows: Sequence[Any], routes: Mapping[str, list[dict[str, str]]]) -> None:
    changed = [row for row in rows if routes[row.id] != list(row.host_routes)]
    if not changed:
        return
    tx.execute(
        _SET_ROUTES, [{"key": row.id, "routes": routes[row.id], "now": context.now} for row in changed]
    )
    tx.emit_many(
        [
            event(
                context,
                "subnet.update",
                row.id,
                row.project_id,
                [scopes.network(row.network_id), scopes.dhcp_network(row.network_id)],
                network_id=row.network_id,
                changed=["host_routes"],
            )
            for row in changed
        ]
    )
