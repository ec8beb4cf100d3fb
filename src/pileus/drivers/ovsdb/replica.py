"""The monitored part of a database, kept in memory by the updates of the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pileus.drivers.ovsdb.rows import Column, Row, Schema

Tables = dict[str, dict[str, Row]]


class Replica:
    """Rows of chosen columns, by table and UUID, made and changed by <table-updates2>
    (ovsdb-server(7), 4.1.14)."""

    def __init__(self, schema: Schema, monitored: Mapping[str, Iterable[str]]) -> None:
        self._columns: dict[str, dict[str, Column]] = {
            table: {c: schema.tables[table].columns[c] for c in columns if c in schema.tables[table].columns}
            for table, columns in monitored.items()
            if table in schema.tables
        }
        self.tables: Tables = {table: {} for table in self._columns}

    def monitor_requests(self) -> dict[str, list[dict[str, list[str]]]]:
        """<monitor-cond-requests> for exactly these columns."""
        return {table: [{"columns": list(columns)}] for table, columns in self._columns.items()}

    def apply(self, updates: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> set[str]:
        """Take a <table-updates2> in; the names of the tables that changed."""
        for name, rows in updates.items():
            table, columns = self.tables[name], self._columns[name]
            for uuid, change in rows.items():
                if "modify" in change:
                    new = Row(uuid, table[uuid])
                    for column, wire in change["modify"].items():
                        declared = columns[column]
                        new[column] = declared.patched(new[column], declared.decode(wire))
                    table[uuid] = new
                elif "delete" in change:
                    table.pop(uuid, None)
                else:
                    wire_row = change.get("insert") or change.get("initial") or {}
                    table[uuid] = Row(
                        uuid,
                        {
                            name: column.decode(wire_row[name]) if name in wire_row else column.default()
                            for name, column in columns.items()
                        },
                    )
        return set(updates)
