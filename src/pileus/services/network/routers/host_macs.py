"""Hardware addresses of hosts that route (Neutron's ``dvr_host_macs``).

What a host has routed leaves it on physical networks with an address of its own, so that switches there learn
the router's at one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import BindParameter, bindparam, delete, select

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.routers.tables import dvr_host_macs
from pileus.services.network.rules import macs
from pileus.services.network.rules.agent_types import OPEN_VSWITCH_AGENT
from pileus.store.tx import Tx
from pileus.wire import scopes

_LOCK = "dvr_host_macs"
_TRIES = 10
_OWN = select(dvr_host_macs.c.mac_address).where(dvr_host_macs.c.host == bindparam("on_host"))
_TAKEN = select(dvr_host_macs.c.mac_address).where(
    dvr_host_macs.c.mac_address.in_(bindparam("macs", expanding=True))
)
_AGENTS = select(agents.c.host).where(
    agents.c.id.in_(bindparam("ids", expanding=True)), agents.c.agent_type == OPEN_VSWITCH_AGENT
)
_HOSTS: BindParameter[str] = bindparam("hosts", expanding=True)


def host_macs_follow_agents(tx: Tx, context: Context, agent: AgentSeen, config: NetworkConfig) -> None:
    """Give the host of a switch agent that begins anew its address, once."""
    here = {"on_host": agent.host}
    if not agent.restarted or agent.agent_type != OPEN_VSWITCH_AGENT or tx.rows(_OWN, here):
        return
    tx.lock(_LOCK)
    if tx.rows(_OWN, here):
        return
    # Addresses are few and their space is large: another try is needed once in thousands.
    some = macs.make(_TRIES, config.dice, base=config.dvr_base_mac)
    taken = {row.mac_address for row in tx.rows(_TAKEN, {"macs": some})}
    mac = next(one for one in some if one not in taken)
    tx.insert(dvr_host_macs, [{"host": agent.host, "mac_address": mac}])
    # As a new endpoint of tunnels does, which comes with it: the host's own agent may have read its state.
    tx.emit(event(context, "agent.dvr_mac", agent.agent_id, None, [scopes.tunnels()], host=agent.host))


def host_macs_leave(
    tx: Tx, context: Context, agent_ids: Sequence[str], config: NetworkConfig
) -> Callable[[], Collection[str]]:
    """Forget the addresses of hosts whose switch agents are deleted."""
    hosts = [row.host for row in tx.rows(_AGENTS, {"ids": list(agent_ids)})]
    if hosts:
        tx.execute(delete(dvr_host_macs).where(dvr_host_macs.c.host.in_(_HOSTS)), {"hosts": hosts})
    return lambda: ()
