"""Units of work of conntrack helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.copies import copied
from pileus.services.network.common.revisions import touch
from pileus.services.network.conntrack_helpers.resource import CONNTRACK_HELPER
from pileus.services.network.routers.in_machine import refuse_conntrack_helper
from pileus.services.network.routers.tables import routers
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.wire import scopes

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "amanda": ("tcp",),
    "ftp": ("tcp",),
    "h323": ("tcp",),
    "irc": ("tcp",),
    "netbios-ns": ("udp",),
    "pptp": ("tcp",),
    "sane": ("tcp",),
    "sip": ("tcp", "udp"),
    "snmp": ("udp",),
    "tftp": ("udp",),
}
"""Helpers that there are, with the protocols that each follows."""


class ConntrackHelperNotAllowed(Invalid):
    message = "Conntrack Helper {helper} is not allowed."


class InvalidProtocolForHelper(Invalid):
    message = (
        "Conntrack Helper {helper} does not support: {protocol}. "
        "Supported protocols are: {supported_protocols}"
    )


def conntrack_helper_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new helpers."""
    specs = copied(specs)
    for spec in specs:
        _check(spec)
    of_routers = column_in(tx, routers.c.id, sorted({spec["router_id"] for spec in specs}))
    for row in tx.rows(select(routers.c.id).where(of_routers, routers.c.gateway_vm).limit(1)):
        raise refuse_conntrack_helper(row.id)
    try:
        with tx.savepoint():
            CONNTRACK_HELPER.insert(tx, context, specs)
    except Duplicate:
        raise _duplicate(specs[-1]) from None
    _tell(tx, context, "create", specs)
    return specs


def conntrack_helper_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change helpers."""
    wanted = [Values({**one.original, **one.changes}) for one in updates]
    for one in wanted:
        _check(one)
    try:
        with tx.savepoint():
            after = CONNTRACK_HELPER.change(tx, context, updates)
    except Duplicate:
        raise _duplicate(wanted[-1]) from None
    _tell(tx, context, "update", after)
    return after


def conntrack_helper_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete helpers."""
    CONNTRACK_HELPER.remove(tx, originals)
    _tell(tx, context, "delete", originals)


def _check(one: Mapping[str, Any]) -> None:
    supported = ALLOWED.get(one["helper"])
    if supported is None:
        raise ConntrackHelperNotAllowed(helper=one["helper"])
    if one["protocol"] not in supported:
        raise InvalidProtocolForHelper(
            helper=one["helper"], protocol=one["protocol"], supported_protocols=", ".join(supported)
        )


def _duplicate(one: Mapping[str, Any]) -> BadRequest:
    values = {name: one[name] for name in ("router_id", "protocol", "port", "helper")}
    return BadRequest(
        resource="conntrack_helper",
        msg="A duplicate conntrack helper entry with same attributes already exists, conflicting values "
        f"are {values}",
    )


def _tell(tx: Tx, context: Context, verb: str, several: Sequence[Mapping[str, Any]]) -> None:
    """Count a change of the routers; their agent looks again."""
    touch(tx, routers, {one["router_id"] for one in several}, context.now)
    tx.emit_many(
        [
            event(
                context,
                f"conntrack_helper.{verb}",
                one["id"],
                None,
                [scopes.router(one["router_id"])],
                router_id=one["router_id"],
            )
            for one in several
        ]
    )
