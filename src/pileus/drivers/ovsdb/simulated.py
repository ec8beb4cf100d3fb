"""A simulated switch: an OVSDB server that also plays ovs-vswitchd's part.

It keeps state as Open vSwitch does (rows, port numbers, flows, meters) and forwards no
packets. After each commit of a client it does what vswitchd would: creates and removes
bridges, numbers ports (asked-for numbers are honoured, others are not used again soon),
reports ``link_state``, ``mac_in_use`` and, for a system interface whose device is not
there, ``error``; then sets ``cur_cfg``. With a state file all of it outlives the process.

Flows live here as text, by bridge, because they die with their bridge and with vswitchd;
``openflow.simulated`` reads and writes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.engine import Database, Touched
from pileus.drivers.ovsdb.jsonrpc import Streams
from pileus.drivers.ovsdb.rows import Row, Schema
from pileus.drivers.ovsdb.schema import switch_schema
from pileus.drivers.ovsdb.server import Server

LOCAL_PORT = 65534
_TUNNELS = ("vxlan", "gre", "geneve", "erspan", "lisp", "stt", "gtpu", "bareudp")
_TYPES = frozenset(("", "system", "internal", "patch", "tap", "dummy", *_TUNNELS))
_WATCHED = frozenset(("Open_vSwitch", "Bridge", "Port", "Interface"))
_SAVE_AFTER_S = 0.2


class SwitchState(msgspec.Struct):
    """The content of the state file."""

    rows: dict[str, dict[str, dict[str, Any]]]
    flows: dict[str, list[str]]
    meters: dict[str, dict[int, Any]]


class SimulatedSwitch:
    """One host's switch. ``devices``: names of the system interfaces that exist (None: all do)."""

    def __init__(self, state_file: Path | None = None, *, devices: set[str] | None = None) -> None:
        declaration = switch_schema()
        self.database = Database(Schema.parse(declaration))
        self.flows: dict[str, dict[Any, Any]] = {}
        """Bridge to flows, each under what identifies it; as text they are ovs-ofctl's words."""
        self.meters: dict[str, dict[int, Any]] = {}
        """Bridge to meters by their number, as JSON can hold them."""
        self.monitors: dict[str, list[tuple[object, asyncio.Queue[frozenset[int] | None]]]] = {}
        """By bridge, those who hear of flows that others change: who they are, and where."""
        self.incarnation = 1
        """Counts the starts of vswitchd."""
        self.gone = asyncio.Event()
        """Set when vswitchd dies, and put anew when it starts."""
        self.devices = devices
        self.running = True
        """Whether vswitchd runs; while not, nothing is taken in."""
        self._file = state_file
        self._server = Server(self.database, declaration)
        self._indexes = defaultdict[str, int](itertools.count(3).__next__)
        self._numbers: dict[str, dict[str, int]] = {}
        self._next_number: dict[str, int] = {}
        self._pending: set[str] | None = None
        self._save_timer: asyncio.TimerHandle | None = None
        if state_file is None or not self._load(state_file):
            self._initialise()
        self.database.listeners.append(self._committed)
        self._reconfigure(set(self.database.tables["Interface"]))

    async def listen(self, path: Path) -> None:
        """Serve OVSDB on a Unix socket."""
        await self._server.listen(path)

    async def connect(self) -> Streams:
        """A connection within this process; give it to OvsdbClient in the place of an address."""
        return await self._server.connect()

    def client(self, **options: Any) -> OvsdbClient:
        """A client within this process, not yet connected."""
        return OvsdbClient(self.connect, **options)

    def disconnect(self) -> None:
        """Drop the connections, as a restart of ovsdb-server does."""
        self._server.disconnect()

    async def close(self) -> None:
        """Stop serving; the state file is written."""
        await self._server.close()
        if self._save_timer is not None:
            self._save_timer.cancel()
        self.save()

    def add_device(self, name: str) -> None:
        """A system interface appears on the host."""
        if self.devices is not None:
            self.devices.add(name)
        self._indexes.pop(name, None)  # one that comes again is another one
        self._device_changed(name)

    def remove_device(self, name: str) -> None:
        """A system interface disappears from the host; from now on only named ones exist."""
        if self.devices is None:
            self.devices = {
                row["name"] for row in self.database.tables["Interface"].values() if row["type"] == ""
            }
        self.devices.discard(name)
        self._device_changed(name)

    def stop_vswitchd(self) -> None:
        """vswitchd dies: its flows and meters are gone, changes are not taken in."""
        self.running = False
        self.gone.set()
        for bridge in self.flows:
            self.flows[bridge] = {}
            self.meters[bridge] = {}

    def start_vswitchd(self) -> None:
        """vswitchd comes back and takes in what is in the database."""
        self.running = True
        self.incarnation += 1
        self.gone = asyncio.Event()
        for bridge in self.database.tables["Bridge"].values():
            self._default_flow(bridge)
        self._reconfigure(set(self.database.tables["Interface"]))

    def flows_changed(self) -> None:
        """The flows were written to: the state file is out of date."""
        self._save_later()

    def save(self) -> None:
        """Write the state file, if there is one, whole or not at all."""
        if self._file is None:
            return
        columns = {name: table.columns for name, table in self.database.schema.tables.items()}
        state = SwitchState(
            rows={
                table: {
                    uuid: {
                        c: columns[table][c].encode(value)
                        for c, value in row.items()
                        if value != columns[table][c].default()
                    }
                    for uuid, row in rows.items()
                }
                for table, rows in self.database.tables.items()
                if rows
            },
            flows={bridge: [str(flow) for flow in flows.values()] for bridge, flows in self.flows.items()},
            meters=self.meters,
        )
        beside = self._file.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(state))
        beside.replace(self._file)

    def _load(self, file: Path) -> bool:
        if not file.exists():
            return False
        state = msgspec.json.decode(file.read_bytes(), type=SwitchState)
        inserts = [
            {"op": "insert", "table": table, "uuid": uuid, "row": row}
            for table, rows in state.rows.items()
            for uuid, row in rows.items()
        ]
        self.database.transact(inserts)
        # Flows are keyed by their text until somebody who can read them puts them under a better key.
        self.flows = {bridge: {text: text for text in texts} for bridge, texts in state.flows.items()}
        self.meters = state.meters
        for name, bridge in ((row["name"], row) for row in self.database.tables["Bridge"].values()):
            numbers = {
                interface: self.database.tables["Interface"][interface]["ofport"]
                for port in bridge["ports"]
                for interface in self.database.tables["Port"][port]["interfaces"]
            }
            self._numbers[name] = {interface: n for interface, n in numbers.items() if n and n > 0}
            self._next_number[name] = 1 + max(
                (n for n in numbers.values() if n and n < LOCAL_PORT), default=0
            )
        return True

    def _initialise(self) -> None:
        row = {
            "ovs_version": "3.1.0",
            "db_version": self.database.schema.version,
            "system_type": "simulated",
            "datapath_types": ["set", ["netdev", "system"]],
            "iface_types": ["set", sorted(_TYPES - {""})],
        }
        self.database.transact([{"op": "insert", "table": "Open_vSwitch", "row": row}])

    def _committed(self, touched: Touched) -> None:
        self._save_later()
        interfaces = {uuid for table, uuid in touched if table == "Interface"}
        if not any(table in _WATCHED for table, _ in touched):
            return
        if self._pending is not None:
            self._pending |= interfaces
            return
        self._pending = interfaces
        loop = _running_loop()
        if loop is None:
            self._take_in()
        else:
            loop.call_soon(self._take_in)

    def _take_in(self) -> None:
        interfaces, self._pending = self._pending or set(), None
        self._reconfigure(interfaces)

    def _device_changed(self, name: str) -> None:
        row = self.database.find("Interface", name=name)
        if row is not None:
            self._reconfigure({row.uuid})

    def _reconfigure(self, interfaces: set[str]) -> None:
        """vswitchd's reaction: bridges and ports first, then these interfaces, then ``cur_cfg``."""
        if not self.running:
            return
        tables = self.database.tables
        present = {row["name"]: row for row in tables["Bridge"].values()}
        for name in self._numbers.keys() - present.keys():
            for forgotten in (self._numbers, self._next_number, self.flows, self.meters):
                forgotten.pop(name, None)
        operations: list[dict[str, Any]] = []
        for name, bridge in present.items():
            if name not in self._numbers:
                self._numbers[name] = {}
                self._next_number[name] = 1
            if name not in self.flows:
                self.flows[name] = {}
                self.meters[name] = {}
                self._default_flow(bridge)
            if bridge["datapath_id"] is None:
                identity = {"datapath_id": hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}
                operations.append(_update("Bridge", bridge.uuid, identity))
            operations += self._reconfigure_bridge(name, bridge, interfaces)
        for switch in tables["Open_vSwitch"].values():
            if switch["cur_cfg"] != switch["next_cfg"]:
                operations.append(_update("Open_vSwitch", switch.uuid, {"cur_cfg": switch["next_cfg"]}))
        if operations:
            self.database.transact(operations)

    def _reconfigure_bridge(self, name: str, bridge: Row, interfaces: set[str]) -> list[dict[str, Any]]:
        tables, numbers = self.database.tables, self._numbers[name]
        wanted = {interface for port in bridge["ports"] for interface in tables["Port"][port]["interfaces"]}
        for interface in numbers.keys() - wanted:
            del numbers[interface]
        taken = set(numbers.values())
        operations = []
        for interface in sorted(wanted & interfaces | wanted - numbers.keys()):
            row = tables["Interface"][interface]
            observed = self._observe(name, interface, row, taken)
            changes = {column: value for column, value in observed.items() if row[column] != value}
            if changes:
                encoded = {
                    column: ["set", []] if value is None else value for column, value in changes.items()
                }
                operations.append(_update("Interface", interface, encoded))
        return operations

    def _observe(self, bridge: str, interface: str, row: Row, taken: set[int]) -> dict[str, Any]:
        """Make the columns that vswitchd reports of an interface."""
        absent = (
            row["type"] in ("", "system") and self.devices is not None and row["name"] not in self.devices
        )
        if absent and interface in self._numbers[bridge]:
            # One that is lost later keeps its number: the userspace datapath waits for it to come back.
            lost = {"link_state": "down", "admin_state": "down", "mac_in_use": None, "ifindex": None}
            return {"ofport": self._numbers[bridge][interface], "error": None} | lost
        if row["name"] != bridge and (absent or row["type"] not in _TYPES):
            problem = (
                f"could not open network device {row['name']} (No such device)"
                if absent
                else f"{row['name']}: could not create an interface of unknown type {row['type']}"
            )
            taken.discard(self._numbers[bridge].pop(interface, 0))
            return {
                "ofport": -1,
                "error": problem,
                "link_state": None,
                "admin_state": None,
                "mac_in_use": None,
            }
        mac = hashlib.blake2s(f"{bridge} {row['name']}".encode(), digest_size=5).hexdigest()
        return {
            "ofport": self._number(bridge, interface, row, taken),
            "error": None,
            "link_state": "up",
            "admin_state": "up",
            "ifindex": 0 if row["type"] in _TUNNELS else self._indexes[row["name"]],
            "mac_in_use": ":".join(["0a", *(mac[i : i + 2] for i in range(0, 10, 2))]),
        }

    def _number(self, bridge: str, interface: str, row: Row, taken: set[int]) -> int:
        numbers = self._numbers[bridge]
        wanted = row["ofport_request"]
        present = numbers.get(interface)
        if row["name"] == bridge:
            number = LOCAL_PORT
        elif wanted is not None and (wanted == present or wanted not in taken):
            number = wanted
        elif present is not None:
            number = present
        else:
            kept = row["ofport"]  # a restarted vswitchd tries the number in the database first
            number = kept if kept and kept > 0 and kept not in taken else self._next_number[bridge]
            while number in taken:
                number += 1
            self._next_number[bridge] = max(self._next_number[bridge], number + 1)
        if present is not None:
            taken.discard(present)
        numbers[interface] = number
        taken.add(number)
        return int(number)

    def _default_flow(self, bridge: Row) -> None:
        """A bridge without fail_mode=secure begins as a learning switch."""
        if bridge["fail_mode"] != "secure":
            self.flows[bridge["name"]] = {"": "table=0,priority=0,actions=NORMAL"}

    def _save_later(self) -> None:
        if self._file is None or self._save_timer is not None:
            return
        loop = _running_loop()
        if loop is None:
            self.save()
        else:
            self._save_timer = loop.call_later(_SAVE_AFTER_S, self._save_now)

    def _save_now(self) -> None:
        self._save_timer = None
        self.save()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread. Where none does (between two runs of a loop, or before the first),
    the switch acts at once: what it put off would never be done."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _update(table: str, uuid: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]], "row": row}
