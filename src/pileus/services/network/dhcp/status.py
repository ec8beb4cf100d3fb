"""Reports of DHCP agents on networks: served, or not and why."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, bindparam, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.dhcp.tables import ACTIVE, ERROR, dhcp_bindings
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.agent_types import DHCP_AGENT
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire.dhcp import DhcpStatus
from pileus.wire.switch import Acknowledged

_REPORTED = (
    select(
        dhcp_bindings.c.network_id,
        dhcp_bindings.c.agent_id,
        dhcp_bindings.c.status,
        dhcp_bindings.c.reason,
        networks.c.project_id,
    )
    .select_from(
        dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id).join(
            networks, networks.c.id == dhcp_bindings.c.network_id
        )
    )
    .where(
        agents.c.host == bindparam("on_host"),
        agents.c.agent_type == DHCP_AGENT,
        dhcp_bindings.c.network_id.in_(bindparam("ids", expanding=True)),
    )
)
_PORTS = select(ports.c.id, ports.c.project_id, ports.c.network_id).where(
    ports.c.id.in_(bindparam("ids", expanding=True)),
    ports.c.network_id.in_(bindparam("served", expanding=True)),
)
_SET = (
    update(dhcp_bindings)
    .where(
        and_(
            dhcp_bindings.c.network_id == bindparam("on_network"),
            dhcp_bindings.c.agent_id == bindparam("by_agent"),
        )
    )
    .values(status=bindparam("new_status"), reason=bindparam("why"))
)


def dhcp_status(tx: Tx, context: Context, status: DhcpStatus) -> Acknowledged:
    """Write what changed; networks that are not bound to the reporting host's agent are left as they are.

    Two statements for any number of networks, and one more where ports can't be served, which their
    timeline then says; nobody waits for the outcome, so the events carry no scopes.
    """
    said: dict[str, str | None] = dict.fromkeys(status.serving) | status.failed
    rows = tx.rows(_REPORTED, {"on_host": status.host, "ids": sorted(said)}) if said else []
    changed = []
    for row in rows:
        reason = said[row.network_id]
        state = ACTIVE if reason is None else ERROR
        if (row.status, row.reason) != (state, reason):
            changed.append((row, state, reason))
    if changed:
        tx.execute(
            _SET,
            [
                {
                    "on_network": row.network_id,
                    "by_agent": row.agent_id,
                    "new_status": state,
                    "why": reason,
                }
                for row, state, reason in changed
            ],
        )
        tx.emit_many(
            [
                event(
                    context,
                    "network.dhcp_active" if reason is None else "network.dhcp_failed",
                    row.network_id,
                    row.project_id,
                    host=status.host,
                    **({} if reason is None else {"reason": reason}),
                )
                for row, _, reason in changed
            ]
        )
    if status.ports:
        _ports(tx, context, status, {row.network_id for row in rows})
    return Acknowledged(position=newest_position(tx))


def _ports(tx: Tx, context: Context, status: DhcpStatus, served: Collection[str]) -> None:
    rows = tx.rows(_PORTS, {"ids": sorted(status.ports), "served": sorted(served)})
    tx.emit_many(
        [
            event(
                context,
                "port.dhcp_failed",
                row.id,
                row.project_id,
                host=status.host,
                network_id=row.network_id,
                reason=status.ports[row.id],
            )
            for row in rows
        ]
    )
