"""A switch that is driven by OVSDB's hardware_vtep schema (vtep(5)).

A network is a Logical_Switch whose tunnel_key is its VNI, a port's VLAN is bound to it, and the addresses of
the cloud's ports are Ucast_Macs_Remote behind the tunnel endpoints of their nodes. What is for everybody goes
to all nodes that have the network: ``unknown-dst``, replicated by the switch (source_node). Our logical
switches are told by their name; others', and the VLANs that are bound to them, stay as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from pileus.drivers.ovsdb.client import OvsdbClient, TransactionFailed
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.drivers.ovsdb.rows import Row
from pileus.drivers.physical.switch import CarriedNetwork, Facts, SwitchFailed, Wanted

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Physical_Switch": ("name", "ports", "tunnel_ips"),
    "Physical_Port": ("name", "vlan_bindings"),
    "Logical_Switch": ("name", "tunnel_key", "replication_mode"),
    "Physical_Locator": ("dst_ip", "encapsulation_type"),
    "Physical_Locator_Set": ("locators",),
    "Ucast_Macs_Remote": ("MAC", "logical_switch", "locator"),
    "Ucast_Macs_Local": ("MAC", "logical_switch"),
    "Mcast_Macs_Remote": ("MAC", "logical_switch", "locator_set"),
}
DATABASE = "hardware_vtep"
_PREFIX = "pileus-"
_EVERYBODY = "unknown-dst"
_CONNECTS_WITHIN_S = 5.0
_VXLAN = "vxlan_over_ipv4"

Operation = dict[str, Any]


class VtepSwitch:
    """The switch ``name`` of the database at ``address`` (``tcp:HOST:PORT`` or ``unix:PATH``)."""

    kind = "vtep"

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._client = OvsdbClient(address, COLUMNS, database=DATABASE)
        self.changed = self._client.changed

    async def close(self) -> None:
        await self._client.close()

    async def facts(self) -> Facts:
        switch = await self._switch()
        addresses = sorted(switch["tunnel_ips"])
        return Facts(tuple(sorted(self._ports(switch))), addresses[0] if addresses else None)

    async def learned(self) -> dict[str, frozenset[str]]:
        await self._switch()
        ours = {row.uuid: network_id for network_id, row in self._ours().items()}
        found: dict[str, set[str]] = {}
        for row in self._rows("Ucast_Macs_Local"):
            if row["logical_switch"] in ours:
                found.setdefault(ours[row["logical_switch"]], set()).add(row["MAC"].lower())
        return {network_id: frozenset(macs) for network_id, macs in found.items()}

    async def bring(self, wanted: Wanted, *, whole: bool) -> int:
        """The database's replica tells what there is, so nothing is taken for granted anyway."""
        switch = await self._switch()
        ports = self._ports(switch)
        missing = sorted({one.port for one in wanted.attachments} - ports.keys())
        if missing:
            raise SwitchFailed(f"{self.name} has no port {', '.join(missing)}")
        operations = _Difference(self._client, self._ours(), ports).operations(wanted)
        if not operations:
            return 0
        try:
            await self._client.transact(operations)
        except (TransactionFailed, ConnectionLost, TimeoutError) as error:
            raise SwitchFailed(f"{self.name}: {error}") from error
        return len(operations)

    async def _switch(self) -> Row:
        try:
            await self._client.connect(_CONNECTS_WITHIN_S)
        except TimeoutError:
            raise SwitchFailed(f"no connection to the database of {self.name}") from None
        found = self._client.by_name("Physical_Switch").get(self.name)
        if found is None:
            raise SwitchFailed(f"the database has no switch {self.name}")
        return found

    def _ports(self, switch: Row) -> dict[str, Row]:
        rows = self._client.tables.get("Physical_Port", {})
        return {rows[uuid]["name"]: rows[uuid] for uuid in switch["ports"] if uuid in rows}

    def _rows(self, table: str) -> Iterator[Row]:
        yield from self._client.tables.get(table, {}).values()

    def _ours(self) -> dict[str, Row]:
        """Logical switches of ours by network."""
        return {
            row["name"].removeprefix(_PREFIX): row
            for row in self._rows("Logical_Switch")
            if row["name"].startswith(_PREFIX)
        }


class _Difference:
    """The operations that bring one switch from what its replica shows to what is wanted."""

    def __init__(self, client: OvsdbClient, ours: Mapping[str, Row], ports: Mapping[str, Row]) -> None:
        self._tables = client.tables
        self._ours = ours
        self._ports = ports
        self._numbers = itertools.count(1)
        self._switches: dict[str, list[str]] = {key: ["uuid", row.uuid] for key, row in ours.items()}
        self._locators = {
            row["dst_ip"]: ["uuid", row.uuid] for row in self._tables.get("Physical_Locator", {}).values()
        }
        self._found: list[Operation] = []

    def operations(self, wanted: Wanted) -> list[Operation]:
        for network in wanted.networks:
            self._network(network)
        self._attach(wanted)
        keys = {network.network_id: network for network in wanted.networks}
        for network in wanted.networks:
            self._ways(network)
            self._flood(network)
        for network_id, row in self._ours.items():
            if network_id not in keys:
                self._forget(row)
        return self._found

    def _insert(self, table: str, row: Mapping[str, Any]) -> list[str]:
        name = f"new{next(self._numbers)}"
        self._found.append({"op": "insert", "table": table, "row": dict(row), "uuid-name": name})
        return ["named-uuid", name]

    def _network(self, network: CarriedNetwork) -> None:
        columns = {"tunnel_key": network.number, "replication_mode": "source_node"}
        present = self._ours.get(network.network_id)
        if present is None:
            named = {"name": f"{_PREFIX}{network.network_id}", **columns}
            self._switches[network.network_id] = self._insert("Logical_Switch", named)
        elif any(present[key] != value for key, value in columns.items()):
            self._found.append(
                {
                    "op": "update",
                    "table": "Logical_Switch",
                    "where": [["_uuid", "==", ["uuid", present.uuid]]],
                    "row": columns,
                }
            )

    def _attach(self, wanted: Wanted) -> None:
        ours = {row.uuid for row in self._ours.values()}
        for name, port in self._ports.items():
            new = {one.vlan: self._switches[one.network_id] for one in wanted.attachments if one.port == name}
            old: dict[int, str] = port["vlan_bindings"]
            theirs = [vlan for vlan in new if vlan in old and old[vlan] not in ours]
            if theirs:
                raise SwitchFailed(
                    f"VLAN {theirs[0]} of port {name} is bound to a network of somebody else's"
                )
            stale = [vlan for vlan, uuid in old.items() if uuid in ours and new.get(vlan) != ["uuid", uuid]]
            fresh = [
                [vlan, switch] for vlan, switch in sorted(new.items()) if ["uuid", old.get(vlan)] != switch
            ]
            mutations = []
            if stale:
                mutations.append(["vlan_bindings", "delete", ["set", sorted(stale)]])
            if fresh:
                mutations.append(["vlan_bindings", "insert", ["map", fresh]])
            if mutations:
                where = [["_uuid", "==", ["uuid", port.uuid]]]
                self._found.append(
                    {"op": "mutate", "table": "Physical_Port", "where": where, "mutations": mutations}
                )

    def _locator(self, address: str) -> list[str]:
        if address not in self._locators:
            row = {"dst_ip": address, "encapsulation_type": _VXLAN}
            self._locators[address] = self._insert("Physical_Locator", row)
        return self._locators[address]

    def _ways(self, network: CarriedNetwork) -> None:
        switch = self._switches[network.network_id]
        present = self._entries("Ucast_Macs_Remote", network.network_id)
        for mac, row in present.items():
            if network.ways.get(mac) != self._endpoint(row["locator"]):
                self._delete("Ucast_Macs_Remote", row)
        for mac, address in sorted(network.ways.items()):
            found = present.get(mac)
            if found is None or self._endpoint(found["locator"]) != address:
                new = {"MAC": mac, "logical_switch": switch, "locator": self._locator(address), "ipaddr": ""}
                self._insert("Ucast_Macs_Remote", new)

    def _endpoint(self, locator: str) -> str | None:
        row = self._tables["Physical_Locator"].get(locator)
        return row["dst_ip"] if row is not None else None

    def _flood(self, network: CarriedNetwork) -> None:
        present = self._entries("Mcast_Macs_Remote", network.network_id).get(_EVERYBODY)
        if present is not None:
            found = self._tables["Physical_Locator_Set"].get(present["locator_set"])
            if found is not None and {*map(self._endpoint, found["locators"])} == {*network.floods}:
                return
            self._delete("Mcast_Macs_Remote", present)
        if network.floods:
            locators = ["set", [self._locator(address) for address in sorted(network.floods)]]
            everybody = {
                "MAC": _EVERYBODY,
                "logical_switch": self._switches[network.network_id],
                "locator_set": self._insert("Physical_Locator_Set", {"locators": locators}),
                "ipaddr": "",
            }
            self._insert("Mcast_Macs_Remote", everybody)

    def _entries(self, table: str, network_id: str) -> dict[str, Row]:
        ours = self._ours.get(network_id)
        return {
            row["MAC"].lower(): row
            for row in self._tables.get(table, {}).values()
            if ours is not None and row["logical_switch"] == ours.uuid
        }

    def _forget(self, logical: Row) -> None:
        for table in ("Ucast_Macs_Remote", "Mcast_Macs_Remote", "Ucast_Macs_Local", "Mcast_Macs_Local"):
            where = [["logical_switch", "==", ["uuid", logical.uuid]]]
            self._found.append({"op": "delete", "table": table, "where": where})
        self._delete("Logical_Switch", logical)

    def _delete(self, table: str, row: Row) -> None:
        where = [["_uuid", "==", ["uuid", row.uuid]]]
        self._found.append({"op": "delete", "table": table, "where": where})
