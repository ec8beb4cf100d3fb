"""Desired state as this node holds it: answers of the server, laid over each other.

An answer to a partial question replaces what was asked for: an id that was asked and is
not in the answer is not this host's (any more).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Set
from typing import Any, TypeVar

import msgspec

from pileus.wire.distributed import DistributedFloatingIp, DistributedRouter, HostGateway, RoutingMac
from pileus.wire.switch import (
    AddressGroupDetails,
    DeviceDetails,
    NetworkDetails,
    SecurityGroupChange,
    SecurityGroupDetails,
    SwitchState,
    SwitchStateRequest,
    TunnelEndpoint,
)

T = TypeVar("T")


class Named(msgspec.Struct, frozen=True):
    """Ids of what devices refer to, by kind; of ``groups`` the rules, of ``remote_groups`` the members."""

    networks: set[str]
    groups: set[str]
    remote_groups: set[str]
    address_groups: set[str]


class Model(msgspec.Struct, frozen=True):
    """Everything the server wants of this switch, by id. Never changed in place."""

    position: int = 0
    devices: dict[str, DeviceDetails] = {}
    networks: dict[str, NetworkDetails] = {}
    groups: dict[str, SecurityGroupDetails] = {}
    address_groups: dict[str, AddressGroupDetails] = {}
    tunnels: tuple[TunnelEndpoint, ...] = ()
    routers: tuple[DistributedRouter, ...] = ()
    floating_ips: tuple[DistributedFloatingIp, ...] = ()
    gateways: tuple[HostGateway, ...] = ()
    routing_mac: RoutingMac | None = None

    def absorb(self, request: SwitchStateRequest, state: SwitchState) -> Model:
        """This model with the answer ``state`` to ``request`` laid over it.

        The position becomes the answer's only when everything was asked for: a partial answer
        says nothing of what else happened before it.
        """
        asked = (request.devices, request.networks, request.security_groups, request.address_groups)
        whole = all(kind is None for kind in asked)
        return Model(
            position=state.position if whole else self.position,
            devices=_laid(self.devices, request.devices, ((d.port_id, d) for d in state.devices)),
            networks=_laid(self.networks, request.networks, ((n.network_id, n) for n in state.networks)),
            groups=_laid(self.groups, request.security_groups, self._groups(state)),
            address_groups=_laid(
                self.address_groups,
                request.address_groups,
                ((g.address_group_id, g) for g in state.address_groups),
            ),
            tunnels=state.tunnels,
            routers=state.routers,
            floating_ips=state.floating_ips,
            gateways=state.gateways,
            routing_mac=state.routing_mac,
        )

    def _groups(self, state: SwitchState) -> Iterator[tuple[str, SecurityGroupDetails]]:
        for group in state.security_groups:
            yield group.security_group_id, group
        for change in state.group_changes:
            if (known := self.groups.get(change.security_group_id)) is not None:
                yield change.security_group_id, _changed(known, change)

    def named(self) -> Named:
        """Everything that the devices refer to, and the rules of their groups."""
        networks = {device.network_id for device in self.devices.values()} | self.routed()
        groups = {group for device in self.devices.values() for group in device.security_group_ids}
        remote_groups, address_groups = set(), set()
        for group_id in groups:
            if group := self.groups.get(group_id):
                remote_groups |= {rule.remote_group_id for rule in group.rules if rule.remote_group_id}
                address_groups |= {
                    rule.remote_address_group_id for rule in group.rules if rule.remote_address_group_id
                }
        return Named(networks, groups, remote_groups, address_groups)

    def routed(self) -> set[str]:
        """The networks of distributed routers, and the external ones that this host has a gateway to."""
        inner = {one.network_id for router in self.routers for one in router.interfaces}
        return inner | {gateway.network_id for gateway in self.gateways}

    def knows(self, port_id: str) -> bool:
        """Whether a device can be wired by what is known. A network that this host had no part in when it was
        asked for is not known, though it may be the host's again."""
        device = self.devices.get(port_id)
        return device is not None and device.network_id in self.networks

    def missing(self) -> Named:
        """Tell the ids that are referred to and not here, or not that part of them: to be asked for."""
        named = self.named()
        return Named(
            named.networks - self.networks.keys(),
            {key for key in named.groups if key not in self.groups or not self.groups[key].has_rules},
            {
                key
                for key in named.remote_groups
                if key not in self.groups or not self.groups[key].has_members
            },
            named.address_groups - self.address_groups.keys(),
        )

    def without(self, port_ids: Container[str]) -> Model:
        """Without these devices."""
        kept = {key: device for key, device in self.devices.items() if key not in port_ids}
        return msgspec.structs.replace(self, devices=kept)

    def evidence(self, port_id: str) -> Any:
        """All that a device is planned from: it is another try when this is another."""
        device = self.devices[port_id]
        groups = tuple(map(self.groups.get, device.security_group_ids))
        return device, self.networks.get(device.network_id), groups

    def pruned(self) -> Model:
        """Without networks and groups that no device of this host needs, or that part of a group."""
        named = self.named()
        groups = _those(self.groups, named.groups | named.remote_groups)
        return msgspec.structs.replace(
            self,
            networks=_those(self.networks, named.networks),
            groups={
                key: _without(group, rules=key not in named.groups, members=key not in named.remote_groups)
                for key, group in groups.items()
            },
            address_groups=_those(self.address_groups, named.address_groups),
        )


def _changed(group: SecurityGroupDetails, change: SecurityGroupChange) -> SecurityGroupDetails:
    """The group with the change.

    What this host had not been told before it has not now either: then it is missing (``Model.missing``).
    """
    group = _without(group, rules=not change.has_rules, members=not change.has_members)
    if not group.has_members:
        return group
    known = set(group.member_ips)
    members = (known - set(change.left)) | set(change.joined)
    if members == known:
        return group
    return msgspec.structs.replace(group, member_ips=tuple(sorted(members)))


def _without(group: SecurityGroupDetails, *, rules: bool, members: bool) -> SecurityGroupDetails:
    """The group without a part that it has."""
    if rules and group.has_rules:
        group = msgspec.structs.replace(group, rules=(), has_rules=False)
    if members and group.has_members:
        group = msgspec.structs.replace(group, member_ips=(), has_members=False)
    return group


def _those(known: Mapping[str, T], keys: Set[str]) -> dict[str, T]:
    return {key: known[key] for key in known.keys() & keys}


def _laid(old: Mapping[str, T], asked: Iterable[str] | None, answer: Iterable[tuple[str, T]]) -> dict[str, T]:
    if asked is None:
        return dict(answer)
    asked = set(asked)
    return {key: value for key, value in old.items() if key not in asked} | dict(answer)
