"""Choice of segments for new networks: those asked for by name must be free, the others are drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, tuple_

from pileus.core.repeats import first_repeat
from pileus.services.network.config import NetworkConfig
from pileus.services.network.network_segment_ranges.tables import network_segment_ranges
from pileus.services.network.networks.resource import NUMBER, PHYSICAL, TYPE
from pileus.services.network.networks.tables import segments as taken_segments
from pileus.services.network.rules import segments
from pileus.services.network.rules.segments import Segment
from pileus.store.tx import Tx

Pools = list[tuple[str, Sequence[tuple[int, int]]]]

_TAKEN_AMONG = select(taken_segments.c.segmentation_id).where(
    taken_segments.c.network_type == bindparam("network_type"),
    taken_segments.c.physical_network == bindparam("physical_network"),
    taken_segments.c.segmentation_id.in_(bindparam("numbers", expanding=True)),
)
_TAKEN = select(taken_segments.c.segmentation_id).where(
    taken_segments.c.network_type == bindparam("network_type"),
    taken_segments.c.physical_network == bindparam("physical_network"),
)
_RANGES = select(
    network_segment_ranges.c.network_type,
    network_segment_ranges.c.physical_network,
    network_segment_ranges.c.minimum,
    network_segment_ranges.c.maximum,
    network_segment_ranges.c.shared,
    network_segment_ranges.c.project_id,
).order_by(network_segment_ranges.c.created_at, network_segment_ranges.c.id)


def choose_segments(tx: Tx, specs: Sequence[Mapping[str, Any]], config: NetworkConfig) -> list[Segment]:
    """A segment for each."""
    chosen: list[Segment | None] = [asked_segment(spec) for spec in specs]
    asked = [segment for segment in chosen if segment is not None]
    check_free(tx, asked)
    groups: dict[tuple[str | None, str | None, str], list[int]] = {}
    for position, spec in enumerate(specs):
        if chosen[position] is None:
            key = (spec.get(TYPE), spec.get(PHYSICAL), spec["project_id"])
            groups.setdefault(key, []).append(position)
    rows = tx.rows(_RANGES) if groups else []
    given = list(asked)
    for (network_type, physical_network, project_id), positions in groups.items():
        found: list[Segment] = []
        for kind in [network_type] if network_type else config.ranges.order:
            for name, ranges in _pools(kind, project_id, rows, config):
                if physical_network is None or name == physical_network:
                    found += _drawn(
                        tx, Segment(kind, name), ranges, len(positions) - len(found), given, config
                    )
                    given += found
                if len(found) == len(positions):
                    break
            if len(found) == len(positions):
                break
        else:
            raise segments.NoNetworkAvailable()
        for position, segment in zip(positions, found, strict=True):
            chosen[position] = segment
    return [segment for segment in chosen if segment is not None]


def check_free(tx: Tx, asked: Sequence[Segment]) -> None:
    """The refusal of a segment that is another network's, or asked for twice."""
    if not asked:
        return
    key = (
        taken_segments.c.network_type,
        taken_segments.c.physical_network,
        taken_segments.c.segmentation_id,
    )
    taken = tx.first(select(*key).where(tuple_(*key).in_(asked)))
    twice = first_repeat(asked)
    if taken is not None:
        raise segments.in_use(Segment(*taken))
    if twice is not None:
        raise segments.in_use(asked[twice])


def asked_segment(spec: Mapping[str, Any]) -> Segment | None:
    """The segment that provider attributes name; None where one is to be drawn."""
    if spec.get(TYPE) == "flat":
        return Segment("flat", spec[PHYSICAL])
    if spec.get(NUMBER) is not None:
        return Segment(spec[TYPE], spec.get(PHYSICAL) or "", spec[NUMBER])
    return None


def _pools(kind: str, project_id: str, rows: Iterable[Row[Any]], config: NetworkConfig) -> Pools:
    """Where a project's segments of a type come from: its own ranges, then what is shared of which nothing
    is another project's."""
    rows = [row for row in rows if row.network_type == kind]
    own = [row for row in rows if not row.shared and row.project_id == project_id]
    others = [row for row in rows if not row.shared and row.project_id != project_id]
    shared: dict[str, list[tuple[int, int]]] = {
        name: list(several) for name, several in config.ranges.pools(kind)
    }
    for row in rows:
        if row.shared:
            shared.setdefault(row.physical_network, []).append((row.minimum, row.maximum))
    pools: Pools = [(row.physical_network, [(row.minimum, row.maximum)]) for row in own]
    for name, several in shared.items():
        taken = [(row.minimum, row.maximum) for row in others if row.physical_network == name]
        left = segments.minus(several, taken) if taken else several
        if left:
            pools.append((name, left))
    return pools


def _drawn(
    tx: Tx,
    place: Segment,
    ranges: Sequence[tuple[int, int]],
    wanted: int,
    avoid: Collection[Segment],
    config: NetworkConfig,
) -> list[Segment]:
    """Up to ``wanted`` free segments of one type on one physical network."""
    where = {"network_type": place.network_type, "physical_network": place.physical_network}
    taken = {other.segmentation_id for other in avoid if other[:2] == place[:2]}
    free: list[int] = []
    for among in (segments.FIRST_DRAWN, None):
        drawn = segments.draw(ranges, 2 * wanted + 4, config.dice, among)
        taken |= {row[0] for row in tx.rows(_TAKEN_AMONG, {**where, "numbers": drawn})}
        free = [number for number in drawn if number not in taken][:wanted]
        if len(free) == wanted:
            break
    if len(free) < wanted:
        taken |= {row[0] for row in tx.rows(_TAKEN, where)} | set(free)
        while len(free) < wanted:
            number = segments.free(ranges, taken, config.dice)
            if number is None:
                break
            taken.add(number)
            free.append(number)
    return [Segment(place.network_type, place.physical_network, number) for number in free]
