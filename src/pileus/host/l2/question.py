"""Which part of the desired state has to be read again because of a wake-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from pileus.host.l2.model import Model
from pileus.wire import scopes
from pileus.wire.switch import SwitchStateRequest


def question(
    host: str, woken: Iterable[str], model: Model, unasked: Set[str], read_at: Mapping[str, int]
) -> SwitchStateRequest | None:
    """Ask for what the scopes concern and for newly plugged devices, of which nothing or not the network is
    known; None: for nothing.

    Of networks and groups those are asked for that the model has: others are not this host's, or are found
    to be missing. ``read_at`` tells by scopes the positions at which parts were read, where it was later than
    the model's own.
    """
    named: dict[str, set[str]] = {}
    for scope in woken:
        kind, key = scopes.split(scope)
        named.setdefault(kind, set()).add(key)
    unknown = {port_id for port_id in unasked if not model.knows(port_id)}
    devices: set[str] | None = named.get("port", set()) | unknown
    if "host" in named and "port" not in named:
        devices = None
    networks = named.get("network", set()) & model.networks.keys()
    groups = named.get("security_group", set()) & model.groups.keys()
    prefixes = named.get("address_group", set()) & model.address_groups.keys()
    if devices is not None and not (devices or networks or groups or prefixes or "tunnels" in named):
        return None
    return SwitchStateRequest(
        host,
        devices=None if devices is None else tuple(sorted(devices)),
        networks=tuple(sorted(networks)),
        security_groups=tuple(sorted(groups)),
        address_groups=tuple(sorted(prefixes)),
        groups_since=min(
            (read_at.get(scopes.security_group(group), model.position) for group in groups), default=0
        ),
    )
