"""A server in this process: what an agent needs of the bus, over a handful of dictionaries.

Its wake-ups can be dropped, doubled and reordered, and it can be away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pileus.core.errors import Unavailable
from pileus.wire import scopes as scope_names
from pileus.wire.agents import AgentReply, AgentReport, Wakeup
from pileus.wire.calls import Call
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


class FakeServer:
    """``hosts`` says where ports are bound; ``chance`` of a wake-up to be lost or doubled."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.position = 1
        self.devices: dict[str, DeviceDetails] = {}
        self.hosts: dict[str, str] = {}
        self.networks: dict[str, NetworkDetails] = {}
        self.groups: dict[str, SecurityGroupDetails] = {}
        self.tunnels: list[TunnelEndpoint] = []
        self.away = False
        self.deaf = False
        self.reports: list[AgentReport] = []
        self.statuses: list[DeviceStatus] = []
        self.calls: list[str] = []
        self.newest: dict[str, int] = {}
        self.heartbeat_interval_s = 30.0
        self.admin_state_up = True
        self._chance = chance
        self._listeners: list[tuple[frozenset[str], asyncio.Queue[Wakeup]]] = []

    # -- what tests change

    def changed(self, *scopes: str) -> None:
        """An event: tell whoever listens, as well as the mood allows."""
        self.position += 1
        for scope in scopes:
            self.newest[scope] = self.position
        if self.deaf:
            return
        for wanted, queue in self._listeners:
            if heard := tuple(sorted(wanted & set(scopes))):
                for _ in range(self._chance.choice((0, 1, 1, 2)) if self._chance else 1):
                    queue.put_nowait(Wakeup(self.position, heard))

    def put_device(self, device: DeviceDetails, host: str) -> None:
        old_host = self.hosts.get(device.port_id)
        device = msgspec.structs.replace(device, revision=self.position + 1)
        self.devices[device.port_id], self.hosts[device.port_id] = device, host
        hosts = {host, old_host} - {None}
        self.changed(
            scope_names.port(device.port_id),
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

    # -- what agents ask

    async def call(self, call: Call[Any, Any], request: Any) -> Any:
        if self.away:
            raise Unavailable("the server is away")
        self.calls.append(call.name)
        msgspec.msgpack.encode(request)  # it can cross the line; the ids of these scenes are for people
        await asyncio.sleep(0)
        reply = getattr(self, f"_{call.name}")(request)
        msgspec.msgpack.encode(reply)
        return reply

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        if self.away:
            raise Unavailable("the server is away")
        entry = (frozenset(scopes), asyncio.Queue[Wakeup]())
        self._listeners.append(entry)
        try:
            yield Wakeup(max((self.newest.get(scope, 0) for scope in scopes), default=0))
            while True:
                wakeup = await entry[1].get()
                if self._chance and self._chance.random() < 0.2 and not entry[1].empty():
                    entry[1].put_nowait(wakeup)
                    continue
                yield wakeup
        finally:
            self._listeners.remove(entry)

    def _agent_report(self, report: AgentReport) -> AgentReply:
        self.reports.append(report)
        scopes = {scope_names.host(report.host), *report.scopes}
        newest = max((self.newest.get(scope, 0) for scope in scopes), default=0)
        return AgentReply("agent", self.admin_state_up, newest, self.heartbeat_interval_s)

    def _switch_state(self, request: SwitchStateRequest) -> SwitchState:
        here = {key: d for key, d in self.devices.items() if self.hosts[key] == request.host}
        members: dict[str, list[str]] = {group: [] for group in self.groups}
        for device in self.devices.values():
            for group in device.security_group_ids:
                members.setdefault(group, []).extend(ip.ip_address for ip in device.fixed_ips)

        def wanted(asked: tuple[str, ...] | None, key: str) -> bool:
            return asked is None or key in asked

        return SwitchState(
            position=self.position,
            devices=tuple(d for key, d in here.items() if wanted(request.devices, key)),
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

    def _device_status(self, status: DeviceStatus) -> Acknowledged:
        self.statuses.append(status)
        for port_ids, word in ((status.up, "ACTIVE"), (status.down, "DOWN")):
            for port_id in port_ids:
                device = self.devices.get(port_id)
                if device is not None and self.hosts[port_id] == status.host and device.status != word:
                    self.put_device(msgspec.structs.replace(device, status=word), status.host)
        return Acknowledged(self.position)
