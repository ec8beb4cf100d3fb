"""Units of work of metering labels and rules, and of what nodes have counted."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, false, select, true, union_all, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.network.agents.hosting import routers_of
from pileus.services.network.floating_ips.tables import floating_ip_hosts, floating_ips
from pileus.services.network.metering.resource import METERING_LABEL, METERING_LABEL_RULE
from pileus.services.network.metering.tables import (
    metering_counters,
    metering_label_rules,
    metering_labels,
)
from pileus.services.network.routers.tables import routers
from pileus.services.network.rules.agent_types import GATEWAY_AGENT, L3_AGENT
from pileus.store.column_in import column_in
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.metering import MeteringCount, MeteringReport
from pileus.wire.switch import Acknowledged

_PREFIXES = ("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix")


class MeteringLabelRuleOverlaps(Conflict):
    message = "Metering label rule with remote_ip_prefix '{remote_ip_prefix}' overlaps another."


class InvalidMeteringRule(Invalid):
    message = "{reason}"


_LABELS = select(metering_labels).where(metering_labels.c.id.in_(bindparam("ids", expanding=True)))
_HOSTED = union_all(
    *(
        one.add_columns(false().label("distributed"))
        for one in routers_of(bindparam("on_host"), (L3_AGENT, GATEWAY_AGENT))
    ),
    select(floating_ips.c.router_id, true())
    .distinct()
    .select_from(
        floating_ip_hosts.join(floating_ips, floating_ips.c.id == floating_ip_hosts.c.floating_ip_id)
    )
    .where(floating_ip_hosts.c.host == bindparam("on_host")),
)
_TRANSLATING = select(floating_ips.c.router_id, floating_ip_hosts.c.port_id).select_from(
    floating_ip_hosts.join(floating_ips, floating_ips.c.id == floating_ip_hosts.c.floating_ip_id)
)
_COUNTED = select(metering_counters).where(
    metering_counters.c.host.in_(bindparam("places", expanding=True)),
    metering_counters.c.label_id.in_(bindparam("labels", expanding=True)),
    metering_counters.c.router_id.in_(bindparam("routers", expanding=True)),
)


def label_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new labels; nothing is counted before they have rules."""
    METERING_LABEL.insert(tx, context, specs)
    return list(specs)


def label_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete labels with their rules and counts."""
    _tell(tx, context, "metering_label.delete", originals, {one["id"]: one for one in originals})
    METERING_LABEL.remove(tx, originals)


def rule_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new rules; remote prefixes of one label, direction and kind lie apart."""
    labels = sorted({spec["metering_label_id"] for spec in specs})
    statement = select(metering_label_rules).where(
        column_in(tx, metering_label_rules.c.metering_label_id, labels)
    )
    others: list[Mapping[str, Any]] = [dict(row._mapping) for row in tx.rows(statement)]
    for spec in specs:
        _check(spec)
        for other in others:
            _check_apart(spec, other)
        others.append(spec)
    METERING_LABEL_RULE.insert(tx, context, specs)
    _tell(tx, context, "metering_label_rule.create", specs, _labels(tx, labels))
    return list(specs)


def rule_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete rules."""
    METERING_LABEL_RULE.remove(tx, originals)
    labels = _labels(tx, {one["metering_label_id"] for one in originals})
    _tell(tx, context, "metering_label_rule.delete", originals, labels)


class Metered(NamedTuple):
    """How much came of a label since a host's last report, as Neutron's metering agent notifies of it."""

    host: str
    at: dt.datetime
    payload: dict[str, Any]


def metering_report(
    tx: Tx, context: Context, report: MeteringReport
) -> tuple[Acknowledged, Sequence[Metered]]:
    """Add what routers of the reporting host have counted since; at most six statements for any number. An
    event ``l3.meter`` for each label says how much came, and so does what is returned beside the reply."""
    places = {False: report.host, True: f"{report.host}/switch"}
    told = {(one.label_id, one.router_id, places[one.distributed]): one for one in report.counters}
    keys: dict[str, Any] = {
        "labels": sorted({label_id for label_id, _, _ in told}),
        "routers": sorted({router_id for _, router_id, _ in told}),
        "places": sorted({place for _, _, place in told}),
    }
    if not told:
        return Acknowledged(position=newest_position(tx)), ()
    hosted = {
        (row.router_id, places[bool(row.distributed)]) for row in tx.rows(_HOSTED, {"on_host": report.host})
    }
    labels = _labels(tx, keys["labels"])
    known = {(row.label_id, row.router_id, row.host): row for row in tx.rows(_COUNTED, keys)}
    told = {key: one for key, one in told.items() if key[0] in labels and key[1:] in hosted}
    news = _news(context, told, known)
    tx.insert(metering_counters, news.new)
    if news.changed:
        where = (
            metering_counters.c.label_id == bindparam("of_label"),
            metering_counters.c.router_id == bindparam("of_router"),
            metering_counters.c.host == bindparam("at_place"),
        )
        tx.execute(update(metering_counters).where(*where), news.changed)
    more, since = news.more, news.since
    _tell_counted(tx, context, report.host, labels, more)
    metered = [
        Metered(
            report.host,
            context.now,
            _payload(
                label_id, labels[label_id]["project_id"], counted, since[label_id], report.host, context
            ),
        )
        for label_id, counted in sorted(more.items())
    ]
    return Acknowledged(position=newest_position(tx)), metered


class _News(NamedTuple):
    """Rows of counters that are new or changed, and how much came of each label since when."""

    new: list[dict[str, Any]]
    changed: list[dict[str, Any]]
    more: dict[str, list[int]]
    since: dict[str, dt.datetime]


def _news(
    context: Context,
    told: Mapping[tuple[str, str, str], MeteringCount],
    known: Mapping[tuple[str, str, str], Row[Any]],
) -> _News:
    """Compare counters, by label, router and place, with what was known of them."""
    news = _News([], [], {}, {})
    for key, one in told.items():
        row = known.get(key)
        packets, octets = one.packets, one.octets
        if row is not None and packets >= row.last_packets and octets >= row.last_octets:
            packets, octets = packets - row.last_packets, octets - row.last_octets
        last = {"last_packets": one.packets, "last_octets": one.octets, "updated_at": context.now}
        if row is None:
            ids = {"label_id": key[0], "router_id": key[1], "host": key[2]}
            news.new.append({**ids, "packets": packets, "octets": octets, **last})
        elif packets or octets or row.last_packets != one.packets:
            sums = {"packets": row.packets + packets, "octets": row.octets + octets}
            at = {"of_label": key[0], "of_router": key[1], "at_place": key[2]}
            news.changed.append({**at, **sums, **last})
        if packets or octets:
            counted = news.more.setdefault(key[0], [0, 0])
            counted[0] += packets
            counted[1] += octets
            before = row.updated_at if row is not None else context.now
            news.since[key[0]] = min(news.since.get(key[0], before), before)
    return news


def _tell_counted(
    tx: Tx,
    context: Context,
    host: str,
    labels: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, Sequence[int]],
) -> None:
    tx.emit_many(
        [
            event(
                context,
                "l3.meter",
                label_id,
                labels[label_id]["project_id"],
                host=host,
                label_id=label_id,
                pkts=packets,
                bytes=octets,
            )
            for label_id, (packets, octets) in sorted(more.items())
        ]
    )


def _payload(
    label_id: str, project_id: str, counted: Sequence[int], since: dt.datetime, host: str, context: Context
) -> dict[str, Any]:
    """Say what Neutron's agent says; the times are of the interval in which it was counted."""
    began, ended = (int(one.replace(tzinfo=dt.UTC).timestamp()) for one in (since, context.now))
    return {
        "pkts": counted[0],
        "bytes": counted[1],
        "time": ended - began,
        "first_update": began,
        "last_update": ended,
        "host": host,
        "label_id": label_id,
        "project_id": project_id,
    }


def _check(spec: Values) -> None:
    if spec["remote_ip_prefix"] and (spec["source_ip_prefix"] or spec["destination_ip_prefix"]):
        raise InvalidMeteringRule(
            reason="Cannot use 'remote-ip-prefix' in conjunction with 'source-ip-prefix' or "
            "'destination-ip-prefix'."
        )
    if not any(spec[name] for name in _PREFIXES):
        raise InvalidMeteringRule(
            reason="You must define at least one of the following parameters 'remote_ip_prefix', or "
            "'source_ip_prefix' or 'destination_ip_prefix'."
        )


def _check_apart(spec: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    same = all(spec[name] == other[name] for name in ("metering_label_id", "direction", "excluded"))
    if not same or not spec["remote_ip_prefix"] or not other["remote_ip_prefix"]:
        return
    one, two = (ipaddress.ip_network(each["remote_ip_prefix"], strict=False) for each in (spec, other))
    if one.version == two.version and one.overlaps(two):
        raise MeteringLabelRuleOverlaps(remote_ip_prefix=spec["remote_ip_prefix"])


def _labels(tx: Tx, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    return {row.id: dict(row._mapping) for row in tx.rows(_LABELS, {"ids": sorted(ids)})}


def _tell(
    tx: Tx,
    context: Context,
    kind: str,
    several: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Any]],
) -> None:
    """Emit an event for each; the agents of the labels' routers look again, and so do the hosts that
    translate floating IPs of these."""
    statement = select(routers.c.id, routers.c.project_id, routers.c.distributed)
    projects = {label["project_id"] for label in labels.values()}
    if not any(label["shared"] for label in labels.values()):
        statement = statement.where(column_in(tx, routers.c.project_id, sorted(projects)))
    concerned: dict[str, list[str]] = {}
    rows = tx.rows(statement)
    for row in rows:
        concerned.setdefault(row.project_id, []).append(scopes.router(row.id))
    distributed = {row.id: row.project_id for row in rows if row.distributed}
    if distributed:
        translating = _TRANSLATING.where(column_in(tx, floating_ips.c.router_id, sorted(distributed)))
        for one in tx.rows(translating):
            concerned[distributed[one.router_id]].append(scopes.port(one.port_id))
    events = []
    for each in several:
        label = labels[each.get("metering_label_id", each["id"])]
        found = concerned.get(label["project_id"], [])
        if label["shared"]:
            found = [scope for some in concerned.values() for scope in some]
        events.append(event(context, kind, each["id"], label["project_id"], found, label_id=label["id"]))
    tx.emit_many(events)
