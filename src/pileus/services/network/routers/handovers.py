"""Routers on their way from one agent to another, without a gap.

Bindings say at once what was asked for. The agent that loses a router goes on serving it, as a row of
``router_handovers`` says, while the one that gets it makes all ready and stays silent
(``RouterDetails.standby``). The phases of a row:

========== ============== ============= =======================
phase      the last agent the next one  hosts of guests send to
========== ============== ============= =======================
WAITING    serves         makes ready   the last one
BOTH       serves         begins        the last one
ENDING     serves what    serves        the next one, from now
           comes still
========== ============== ============= =======================

The next agent's reports lead from one to another, that it is ready and that it serves; so at no moment nobody
serves, and each packet goes one way. Whoever dies meanwhile, the row says who serves. The ports are bound to
the host that others send to.

An agent that an administrator takes a router from goes on for ``network.router_handover_s``: taking it away
and giving it to another agent, which is how clients move a router, is one move then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, exists, or_, select, update

from pileus.core.context import Context
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.tables import router_bindings, router_handovers
from pileus.store.tx import Tx

WAITING, BOTH, ENDING = "waiting", "both", "ending"
LINGERS_S = 1.0
"""Until then all hosts know whom to send to."""
LAST = agents.alias("last")
"""The agent that still serves a router, in statements that look at handovers."""
_LAST = (
    select(
        router_handovers.c.router_id,
        router_handovers.c.agent_id,
        router_handovers.c.phase,
        LAST.c.host,
        LAST.c.heartbeat_timestamp,
    )
    .select_from(router_handovers.join(LAST, LAST.c.id == router_handovers.c.agent_id))
    .order_by(router_handovers.c.router_id)
)
_OF_ROUTERS = _LAST.where(router_handovers.c.router_id.in_(bindparam("ids", expanding=True)))
_OF_AGENTS = _LAST.where(router_handovers.c.agent_id.in_(bindparam("agents", expanding=True)))
_UNBOUND = ~(
    select(router_bindings.c.router_id)
    .where(router_bindings.c.router_id == router_handovers.c.router_id)
    .exists()
)
_IS_OVER = or_(
    and_(_UNBOUND, router_handovers.c.since <= bindparam("before")),
    and_(router_handovers.c.phase == ENDING, router_handovers.c.since <= bindparam("ended")),
)
_OVER = _LAST.where(_IS_OVER)
ANY_OVER = exists(select(router_handovers.c.router_id).where(_IS_OVER))
_SET_PHASE = (
    update(router_handovers)
    .where(router_handovers.c.router_id.in_(bindparam("ids", expanding=True)))
    .values(phase=bindparam("new_phase"), since=bindparam("now"))
)
_END = delete(router_handovers).where(router_handovers.c.router_id.in_(bindparam("ids", expanding=True)))


def handovers_begin(tx: Tx, context: Context, rows: Sequence[Row[Any]], config: NetworkConfig) -> None:
    """Let those agents that live go on serving routers that they are about to lose (rows of bindings). Where
    one is served by another still, that one does."""
    since = config.alive_since(context.now)
    known = last_agents(tx, [row.router_id for row in rows])
    ended = [one for one, row in known.items() if row.phase == ENDING]
    handovers_end(tx, ended)
    tx.insert(
        router_handovers,
        [
            {
                "router_id": row.router_id,
                "agent_id": row.agent_id,
                "phase": WAITING,
                "since": context.now,
            }
            for row in rows
            if row.heartbeat_timestamp >= since
            and config.router_handover_s
            and (row.router_id not in known or row.router_id in ended)
        ],
    )


def last_agents(tx: Tx, router_ids: Collection[str]) -> Mapping[str, Row[Any]]:
    """The agents that still serve routers, by router."""
    return {row.router_id: row for row in tx.rows(_OF_ROUTERS, {"ids": list(router_ids)})}


def handovers_of_agents(tx: Tx, agent_ids: Collection[str]) -> list[str]:
    """The routers that agents still serve."""
    return [row.router_id for row in tx.rows(_OF_AGENTS, {"agents": list(agent_ids)})]


def over_before(context: Context, config: NetworkConfig) -> dict[str, dt.datetime]:
    """The moments in statements about what is over by now."""
    return {
        "before": context.now - dt.timedelta(seconds=config.router_handover_s),
        "ended": context.now - dt.timedelta(seconds=LINGERS_S),
    }


def handovers_over(tx: Tx, moments: Mapping[str, dt.datetime]) -> list[Row[Any]]:
    """Routers that were taken from their agents and that nobody has got in time, and those that others
    serve."""
    return list(tx.rows(_OVER, moments))


def handovers_enter(tx: Tx, context: Context, router_ids: Collection[str], phase: str) -> None:
    """Let handovers be in a phase from now on."""
    tx.execute(_SET_PHASE, {"ids": list(router_ids), "new_phase": phase, "now": context.now})


def handovers_end(tx: Tx, router_ids: Collection[str]) -> None:
    """Forget who served them."""
    if router_ids:
        tx.execute(_END, {"ids": list(router_ids)})
