"""One transaction for many bridges and ports, made of verbs that can be repeated.

The verbs say how things shall be; what is sent is computed in ``operations`` against the
client's replica: nothing where nothing differs. Maps (``external_ids``, ``other_config``,
``options``) are changed key by key, so that other people's keys stay (a key whose value is
None is removed); other columns are replaced. A Port or Interface row that nothing refers to
any more is collected by the server, so deleting a port is taking it out of its bridge.

    edit = Edit(client)
    edit.ensure_bridge("br-int", datapath_type="netdev", fail_mode="secure")
    edit.ensure_port("br-int", "tap1", tag=5, interface={"external_ids": {"iface-id": port_id}})
    await edit.commit(wait_s=5)          # vswitchd has acted; ofport and error are in the replica

``cur_cfg >= next_cfg`` says that vswitchd has taken the change in (ovs-vswitchd.conf.db(5)).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.rows import Named, Row, Shape


class UnknownRow(Exception):
    """A verb names a bridge, port or interface that is neither there nor made by this edit."""


class _Draft:
    """A row as it shall be, beside what it is (None: to be inserted)."""

    def __init__(self, uuid: str, original: Row | None, values: Mapping[str, Any]) -> None:
        self.uuid = uuid
        self.original = original
        self.values = dict(values)


class Edit:
    """One transaction being put together. It is used once; after a failure make another one."""

    def __init__(self, client: OvsdbClient) -> None:
        self._client = client
        self._schema = client.schema.tables
        self._drafts: dict[str, dict[str, _Draft]] = {}
        self._deleted: defaultdict[str, set[str]] = defaultdict(set)
        self._numbers = itertools.count(1)
        self._port_bridges: dict[str, str] | None = None

    def ensure_bridge(self, name: str, **columns: Any) -> None:
        """A bridge with its port and interface of the same name, and columns of the Bridge table."""
        if self._find("Bridge", name) is None:
            bridge = self._insert("Bridge", name)
            self._switch().values["bridges"] |= {bridge.uuid}
            self._add_port(bridge, name, {"type": "internal"})
        self.set_bridge(name, columns)

    def delete_bridge(self, name: str) -> None:
        """No such bridge, nor any of its ports."""
        bridge = self._find("Bridge", name)
        if bridge is None:
            return
        for port_uuid in bridge.values["ports"]:
            self._forget_port(port_uuid)
        self._switch().values["bridges"] -= {bridge.uuid}
        del self._drafts["Bridge"][name]
        self._deleted["Bridge"].add(name)

    def ensure_port(
        self, bridge: str, name: str, *, interface: Mapping[str, Any] | None = None, **columns: Any
    ) -> None:
        """A port with one interface of the same name on a bridge (moved there if on another).

        ``interface`` and ``columns`` are columns of the two tables. A tunnel is moved in two commits:
        vswitchd refuses the new place ("File exists") while it still clears the old one.
        """
        owner = self._bridge(bridge)
        port = self._find("Port", name)
        if port is None:
            self._add_port(owner, name, interface or {})
        else:
            if (present := self._bridge_of(port.uuid)) != bridge:
                if present is not None:
                    self._bridge(present).values["ports"] -= {port.uuid}
                owner.values["ports"] |= {port.uuid}
                self._owners()[port.uuid] = bridge
            if interface:
                self.set_interface(name, interface)
        self.set_port(name, columns)

    def ensure_bond(self, bridge: str, name: str, members: Iterable[str], **columns: Any) -> None:
        """A port with these interfaces, in the place of those that it has, on a bridge where it stays: a bond
        is moved by deleting it in one commit and making it in the next."""
        if self._find("Port", name) is None:
            first, *_ = names = list(members)
            self._add_port(self._bridge(bridge), name, {}, first)
        else:
            names = list(members)
        port = self._known("Port", name)
        present = {self._interface_name(uuid): uuid for uuid in port.values["interfaces"]}
        for member in names:
            if member not in present:
                present[member] = self._insert("Interface", member).uuid
        port.values["interfaces"] = frozenset(present[member] for member in names)
        self.set_port(name, columns)

    def delete_port(self, name: str) -> None:
        """No such port, on whatever bridge it is."""
        port = self._find("Port", name)
        if port is None:
            return
        if (bridge := self._bridge_of(port.uuid)) is not None:
            self._bridge(bridge).values["ports"] -= {port.uuid}
        self._forget_port(port.uuid)

    def set_bridge(self, name: str, columns: Mapping[str, Any]) -> None:
        """Columns of an existing bridge; raises UnknownRow."""
        self._set("Bridge", self._bridge(name), columns)

    def set_port(self, name: str, columns: Mapping[str, Any]) -> None:
        """Columns of an existing port; raises UnknownRow."""
        self._set("Port", self._known("Port", name), columns)

    def set_interface(self, name: str, columns: Mapping[str, Any]) -> None:
        """Columns of an existing interface; raises UnknownRow."""
        self._set("Interface", self._known("Interface", name), columns)

    def set_switch(self, columns: Mapping[str, Any]) -> None:
        """Columns of the one row of Open_vSwitch, for example ``external_ids``."""
        self._set("Open_vSwitch", self._switch(), columns)

    def set_controllers(self, bridge: str, targets: Iterable[str]) -> None:
        """Exactly these OpenFlow controllers (``tcp:127.0.0.1:6653``) for a bridge."""
        row = self._bridge(bridge)
        rows = self._client.tables.get("Controller", {})
        present = {rows[uuid]["target"]: uuid for uuid in row.values["controller"] if uuid in rows}
        wanted = set()
        for target in targets:
            if target in present:
                wanted.add(present[target])
            else:
                draft = self._insert("Controller", f"{bridge} {target}")
                draft.values["target"] = target
                wanted.add(draft.uuid)
        row.values["controller"] = frozenset(wanted)

    def operations(self) -> list[dict[str, Any]]:
        """The transaction's operations (RFC 7047, 5.2) without the bump of ``next_cfg``; empty if
        nothing differs."""
        operations = []
        for table, drafts in self._drafts.items():
            for draft in drafts.values():
                operations += (
                    [self._insertion(table, draft)] if draft.original is None else self._changes(table, draft)
                )
        return operations

    async def commit(self, *, wait_s: float | None = None, timeout_s: float = 30.0) -> bool:
        """Send what differs; whether there was anything.

        Returns when the replica shows it, and with ``wait_s`` when vswitchd has taken it in;
        raises TimeoutError when that takes longer, TransactionFailed, ConnectionLost.
        """
        client = self._client
        operations = self.operations()
        if not operations:
            return False
        switch = next(iter(client.tables["Open_vSwitch"]))
        where = [["_uuid", "==", ["uuid", switch]]]
        results = await client.transact(
            [
                *operations,
                {
                    "op": "mutate",
                    "table": "Open_vSwitch",
                    "where": where,
                    "mutations": [["next_cfg", "+=", 1]],
                },
                {"op": "select", "table": "Open_vSwitch", "where": where, "columns": ["next_cfg"]},
            ],
            timeout_s,
        )
        wanted = results[-1]["rows"][0]["next_cfg"]
        await client.wait_until(lambda: self._reached("next_cfg", wanted), timeout_s)
        if wait_s is not None:
            await client.wait_until(lambda: self._reached("cur_cfg", wanted), wait_s)
        return True

    def _reached(self, column: str, wanted: int) -> bool:
        return any(row[column] >= wanted for row in self._client.tables["Open_vSwitch"].values())

    def _switch(self) -> _Draft:
        drafts = self._drafts.setdefault("Open_vSwitch", {})
        if not drafts:
            for uuid, row in self._client.tables["Open_vSwitch"].items():
                drafts[""] = _Draft(uuid, row, row)
        if not drafts:
            raise UnknownRow("the database has no Open_vSwitch row; it was never initialised")
        return drafts[""]

    def _find(self, table: str, name: str) -> _Draft | None:
        drafts = self._drafts.setdefault(table, {})
        if name in drafts:
            return drafts[name]
        row = self._client.by_name(table).get(name)
        if row is None or name in self._deleted[table]:
            return None
        draft = drafts[name] = _Draft(row.uuid, row, row)
        return draft

    def _known(self, table: str, name: str) -> _Draft:
        draft = self._find(table, name)
        if draft is None:
            raise UnknownRow(f"{table} {name}")
        return draft

    def _bridge(self, name: str) -> _Draft:
        return self._known("Bridge", name)

    def _insert(self, table: str, name: str) -> _Draft:
        columns = self._schema[table].columns
        draft = _Draft(
            Named(f"new{next(self._numbers)}"), None, {c: column.default() for c, column in columns.items()}
        )
        if "name" in columns:
            draft.values["name"] = name
        self._drafts.setdefault(table, {})[name] = draft
        return draft

    def _interface_name(self, uuid: str) -> str:
        row = self._client.tables["Interface"].get(uuid)
        if row is not None:
            return str(row["name"])
        return next(name for name, draft in self._drafts["Interface"].items() if draft.uuid == uuid)

    def _add_port(
        self, bridge: _Draft, name: str, interface: Mapping[str, Any], interface_name: str = ""
    ) -> None:
        row = self._insert("Interface", interface_name or name)
        self._set("Interface", row, interface)
        port = self._insert("Port", name)
        port.values["interfaces"] = frozenset((row.uuid,))
        bridge.values["ports"] |= {port.uuid}
        self._owners()[port.uuid] = bridge.values["name"]

    def _forget_port(self, uuid: str) -> None:
        """A port that left its bridge: the server collects it with its interfaces."""
        row = self._client.tables["Port"].get(uuid)
        if row is None:  # inserted by this edit
            name = next(name for name, draft in self._drafts["Port"].items() if draft.uuid == uuid)
            for interface in self._drafts["Port"].pop(name).values["interfaces"]:
                del self._drafts["Interface"][self._interface_name(interface)]
        else:
            self._drafts.setdefault("Port", {}).pop(row["name"], None)
            self._deleted["Port"].add(row["name"])
            for interface in row["interfaces"]:
                name = self._client.tables["Interface"][interface]["name"]
                self._drafts.setdefault("Interface", {}).pop(name, None)
                self._deleted["Interface"].add(name)
        self._owners().pop(uuid, None)

    def _owners(self) -> dict[str, str]:
        if self._port_bridges is None:
            self._port_bridges = {
                port: bridge["name"]
                for bridge in self._client.tables["Bridge"].values()
                for port in bridge["ports"]
            }
        return self._port_bridges

    def _bridge_of(self, port_uuid: str) -> str | None:
        return self._owners().get(port_uuid)

    def _set(self, table: str, draft: _Draft, columns: Mapping[str, Any]) -> None:
        for name, value in columns.items():
            if name not in draft.values:
                raise ValueError(f"column {name} of {table} is not among those that the client monitors")
            declared = self._schema[table].columns[name]
            if declared.shape is Shape.MAP:
                merged = dict(draft.values[name])
                for key, one in value.items():
                    if one is None:
                        merged.pop(key, None)
                    else:
                        merged[key] = str(one)
                draft.values[name] = merged
            elif declared.shape is Shape.SET:
                draft.values[name] = frozenset(value)
            else:
                draft.values[name] = value

    def _insertion(self, table: str, draft: _Draft) -> dict[str, Any]:
        columns = self._schema[table].columns
        row = {
            name: columns[name].encode(value)
            for name, value in draft.values.items()
            if value != columns[name].default()
        }
        return {"op": "insert", "table": table, "uuid-name": str(draft.uuid), "row": row}

    def _changes(self, table: str, draft: _Draft) -> list[dict[str, Any]]:
        assert draft.original is not None
        update: dict[str, Any] = {}
        mutations: list[list[Any]] = []
        for name, new in draft.values.items():
            old = draft.original[name]
            if old == new:
                continue
            column = self._schema[table].columns[name]
            if column.shape is Shape.MAP:
                if removed := sorted(key for key in old if new.get(key) != old[key]):
                    mutations.append([name, "delete", ["set", removed]])
                if added := {key: value for key, value in new.items() if old.get(key) != value}:
                    mutations.append([name, "insert", column.encode(added)])
            elif column.shape is Shape.SET and column.key_table is not None:
                if old - new:
                    mutations.append([name, "delete", column.encode(old - new)])
                if new - old:
                    mutations.append([name, "insert", column.encode(new - old)])
            else:
                update[name] = column.encode(new)
        where = [["_uuid", "==", ["uuid", draft.uuid]]]
        operations: list[dict[str, Any]] = []
        if update:
            operations.append({"op": "update", "table": table, "where": where, "row": update})
        if mutations:
            operations.append({"op": "mutate", "table": table, "where": where, "mutations": mutations})
        return operations
