"""QoS policies of router gateways, which ``external_gateway_info`` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete

from pileus.core.context import Context
from pileus.services.network.qos.reading import check_policy_pairs
from pileus.services.network.qos.tables import router_policies
from pileus.store.tx import Tx

Info = Mapping[str, Any] | None

_DELETE = delete(router_policies).where(router_policies.c.router_id.in_(bindparam("ids", expanding=True)))


class GatewayPolicy(NamedTuple):
    """A router with its gateway's policy until now, and the gateway that it is asked to have."""

    router_id: str
    old: str | None
    info: Info

    @property
    def new(self) -> str | None:
        """The policy from now on: without a word on it the same; a gateway that goes takes it along."""
        if not self.info:
            return None
        policy_id: str | None = self.info.get("qos_policy_id", self.old)
        return policy_id


def gateway_policies_set(
    tx: Tx, context: Context, wanted: Sequence[GatewayPolicy], shown: Mapping[str, dict[str, Any] | None]
) -> None:
    """Write the policies of gateways, and into the infos that are ``shown``; no statement where none changes.

    QosPolicyNotFound, PolicyRemoveAuthorizationError.
    """
    changed = [one for one in wanted if one.old != one.new]
    check_policy_pairs(tx, context, [(one.old, one.new) for one in changed])
    gone = [one.router_id for one in changed if one.old]
    if gone:
        tx.execute(_DELETE, {"ids": gone})
    new = [{"router_id": one.router_id, "qos_policy_id": one.new} for one in changed if one.new]
    if new:
        tx.insert(router_policies, new)
    for one in wanted:
        info = shown.get(one.router_id)
        if info is not None:
            info["qos_policy_id"] = one.new


def gateway_policy(info: Info) -> str | None:
    """The policy that a gateway has, as its info says."""
    return info["qos_policy_id"] if info else None
