"""Which packets of the ports on a host are logged, as its switch agent is told."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Row, and_, or_, select

from pileus.services.network.logs.tables import logs
from pileus.store.column_in import listed
from pileus.store.tx import Tx
from pileus.wire.switch import PacketLog


class PortLogs:
    """The enabled logs that may concern some ports, found for each of them without a statement more."""

    def __init__(self, tx: Tx, ports: Sequence[Row[Any]]) -> None:
        self._found: Mapping[tuple[str | None, str | None, str], list[PacketLog]] = {}
        if ports:
            self._found = _read(tx, ports)

    def of(self, port: Row[Any]) -> tuple[PacketLog, ...]:
        """The logs that a port's packets are written into, by their ids."""
        if not self._found:
            return ()
        keys = [(group, target, "") for group in (None, *port.security_groups) for target in (port.id, None)]
        keys[1] = (None, None, port.project_id)  # a log of neither group nor port is of a whole project
        found = [log for key in keys for log in self._found.get(key, ())]
        return tuple(sorted(found, key=lambda log: log.log_id))


def _read(tx: Tx, ports: Sequence[Row[Any]]) -> dict[tuple[str | None, str | None, str], list[PacketLog]]:
    groups = sorted({group for port in ports for group in port.security_groups})
    projects = sorted({port.project_id for port in ports})
    concerned = {"ports": [port.id for port in ports], "groups": groups, "projects": projects}
    return _by_key(tx.rows(_concerning(tx.dialect), concerned))


@functools.cache
def _concerning(dialect: str) -> Executable:
    return select(logs).where(
        logs.c.enabled,
        or_(
            listed(dialect, logs.c.target_id, "ports"),
            and_(
                logs.c.target_id.is_(None),
                logs.c.resource_id.is_(None),
                listed(dialect, logs.c.project_id, "projects"),
            ),
            and_(logs.c.target_id.is_(None), listed(dialect, logs.c.resource_id, "groups")),
        ),
    )


def _by_key(rows: Iterable[Row[Any]]) -> dict[tuple[str | None, str | None, str], list[PacketLog]]:
    found: dict[tuple[str | None, str | None, str], list[PacketLog]] = {}
    for row in rows:
        whole = row.resource_id is None and row.target_id is None
        key = (row.resource_id, row.target_id, row.project_id if whole else "")
        log = PacketLog(log_id=row.id, project_id=row.project_id, event=row.event)
        found.setdefault(key, []).append(log)
    return found
