"""Bandwidth of hosts' cards that ports are guaranteed, and the rest of it, for whoever chooses hosts.

Agents say in ``resource_provider_bandwidths`` what the card of each physical network, and that of tunnels,
carries (``switch.bandwidths`` of their settings); a port's minimum bandwidth is a share of that. Rates are by
``PHYSNET DIRECTION``, in kbps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import func, select

from pileus.services.network.agents.tables import agents
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.kinds import EGRESS, INGRESS, MINIMUM_BANDWIDTH
from pileus.services.network.qos.tables import rules
from pileus.services.network.qos.uses import EFFECTIVE
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

BANDWIDTHS = "resource_provider_bandwidths"
TUNNELLED = "rp_tunnelled"
"""The name that agents give to the card of tunnels."""

Rates = dict[str, int]

_of = ports.join(networks, networks.c.id == ports.c.network_id).join(
    rules, rules.c.qos_policy_id == EFFECTIVE
)
_minima = rules.c.rule_type == MINIMUM_BANDWIDTH.name
_card = (networks.c.physical_network, rules.c.direction)
_ASKED = select(*_card, rules.c.amount).select_from(_of).where(_minima)
_OF_PORTS = select(ports.c.id, *_card, rules.c.amount).select_from(_of).where(_minima, ports.c.host != "")
_USED = (
    select(ports.c.host, *_card, func.sum(rules.c.amount).label("kbps"))
    .select_from(_of)
    .where(_minima, ports.c.host != "")
    .group_by(ports.c.host, *_card)
)
_AGENTS = select(agents.c.host, agents.c.configurations)


def _key(row: Any) -> str:
    return f"{row.physical_network or TUNNELLED} {row.direction}"


def guarantees_asked(tx: Tx, port_ids: Collection[str]) -> Rates:
    """The least bandwidths that these ports ask for together; one statement, none without ports."""
    found: Rates = {}
    if port_ids:
        for row in tx.rows(_ASKED.where(column_in(tx, ports.c.id, sorted(port_ids)))):
            found[_key(row)] = found.get(_key(row), 0) + int(row.amount)
    return found


def guarantees_carried(tx: Tx) -> dict[str, Rates]:
    """The bandwidth that hosts' cards carry; one statement."""
    carried: dict[str, Rates] = {}
    for row in tx.rows(_AGENTS):
        said = row.configurations.get(BANDWIDTHS)
        for name, rates in said.items() if isinstance(said, dict) else ():
            for direction in (EGRESS, INGRESS):
                rate = rates.get(direction) if isinstance(rates, dict) else None
                if isinstance(rate, int) and rate > 0:
                    carried.setdefault(row.host, {})[f"{name} {direction}"] = rate
    return carried


def guarantees_of_ports(tx: Tx, port_ids: Collection[str]) -> dict[str, Rates]:
    """The least bandwidth of each of these ports that asks for some and is on a host; one statement."""
    found: dict[str, Rates] = {}
    if port_ids:
        for row in tx.rows(_OF_PORTS.where(column_in(tx, ports.c.id, sorted(port_ids)))):
            found.setdefault(row.id, {})[_key(row)] = int(row.amount)
    return found


def guarantees_left(tx: Tx, but: Sequence[str] = ()) -> dict[str, Rates]:
    """The bandwidth that hosts can still guarantee; ``but``: ports that do not count. Two statements."""
    left = guarantees_carried(tx)
    used = _USED.where(~column_in(tx, ports.c.id, sorted(but))) if but else _USED
    for row in tx.rows(used):
        rates = left.get(row.host, {})
        if _key(row) in rates:
            rates[_key(row)] -= int(row.kbps)
    return left
