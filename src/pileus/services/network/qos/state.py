"""The part of policies that nodes are told: the rules of several, read in one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import bindparam, select

from pileus.services.network.qos.kinds import (
    BANDWIDTH_LIMIT,
    DSCP_MARKING,
    EGRESS,
    INGRESS,
    MINIMUM_BANDWIDTH,
    PACKET_RATE_LIMIT,
)
from pileus.services.network.qos.tables import rules
from pileus.store.tx import Tx
from pileus.wire.qos import AddressQos, PacketRateLimit, PortQos, RateLimit

_RULES = select(
    rules.c.qos_policy_id, rules.c.rule_type, rules.c.direction, rules.c.amount, rules.c.burst
).where(rules.c.qos_policy_id.in_(bindparam("ids", expanding=True)))


class PolicyRules(NamedTuple):
    """A policy's rules by kind and direction: the amount and the burst."""

    qos_id: str
    rules: Mapping[tuple[str, str], tuple[int, int]]

    def limit(self, direction: str) -> RateLimit | None:
        """The limit of bandwidth in a direction."""
        found = self.rules.get((BANDWIDTH_LIMIT.name, direction))
        return RateLimit(self.qos_id, *found) if found else None

    def of_port(self) -> PortQos | None:
        """Everything for a port's switch but the limit of what the guest sends; None for nothing."""
        mark = self.rules.get((DSCP_MARKING.name, ""))
        qos = PortQos(
            ingress=self.limit(INGRESS),
            egress_packets=self._packets(EGRESS),
            ingress_packets=self._packets(INGRESS),
            dscp_mark=mark[0] if mark else None,
            egress_minimum_kbps=self.rules.get((MINIMUM_BANDWIDTH.name, EGRESS), (0, 0))[0],
        )
        return qos if qos != PortQos() else None

    def of_address(self, address: str) -> AddressQos | None:
        """The limits for a router's address; None for none."""
        qos = AddressQos(address, self.limit(EGRESS), self.limit(INGRESS))
        return qos if qos.egress or qos.ingress else None

    def _packets(self, direction: str) -> PacketRateLimit | None:
        found = self.rules.get((PACKET_RATE_LIMIT.name, direction))
        return PacketRateLimit(*found) if found else None


def rules_for_nodes(tx: Tx, policy_ids: Collection[str]) -> dict[str, PolicyRules]:
    """The rules of policies, by policy; no statement for none."""
    found: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}
    for row in tx.rows(_RULES, {"ids": sorted(policy_ids)}) if policy_ids else ():
        own = found.setdefault(row.qos_policy_id, {})
        own[row.rule_type, row.direction] = (row.amount, row.burst)
    return {policy_id: PolicyRules(policy_id, own) for policy_id, own in found.items()}
