"""Which part of the desired state has to be read again because of a wake-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec

from pileus.host.l2.model import Model
from pileus.wire import scopes
from pileus.wire.switch import SwitchState, SwitchStateRequest


class GroupsRead(msgspec.Struct, frozen=True):
    """Up to where the security groups of the model are known: all up to ``whole_at``, some by their ids up to
    a later position; in the server's ``history``."""

    history: str = ""
    whole_at: int = 0
    later: Mapping[str, int] = {}

    def since(self, groups: Iterable[str]) -> int:
        """The position up to which each of them is known; 0: none, or not each."""
        return min((self.later.get(group, self.whole_at) for group in groups), default=0)

    def after(self, request: SwitchStateRequest, state: SwitchState) -> GroupsRead:
        """The same after an answer."""
        if request.security_groups is None:
            return GroupsRead(state.history, state.position)
        same = state.history == self.history
        later = {**(self.later if same else {}), **dict.fromkeys(request.security_groups, state.position)}
        return GroupsRead(state.history, self.whole_at if same else 0, later)


def question(
    host: str, woken: Iterable[str], model: Model, unasked: Set[str], read: GroupsRead
) -> SwitchStateRequest | None:
    """Ask for what the scopes concern and for newly plugged devices, of which nothing or not the network is
    known; None: for nothing.

    Of networks and groups those are asked for that the model has: others are not this host's, or are found
    to be missing. ``read`` is what is known of groups.
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
        groups_since=read.since(groups),
        groups_history=read.history,
    )
