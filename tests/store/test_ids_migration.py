"""The revision that makes ids of users and groups longer: what refers to them stays; it may run twice."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import DBAPIError
from tests import databases

from pileus.store import migrations
from pileus.store.migrations.lines import Revision

THIS = "0033_ids_of_directories"
LONG = "f" * 64


def insert(connection: Connection, table: str, **values: Any) -> None:
    there = MetaData()
    there.reflect(connection, only=[table], resolve_fks=False)
    connection.execute(there.tables[table].insert().values(values))


def ids(connection: Connection, table: str, column: str) -> list[str]:
    there = MetaData()
    there.reflect(connection, only=[table], resolve_fks=False)
    return sorted(row[0] for row in connection.execute(there.tables[table].select().with_only_columns(
        there.tables[table].c[column]
    )))  # fmt: skip


def user(connection: Connection, key: str) -> None:
    insert(
        connection, "users", id=key, name=key, domain_id="d", enabled=True, options="{}", origin="",
        tokens_after=dt.datetime(2026, 1, 1), failed_auth_count=0, password_self_service=False,
    )  # fmt: skip


def test_ids_grow_and_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    before = [
        one
        for one in migrations.known()
        if one.service == "store" or (one.service == "identity" and one.name < THIS)
    ]
    with databases.fresh(kind, tmp_path) as url:
        with migrations.locked(url) as connection:
            assert connection is not None
            migrations.begin(connection, ())
            migrations.run(connection, before)
        with migrations.locked(url) as connection:
            assert connection is not None
            insert(
                connection, "projects", id="d", name="d", owner="", is_domain=True, enabled=True,
                description="", options="{}",
            )  # fmt: skip
            user(connection, "u")
            insert(connection, "groups", id="g", name="g", domain_id="d", description="")
            insert(connection, "group_members", user_id="u", group_id="g")
            insert(connection, "access_rules", id="r", user_id="u", service="s", method="GET", path="/")
        this = Revision("identity", THIS)
        with migrations.locked(url) as connection:
            assert connection is not None
            migrations.run(connection, [this])
        if kind == "mariadb":  # an interruption leaves what was done until then: it is done again
            with migrations.locked(url) as connection:
                assert connection is not None
                connection.execute(text("DELETE FROM schema_revisions WHERE name = :name"), {"name": THIS})
                migrations.run(connection, [this])
        with migrations.connected(url) as connection:
            user(connection, LONG)
            insert(connection, "group_members", user_id=LONG, group_id="g")
            assert ids(connection, "users", "id") == [LONG, "u"]
            assert ids(connection, "access_rules", "user_id") == ["u"]
            keys = inspect(connection).get_foreign_keys("group_members")
            assert {key["name"]: key["options"].get("ondelete") for key in keys} == {
                "fk_group_members_user_id": "CASCADE",
                "fk_group_members_group_id": "CASCADE",
            }
            connection.commit()
            if kind != "sqlite":
                with pytest.raises(DBAPIError):
                    insert(connection, "group_members", user_id="nobody", group_id="g")
