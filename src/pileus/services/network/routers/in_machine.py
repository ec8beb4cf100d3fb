"""Routers that are virtual machines by their flavor: what such a one can't do is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.resource.declaration import Update, Values
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.rules.addresses import DELEGATED

BUILD = "BUILD"


def begin_in_machine(spec: Values) -> None:
    """Refuse what it can't be; a new one is being built where it has something to do from the beginning."""
    _refuse_ndp_proxy(spec)
    if spec["external_gateway_info"]:
        spec["status"] = BUILD


def refuse_in_machine(updates: Sequence[Update]) -> None:
    """Refuse what gateway machines can't become."""
    for one in updates:
        if one.original["gateway_vm"]:
            _refuse_ndp_proxy(one.changes)


def check_gateway_index(router: Mapping[str, Any], index: int) -> None:
    """Refuse a further gateway: a gateway machine has one."""
    if router["gateway_vm"] and index:
        raise _bad(f"Router {router['id']} is a gateway machine, which has one external gateway")


def check_subnets(router: Mapping[str, Any], subnets: Sequence[Mapping[str, Any]]) -> None:
    """Refuse subnets that a gateway machine can't serve."""
    if router["gateway_vm"]:
        for subnet in subnets:
            if subnet["subnetpool_id"] == DELEGATED:
                raise _bad(
                    f"Router {router['id']} is a gateway machine, which asks for no prefixes: that of subnet "
                    f"{subnet['id']} is to be delegated"
                )


def refuse_conntrack_helper(router_id: str) -> BadRequest:
    """The refusal of a conntrack helper."""
    return BadRequest(
        resource="conntrack_helper",
        msg=f"Router {router_id} is a gateway machine, which has no conntrack helpers",
    )


def _refuse_ndp_proxy(values: Mapping[str, Any]) -> None:
    if values.get("enable_ndp_proxy"):
        raise _bad("A gateway machine has no NDP proxy: enable_ndp_proxy can not be set")


def _bad(text: str) -> BadRequest:
    return BadRequest(resource="router", msg=text)
