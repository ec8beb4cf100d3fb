"""Metering labels, their rules and their counts as a part of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.services.network.metering import work
from pileus.services.network.metering.resource import METERING_LABEL, METERING_LABEL_RULE, RULES
from pileus.services.network.metering.tables import metering_counters
from pileus.store.tx import Tx
from pileus.web.answers import Answer
from pileus.web.crud import crud, find, target_of
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.wire.calls import METERING_REPORT

LABELS, LABEL_RULES = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"
_COUNTER = types.dict_of(
    {
        "router_id": types.uuid,
        "packets": types.integer(0),
        "bytes": types.integer(0),
        "updated_at": types.timestamp,
    }
)


async def list_counters(request: Request) -> Reply:
    """List what was counted for a label, by router."""

    def unit(tx: Tx) -> list[dict[str, Any]]:
        label = find(tx, request, METERING_LABEL, request.path["label_id"], lock=False)
        request.access.require("get_metering_label", target_of(tx, request, METERING_LABEL, label))
        sums = metering_counters.c
        statement = (
            select(
                sums.router_id,
                func.sum(sums.packets).label("packets"),
                func.sum(sums.octets).label("octets"),
                func.max(sums.updated_at).label("updated_at"),
            )
            .where(sums.label_id == label["id"])
            .group_by(sums.router_id)
            .order_by(sums.router_id)
        )
        return [
            {
                "router_id": row.router_id,
                "packets": int(row.packets),
                "bytes": int(row.octets),
                "updated_at": row.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for row in tx.rows(statement)
        ]

    return views_reply(request, "counters", await request.read(unit), "router_id", ("router_id",))


EXTENSIONS = (
    Extension("metering", "Neutron Metering", "Neutron Metering extension.", "2013-06-12T10:00:00-00:00"),
    Extension(
        "metering_source_and_destination_fields",
        "Neutron Metering with source and destination filtering",
        "Neutron Metering extension that enables the use of source and destination IP prefixes to create "
        "metering label rules.",
        "2020-08-21T08:12:00-00:00",
    ),
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; whoever listens is told of what was counted."""

    def told(metered: Sequence[work.Metered]) -> None:
        if config.notify is not None:
            for one in metered:
                config.notify("l3.meter", one.payload, one.at, f"metering.{one.host}")

    return Noun(
        name="metering_label",
        routes=(
            *crud(METERING_LABEL, LABELS, create=work.label_create, delete=work.label_delete),
            *crud(METERING_LABEL_RULE, LABEL_RULES, create=work.rule_create, delete=work.rule_delete),
            Route(
                "GET",
                f"{LABELS}/{{label_id}}/counters",
                list_counters,
                rule="get_metering_label",
                reply=views_type("counters", _COUNTER),
                summary="List what was counted for a metering label",
            ),
        ),
        rules=RULES,
        extensions=EXTENSIONS,
        answers=(Answer(METERING_REPORT, work.metering_report, writes=True, then=told),),
    )
