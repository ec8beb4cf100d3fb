"""States that end by themselves: shelved servers leave their hosts, deleted ones can not be restored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from sqlalchemy import and_, or_, select

from pileus.core.context import Context
from pileus.core.errors import Fault
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.nodes.reading import host_is_up
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.delete import begin_deletion
from pileus.services.compute.servers.chains.resize import confirm
from pileus.services.compute.servers.chains.shelve import begin_offload
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.store.tx import Tx


def _offload(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    begin_offload(tx, context, server, parts)


def _reclaim(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    up = host_is_up(tx, parts.config, context.now, server["host"])
    begin_deletion(tx, context, server, parts, at_once=not up)


_ENDS: dict[str, Callable[[Tx, Context, Values, Parts], None]] = {
    states.SHELVED: _offload,
    states.SOFT_DELETED: _reclaim,
    states.RESIZED: confirm,
}
"""The end of each state that a server has been in for long enough."""


def _times(parts: Parts) -> dict[str, float]:
    """For how many seconds a state lasts; those that never end by themselves are missing."""
    config = parts.config
    lasting = {
        states.SHELVED: config.shelved_offload_time_s,
        # what was deleted before the setting was taken back goes, too
        states.SOFT_DELETED: config.reclaim_instance_interval_s,
        states.RESIZED: config.resize_confirm_window_s or -1,
    }
    return {state: seconds for state, seconds in lasting.items() if seconds >= 0}


def rests_over(tx: Tx, context: Context, *, parts: Parts, limit: int = 50) -> list[str]:
    """End states whose time is over; the servers. One statement where there are none."""
    c = servers.c
    over = [
        and_(c.vm_state == state, c.rested_at <= context.now - dt.timedelta(seconds=seconds))
        for state, seconds in _times(parts).items()
    ]
    where = [c.rested_at.is_not(None), or_(*over), c.task_state.is_(None), c.deleted_at.is_(None)]
    ids = [row.id for row in tx.rows(select(c.id).where(*where).order_by(c.rested_at).limit(limit))]
    ended = []
    for server in fetch(tx, SERVER, ids, where, lock=True) if ids else []:
        try:
            with tx.savepoint():
                _ENDS[server["vm_state"]](tx, context, server, parts)
        except Fault:
            continue  # one that can't be ended keeps none of the others
        ended.append(server["id"])
    return ended
