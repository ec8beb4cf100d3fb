"""Kinds of routers: of one agent, of high availability (``ha``), distributed; and their changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.config import NetworkConfig
from pileus.services.network.rules import device_owners


def interface_owner(router: Mapping[str, Any]) -> str:
    """The owner of a router's ports on project networks."""
    if router["distributed"]:
        return device_owners.DISTRIBUTED_INTERFACE
    return device_owners.HA_INTERFACE if router["ha"] else device_owners.ROUTER_INTERFACE


def complete_kind(spec: dict[str, Any], config: NetworkConfig) -> None:
    """Fill in what a new router does not say of its kind."""
    if spec.get("ha") is None:
        spec["ha"] = config.l3_ha
    if spec.get("distributed") is None:
        spec["distributed"] = config.router_distributed
    if spec.get("enable_default_route_ecmp") is None:
        spec["enable_default_route_ecmp"] = config.enable_default_route_ecmp
    if spec.get("enable_default_route_bfd") is None:
        spec["enable_default_route_bfd"] = config.enable_default_route_bfd


def check_kind(original: Mapping[str, Any], changes: dict[str, Any], config: NetworkConfig) -> bool:
    """Whether a change makes a router one of another kind, which it may become while it is down. A null is
    no change, and is left out."""
    for name in ("ha", "distributed", "enable_default_route_ecmp", "enable_default_route_bfd"):
        if changes.get(name, False) is None:
            del changes[name]
    changed = {name for name in ("ha", "distributed") if changes.get(name, original[name]) != original[name]}
    is_up = changes.get("admin_state_up", original["admin_state_up"])
    if "distributed" in changed and is_up and config.down_before_distributed:
        raise BadRequest(
            resource="router",
            msg="Cannot change the 'distributed' attribute of active routers. Please set router "
            "admin_state_up to False prior to upgrade",
        )
    if "ha" in changed and is_up:
        raise BadRequest(
            resource="router",
            msg="Cannot change HA attribute of active routers. Please set router admin_state_up to False "
            "prior to upgrade",
        )
    return bool(changed)
