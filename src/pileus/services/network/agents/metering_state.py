"""The metering labels of a node's routers, as its agent is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, bindparam, or_, select

from pileus.services.network.metering.tables import metering_label_rules, metering_labels
from pileus.store.tx import Tx
from pileus.wire.l3 import MeteringLabel, MeteringRule

_RULES = (
    select(metering_label_rules, metering_labels.c.project_id, metering_labels.c.shared)
    .select_from(
        metering_label_rules.join(
            metering_labels, metering_labels.c.id == metering_label_rules.c.metering_label_id
        )
    )
    .where(
        or_(
            metering_labels.c.shared,
            metering_labels.c.project_id.in_(bindparam("projects", expanding=True)),
        )
    )
    .order_by(metering_label_rules.c.metering_label_id, metering_label_rules.c.id)
)


def labels_of_routers(tx: Tx, routers: Mapping[str, str]) -> dict[str, tuple[MeteringLabel, ...]]:
    """The labels that have rules, by router (given with their projects): those of its project and the shared
    ones; one statement."""
    projects = sorted(set(routers.values()))
    of_label: dict[str, list[Row[Any]]] = {}
    for row in tx.rows(_RULES, {"projects": projects}):
        of_label.setdefault(row.metering_label_id, []).append(row)
    labels = {key: MeteringLabel(key, tuple(map(_rule, rows))) for key, rows in of_label.items()}
    return {
        router_id: tuple(
            labels[key]
            for key, rows in of_label.items()
            if rows[0].shared or rows[0].project_id == project_id
        )
        for router_id, project_id in routers.items()
    }


def _rule(row: Row[Any]) -> MeteringRule:
    """A rule as source and destination: Neutron's remote prefix is that of the inner side."""
    source, destination = row.source_ip_prefix, row.destination_ip_prefix
    if row.remote_ip_prefix:
        inner = row.remote_ip_prefix
        source, destination = (inner, None) if row.direction == "egress" else (None, inner)
    return MeteringRule(row.direction, row.excluded, source, destination)
