"""The switch as plain values: bridges, ports and interfaces of the OVSDB replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.drivers.ovsdb.client import OvsdbClient


class InterfaceView(msgspec.Struct, frozen=True):
    """``ofport`` is None until vswitchd has taken the interface in, and negative when it could not."""

    name: str
    type: str = ""
    options: dict[str, str] = {}
    external_ids: dict[str, str] = {}
    ofport: int | None = None
    rate_kbps: int = 0
    burst_kb: int = 0
    error: str | None = None
    tx_steering: str | None = None


class PortView(msgspec.Struct, frozen=True):
    """A port with its (first) interface, and the bridge it is on."""

    name: str
    bridge: str
    interface: InterfaceView
    tag: int | None = None
    external_ids: dict[str, str] = {}


class BridgeView(msgspec.Struct, frozen=True):
    name: str
    datapath_type: str = ""
    fail_mode: str | None = None
    external_ids: dict[str, str] = {}


class SwitchView(msgspec.Struct, frozen=True):
    """All bridges and ports by name."""

    bridges: dict[str, BridgeView] = {}
    ports: dict[str, PortView] = {}
    vlan_limit: str | None = None
    """How many tags the switch looks behind, as its database says."""

    def ofport(self, port_name: str) -> int | None:
        """The OpenFlow number of a port that is there and works."""
        port = self.ports.get(port_name)
        number = port.interface.ofport if port else None
        return number if number is not None and number > 0 else None


def switch_view(client: OvsdbClient) -> SwitchView:
    """The replica's contents at this moment."""
    interfaces = client.tables.get("Interface", {})
    ports = client.tables.get("Port", {})
    found: dict[str, PortView] = {}
    bridges: dict[str, BridgeView] = {}
    for bridge in client.tables.get("Bridge", {}).values():
        name = bridge["name"]
        bridges[name] = BridgeView(name, bridge["datapath_type"], bridge["fail_mode"], bridge["external_ids"])
        for port_uuid in bridge["ports"]:
            port = ports.get(port_uuid)
            rows = [interfaces[uuid] for uuid in port["interfaces"] if uuid in interfaces] if port else []
            if port is None or not rows:
                continue
            found[port["name"]] = PortView(
                name=port["name"],
                bridge=name,
                interface=_interface(min(rows, key=lambda row: str(row["name"]))),
                tag=port["tag"],
                external_ids=port["external_ids"],
            )
    limits = (row["other_config"].get("vlan-limit") for row in client.tables.get("Open_vSwitch", {}).values())
    return SwitchView(bridges, found, next(limits, None))


def _interface(row: Mapping[str, Any]) -> InterfaceView:
    return InterfaceView(
        name=row["name"],
        type=row["type"],
        options=row["options"],
        external_ids=row["external_ids"],
        ofport=row["ofport"],
        rate_kbps=row["ingress_policing_rate"],
        burst_kb=row["ingress_policing_burst"],
        error=row["error"],
        tx_steering=row["other_config"].get("tx-steering"),
    )
