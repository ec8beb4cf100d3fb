"""Checks of port forwardings: their ranges, and what others forward already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pileus.resource.wordings.neutron import BadRequest

SIDES = ("internal", "external")
Forwarding = Mapping[str, Any]


def bad(text: str) -> BadRequest:
    """The refusal of a port forwarding."""
    return BadRequest(resource="port_forwarding", msg=text)


def bounds(text: str) -> tuple[int, int]:
    """The first and the last number of a range."""
    first, _, last = text.partition(":")
    return int(first), int(last)


def complete(one: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Make port and range of both sides say the same, by what was given of them."""
    for side in SIDES:
        port, several = f"{side}_port", f"{side}_port_range"
        if given.get(several) is not None:
            one[several] = given[several]
            if given.get(port) is not None and given[several] != f"{given[port]}:{given[port]}":
                raise bad(f"{port} and {several} can not be specified together")
        elif given.get(port) is not None:
            one[several] = f"{given[port]}:{given[port]}"
        if one.get(several) is None:
            raise bad(f"{port} or {several} must be specified")
        first, last = bounds(one[several])
        one[port] = first if first == last else None
    inner, outer = (last - first for first, last in (bounds(one[f"{side}_port_range"]) for side in SIDES))
    if inner not in (0, outer):
        raise bad(
            "Invalid ranges of internal and/or external ports. The relation between internal and external "
            "ports must be N-N or 1-N"
        )


def refuse_same(one: Forwarding, others: Iterable[Forwarding], floating_ip_address: str) -> None:
    """Refuse a change that makes a forwarding the same as another, outside or inside."""
    inside = ("internal_port_id", "internal_ip_address", "internal_port")
    for other in others:
        if other["id"] == one["id"] or other["protocol"] != one["protocol"]:
            continue
        conflict: dict[str, Any] | None = None
        if (
            other["floatingip_id"] == one["floatingip_id"]
            and other["external_port_range"] == one["external_port_range"]
        ):
            conflict = {"floating_ip_address": floating_ip_address, "external_port": other["external_port"]}
        elif (
            all(other[name] == one[name] for name in inside[:2])
            and other["internal_port_range"] == one["internal_port_range"]
        ):
            conflict = {name: other[name] for name in inside}
        if conflict is not None:
            raise bad(
                "Another port forwarding entry with the same attributes already exists, conflicting values "
                f"are {conflict}"
            )


def refuse_overlap(one: Forwarding, others: Iterable[Forwarding]) -> None:
    """Refuse ranges that another forwards from, of the same floating IP, or to, at the same address."""
    keys = {"internal": ("internal_port_id", "internal_ip_address"), "external": ("floatingip_id",)}
    others = [other for other in others if other["id"] != one["id"] and other["protocol"] == one["protocol"]]
    for side, names in keys.items():
        key = f"{side}_port_range"
        first, last = bounds(one[key])
        for other in others:
            from_, to = bounds(other[key])
            if max(first, from_) <= min(last, to) and all(other[name] == one[name] for name in names):
                raise bad(
                    f"There is a port collision with the {key}. The following ranges collide: {other[key]} "
                    f"and {one[key]}"
                )
