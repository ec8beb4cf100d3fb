"""INSERT that updates where the key exists: the same meaning in each database's own words."""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import Table
from sqlalchemy.sql.dml import Insert


@functools.cache
def upsert(dialect: str, table: Table, columns: tuple[str, ...]) -> Insert:
    """INSERT INTO ``table``; where its primary key exists already, set ``columns`` to the new values.

    Execute it with one mapping or a list of mappings. The row is locked either way.
    """
    statement: Any
    if dialect == "mysql":
        from sqlalchemy.dialects import mysql

        statement = mysql.insert(table)
        return statement.on_duplicate_key_update({name: statement.inserted[name] for name in columns})  # type: ignore[no-any-return]
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        statement = postgresql.insert(table)
    else:
        from sqlalchemy.dialects import sqlite

        statement = sqlite.insert(table)
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(table.primary_key.columns),
        set_={name: statement.excluded[name] for name in columns},
    )
