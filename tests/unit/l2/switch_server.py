"""The server for a switch agent: ports, networks and groups in dictionaries."""

from __future__ import annotations

import random

import msgspec
from tests.fake_server import FakeServer

from pileus.wire import scopes as scope_names
from pileus.wire.dhcp import LeaseReport
from pileus.wire.switch import (
    Acknowledged,
    DeviceDetails,
    DeviceStatus,
    ForwardingEntry,
    NetworkDetails,
    SecurityGroupDetails,
    SwitchState,
    SwitchStateRequest,
    TunnelEndpoint,
)


class SwitchServer(FakeServer):
    """``hosts`` says where ports are bound."""

    def __init__(self, chance: random.Random | None = None) -> None:
        super().__init__(chance)
        self.devices: dict[str, DeviceDetails] = {}
        self.hosts: dict[str, str] = {}
        self.networks: dict[str, NetworkDetails] = {}
        self.groups: dict[str, SecurityGroupDetails] = {}
        self.tunnels: list[TunnelEndpoint] = []
        self.statuses: list[DeviceStatus] = []
        self.taps: dict[str, str] = {}
        self.leases: list[tuple[str, str]] = []

    def put_device(self, device: DeviceDetails, host: str) -> None:
        old_host = self.hosts.get(device.port_id)
        device = msgspec.structs.replace(device, revision=self.position + 1)
        self.devices[device.port_id], self.hosts[device.port_id] = device, host
        hosts = {host, old_host} - {None}
        self.changed(
            scope_names.port(device.port_id),
            *([scope_names.port(device.parent_id)] if device.parent_id else []),
            scope_names.network(device.network_id),
            *(scope_names.host(one) for one in hosts if one),
            *(scope_names.security_group(group) for group in device.security_group_ids),
        )

    def remove_device(self, port_id: str) -> None:
        device = self.devices.pop(port_id)
        host = self.hosts.pop(port_id)
        self.changed(
            scope_names.port(port_id),
            scope_names.host(host),
            scope_names.network(device.network_id),
            *(scope_names.security_group(group) for group in device.security_group_ids),
        )

    def put_network(self, network: NetworkDetails) -> None:
        self.networks[network.network_id] = network
        self.changed(scope_names.network(network.network_id))

    def put_group(self, group: SecurityGroupDetails) -> None:
        self.groups[group.security_group_id] = group
        self.changed(scope_names.security_group(group.security_group_id))

    def _switch_state(self, request: SwitchStateRequest) -> SwitchState:
        here = {key: d for key, d in self.devices.items() if self.hosts[key] == request.host}
        members: dict[str, list[str]] = {group: [] for group in self.groups}
        for device in self.devices.values():
            for group in device.security_group_ids:
                members.setdefault(group, []).extend(ip.ip_address for ip in device.fixed_ips)

        def wanted(asked: tuple[str, ...] | None, key: str | None) -> bool:
            return asked is None or key in asked

        return SwitchState(
            position=self.position,
            devices=tuple(
                d
                for key, d in here.items()
                if wanted(request.devices, key) or wanted(request.devices, d.parent_id)
            ),
            networks=tuple(
                self._with_forwarding(network, request.host)
                for key, network in self.networks.items()
                if wanted(request.networks, key)
            ),
            security_groups=tuple(
                msgspec.structs.replace(group, member_ips=tuple(sorted(members[key])))
                for key, group in self.groups.items()
                if wanted(request.security_groups, key)
            ),
            tunnels=tuple(self.tunnels),
        )

    def _with_forwarding(self, network: NetworkDetails, host: str) -> NetworkDetails:
        endpoints = {endpoint.host: endpoint.tunneling_ip for endpoint in self.tunnels}
        entries = tuple(
            ForwardingEntry(
                d.mac_address,
                tuple(ip.ip_address for ip in d.fixed_ips),
                self.hosts[d.port_id],
                endpoints[self.hosts[d.port_id]],
            )
            for d in self.devices.values()
            if d.network_id == network.network_id
            and self.hosts[d.port_id] != host
            and self.hosts[d.port_id] in endpoints
        )
        return msgspec.structs.replace(network, forwarding=entries)

    def _dhcp_leases(self, report: LeaseReport) -> Acknowledged:
        self.leases += [(change.kind, change.ip_address) for change in report.changes]
        return Acknowledged(self.position)

    def _device_status(self, status: DeviceStatus) -> Acknowledged:
        self.statuses.append(status)
        self.taps |= status.taps
        for port_ids, word in ((status.up, "ACTIVE"), (status.down, "DOWN")):
            for port_id in port_ids:
                device = self.devices.get(port_id)
                if device is not None and self.hosts[port_id] == status.host and device.status != word:
                    self.put_device(msgspec.structs.replace(device, status=word), status.host)
        return Acknowledged(self.position)
