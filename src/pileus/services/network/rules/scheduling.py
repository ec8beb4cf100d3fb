"""The choice of agents for what nobody serves. Pure: candidates in, a choice out.

``least`` takes those with the least to do (ties by lot), ``chance`` takes any.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Candidate(NamedTuple):
    """An agent that could serve: alive and administratively up. ``load``: how much it serves already."""

    agent_id: str
    host: str
    load: int
    availability_zone: str | None = None


def choose(
    candidates: Iterable[Candidate],
    count: int,
    scheduler: str,
    dice: random.Random,
    zones: Sequence[str] = (),
) -> list[Candidate]:
    """Up to ``count`` of the candidates; only those in ``zones`` where a thing names some."""
    eligible = [one for one in candidates if not zones or one.availability_zone in zones]
    dice.shuffle(eligible)
    if scheduler == "least":
        eligible.sort(key=lambda one: one.load)
    return eligible[:count]


SNAT_MODES = ("legacy", "dvr_snat")
"""Modes of L3 agents that host routers; others (``dvr``, ``dvr_no_external``) serve guests of their host."""


def serves_router(
    configurations: Mapping[str, Any],
    router_id: str,
    gateway_network_id: str | None,
    distributed: bool | None = False,
) -> bool:
    """Whether an L3 agent of these configurations (seed 003) can host a router at all.

    Without namespaces an agent serves the one router that it names. An agent may leave routers without a
    gateway to others, and may serve the gateways of one external network only. What is central of a
    distributed router needs an agent that is meant for that.
    """
    mode = configurations.get("agent_mode", "legacy")
    if mode not in SNAT_MODES or (distributed and mode != "dvr_snat"):
        return False
    if not configurations.get("use_namespaces", True) and configurations.get("router_id") != router_id:
        return False
    if gateway_network_id is None:
        return bool(configurations.get("handle_internal_only_routers", True))
    only = configurations.get("gateway_external_network_id")
    return not only or only == gateway_network_id
