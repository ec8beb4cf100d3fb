"""MariaDB's tables get the collation that new ones have.

Earlier versions made them with utf8mb4_bin, which takes trailing blanks for nothing: ``member `` was
``member``. A column that a foreign key needs can't be converted, so the keys are taken away and put back.
MariaDB commits each of these statements by itself; what is to be put back is written down first, and an
interrupted conversion goes on with the next start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, inspect, select, text

from pileus.store import schema

_own = MetaData()


def _table(name: str) -> Table:
    return Table(
        name,
        _own,
        Column("table_name", String(64), primary_key=True),
        Column("key_name", String(64), primary_key=True),
        Column("clause", Text, nullable=False),
    )


_notes, _draft = _table("pileus_foreign_keys"), _table("pileus_foreign_keys_draft")
_OLD = text(
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
    "AND table_collation = 'utf8mb4_bin' AND table_name <> 'alembic_version' ORDER BY table_name"
)
_KEYS = text(
    "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, "
    "k.referenced_column_name, r.delete_rule, r.update_rule FROM information_schema.key_column_usage k "
    "JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema "
    "AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name "
    "WHERE k.constraint_schema = DATABASE() AND k.referenced_table_name IS NOT NULL "
    "ORDER BY k.table_name, k.constraint_name, k.ordinal_position"
)


def convert(connection: Connection) -> None:
    """Convert what is still of the old collation; two statements where nothing is."""
    began = inspect(connection).has_table(_notes.name)
    tables = [row[0] for row in connection.execute(_OLD)]
    if not tables and not began:
        return
    if not began:
        _write_down(connection)
    notes = connection.execute(select(_notes)).all()
    for table, key, _ in notes:
        connection.execute(text(f"ALTER TABLE `{table}` DROP FOREIGN KEY IF EXISTS `{key}`"))
    for table in tables:
        connection.execute(
            text(f"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {schema.MARIADB_COLLATION}")
        )
    for table, _, clause in notes:
        connection.execute(text(f"ALTER TABLE `{table}` ADD {clause}"))
    _notes.drop(connection)


def _write_down(connection: Connection) -> None:
    """Keep the foreign keys as clauses; the notes get their name when they are complete."""
    _draft.drop(connection, checkfirst=True)
    _draft.create(connection)
    keys: dict[tuple[str, str], list[Any]] = {}
    for row in connection.execute(_KEYS):
        keys.setdefault((row[0], row[1]), []).append(row)
    if keys:
        connection.execute(
            _draft.insert(),
            [
                {"table_name": table, "key_name": key, "clause": _clause(key, rows)}
                for (table, key), rows in keys.items()
            ],
        )
    connection.execute(text(f"RENAME TABLE {_draft.name} TO {_notes.name}"))


def _clause(key: str, rows: list[Any]) -> str:
    def names(several: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in several)

    first = rows[0]
    return (
        f"CONSTRAINT `{key}` FOREIGN KEY ({names(row[2] for row in rows)}) "
        f"REFERENCES `{first[3]}` ({names(row[4] for row in rows)}) "
        f"ON DELETE {first[5]} ON UPDATE {first[6]}"
    )
