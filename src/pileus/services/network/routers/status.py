"""Reports of L3 agents on routers and floating IPs: in place, or not and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, Table, bindparam, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.tables import floating_ip_hosts, floating_ips
from pileus.services.network.routers.distributed_ports import distributed_ports_rise
from pileus.services.network.routers.handovers import BOTH, ENDING, LAST, WAITING
from pileus.services.network.routers.hosted import HOSTED
from pileus.services.network.routers.scheduling import LOCK, routers_bind_ports, routers_hand_over
from pileus.services.network.routers.tables import (
    router_bindings,
    router_handovers,
    router_ports,
    routers,
)
from pileus.services.network.rules import device_owners, ha_states
from pileus.services.network.rules.addresses import is_delegable
from pileus.services.network.rules.agent_types import L3_AGENT
from pileus.services.network.subnets.delegation import subnets_delegate
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.events import newest_position
from pileus.store.tx import Tx
from pileus.wire.l3 import L3Status
from pileus.wire.switch import Acknowledged

ACTIVE, ERROR = "ACTIVE", "ERROR"

_ROUTERS = (
    select(
        routers.c.id,
        routers.c.project_id,
        routers.c.status,
        routers.c.distributed,
        routers.c.admin_state_up,
        LAST.c.host.label("last_host"),
        router_handovers.c.phase,
    )
    .select_from(
        routers.outerjoin(router_handovers, router_handovers.c.router_id == routers.c.id).outerjoin(
            LAST, LAST.c.id == router_handovers.c.agent_id
        )
    )
    .where(routers.c.id.in_(bindparam("ids", expanding=True)), routers.c.id.in_(HOSTED))
)
_FLOATING_IPS = (
    select(
        floating_ips.c.id,
        floating_ips.c.project_id,
        floating_ips.c.status,
        floating_ips.c.router_id,
        floating_ips.c.fixed_port_id,
        floating_ip_hosts.c.host,
    )
    .select_from(
        floating_ips.outerjoin(floating_ip_hosts, floating_ip_hosts.c.floating_ip_id == floating_ips.c.id)
    )
    .where(floating_ips.c.id.in_(bindparam("ids", expanding=True)), floating_ips.c.router_id.in_(HOSTED))
)


_ROUTED = (
    select(ip_allocations.c.subnet_id)
    .distinct()
    .select_from(router_ports.join(ip_allocations, ip_allocations.c.port_id == router_ports.c.port_id))
    .where(
        ip_allocations.c.subnet_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type.in_(device_owners.INTERFACES),
        router_ports.c.router_id.in_(HOSTED),
    )
)
_HA_BINDINGS = (
    select(
        router_bindings.c.router_id,
        router_bindings.c.agent_id,
        router_bindings.c.ha_state,
        agents.c.host,
        routers.c.project_id,
    )
    .select_from(
        router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id).join(
            routers, routers.c.id == router_bindings.c.router_id
        )
    )
    .where(
        router_bindings.c.router_id.in_(bindparam("ids", expanding=True)),
        router_bindings.c.ha_state.is_not(None),
    )
    .order_by(router_bindings.c.router_id, router_bindings.c.binding_index)
)
_SET_HA_STATE = (
    update(router_bindings)
    .where(router_bindings.c.router_id == bindparam("key"), router_bindings.c.agent_id == bindparam("agent"))
    .values(ha_state=bindparam("state"), ha_state_at=bindparam("at"))
)


def l3_status(
    tx: Tx, context: Context, status: L3Status, *, config: NetworkConfig, agent_type: str = L3_AGENT
) -> Acknowledged:
    """Write what changed; what is not the reporting host's is left as it is.

    At most six statements for any number; nobody waits for the outcome, so the events carry no scopes.
    """
    for table, statement, kind, good in (
        (routers, _ROUTERS, "router", status.routers),
        (floating_ips, _FLOATING_IPS, "floatingip", status.floating_ips),
    ):
        ids = sorted({*good, *status.failed, *(status.ready if table is routers else ())})
        if ids:
            rows = tx.rows(statement, {"ids": ids, "on_host": status.host, "of_type": agent_type})
            _write(tx, context, table, kind, rows, good, status.failed, status.host)
            if table is floating_ips:
                back = [row for row in rows if row.id in good and row.host is not None]
                for follow in config.followers.floating_ips_central if back else ():
                    follow(tx, context, [row.id for row in back], config)
                continue
            _take_over(tx, context, rows, status, config)
            spread = [row.id for row in rows if row.distributed and row.admin_state_up and row.id in good]
            distributed_ports_rise(tx, spread, context.now)
    if status.prefixes:
        _delegate(tx, context, status, agent_type)
    if status.ha_states:
        _write_ha_states(tx, context, status, config)
    return Acknowledged(position=newest_position(tx))


def _take_over(
    tx: Tx, context: Context, rows: Collection[Row[Any]], status: L3Status, config: NetworkConfig
) -> None:
    """Of routers that other agents serve still: this one has all ready, or serves them."""
    coming = [row for row in rows if row.phase in (WAITING, BOTH) and row.last_host != status.host]
    ready = [row.id for row in coming if row.phase == WAITING and row.id in status.ready]
    # Also of an agent that knows no standby.
    served = [row.id for row in coming if row.id in status.routers and row.id not in status.failed]
    for ids, phase in ((ready, BOTH), (served, ENDING)):
        if ids:
            tx.lock(LOCK)
            routers_hand_over(tx, context, ids, phase, config)


def _delegate(tx: Tx, context: Context, status: L3Status, agent_type: str) -> None:
    """Let subnets of the host's routers have the prefixes that these were given, and no others."""
    good = {one: cidr for one, cidr in status.prefixes.items() if is_delegable(cidr)}
    where = {"ids": sorted(good), "on_host": status.host, "of_type": agent_type}
    subnets_delegate(tx, context, {row.subnet_id: good[row.subnet_id] for row in tx.rows(_ROUTED, where)})


def _write_ha_states(tx: Tx, context: Context, status: L3Status, config: NetworkConfig) -> None:
    """Write on which host routers are active; what they have follows."""
    wanted = {one: state for one, state in status.ha_states.items() if state in ha_states.STATES}
    rows = tx.rows(_HA_BINDINGS, {"ids": sorted(wanted)})
    here = {row.router_id: row for row in rows if row.host == status.host}
    changed = [one for one, row in here.items() if row.ha_state != wanted[one]]
    if not changed:
        return
    written = [
        {"key": one, "agent": here[one].agent_id, "state": wanted[one], "at": context.now}
        for one in sorted(changed)
    ]
    tx.execute(_SET_HA_STATE, written)
    routers_bind_ports(tx, context, sorted(changed), config)
    tx.emit_many(
        [
            event(context, f"router.{wanted[one]}", one, here[one].project_id, host=status.host)
            for one in sorted(changed)
        ]
    )


def _write(
    tx: Tx,
    context: Context,
    table: Table,
    kind: str,
    rows: Collection[Row[Any]],
    good: Collection[str],
    failed: Mapping[str, str],
    host: str,
) -> None:
    raised = [row for row in rows if row.id in good and row.id not in failed and row.status != ACTIVE]
    fallen = [row for row in rows if row.id in failed and row.status != ERROR]
    if table is routers:  # one that another agent serves is as that one says
        fallen = [row for row in fallen if row.last_host in (None, host) or row.phase == ENDING]
    for several, new in ((raised, ACTIVE), (fallen, ERROR)):
        if several:
            ids = [row.id for row in several]
            changes = {"status": new, **next_revision(table, context.now)}
            tx.execute(update(table).where(table.c.id.in_(ids)).values(changes))
    tx.emit_many(
        [
            *(event(context, f"{kind}.active", row.id, row.project_id, host=host) for row in raised),
            *(
                event(context, f"{kind}.failed", row.id, row.project_id, host=host, reason=failed[row.id])
                for row in fallen
            ),
        ]
    )
