"""Edits of rows applied to a view, as ovsdb-server and vswitchd would: for tests of the planner."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec

from pileus.host.l2.guest_tags import RaiseVlanLimit
from pileus.host.l2.rows import EnsureBridge, EnsurePort, RemoveBridge, RemovePort, RowEdit, SetPort
from pileus.host.l2.view import BridgeView, InterfaceView, PortView, SwitchView

_COLUMNS = {"ingress_policing_rate": "rate_kbps", "ingress_policing_burst": "burst_kb"}


def _patched(row: Any, columns: dict[str, Any]) -> Any:
    changes = {}
    for column, value in columns.items():
        if column == "other_config":
            changes["tx_steering"] = value.get("tx-steering")
            continue
        name = _COLUMNS.get(column, column)
        if isinstance(value, dict):
            merged = getattr(row, name) | value
            value = {key: one for key, one in merged.items() if one is not None}
        changes[name] = value
    return msgspec.structs.replace(row, **changes)


def apply_edits(view: SwitchView, edits: Iterable[RowEdit]) -> SwitchView:
    """The view after ``edits``; new ports get the next free OpenFlow number."""
    bridges, ports, limit = dict(view.bridges), dict(view.ports), view.vlan_limit
    used = {port.interface.ofport for port in ports.values()}
    numbers = (n for n in itertools.count(1) if n not in used)
    for edit in edits:
        match edit:
            case RaiseVlanLimit():
                limit = edit.columns["other_config"]["vlan-limit"]
            case EnsureBridge(name, columns):
                bridges[name] = _patched(bridges.get(name, BridgeView(name)), columns)
            case EnsurePort(bridge, name, interface):
                present = ports.get(name)
                row = present.interface if present else InterfaceView(name, ofport=next(numbers))
                ports[name] = PortView(
                    name, bridge, _patched(row, interface), external_ids={"pileus-owner": "l2"}
                )
            case SetPort(name, columns, interface):
                port = _patched(ports[name], columns)
                ports[name] = msgspec.structs.replace(port, interface=_patched(port.interface, interface))
            case RemovePort(name):
                del ports[name]
            case RemoveBridge(name):
                del bridges[name]
                ports = {key: port for key, port in ports.items() if port.bridge != name}
    return SwitchView(bridges, ports, limit)
