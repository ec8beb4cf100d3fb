"""Migrations: they make what the metadata says, once, also when several servers start together."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from tests import databases

import pileus.services
import pileus.store
from pileus.store import migrations, schema
from pileus.store.migrations import collation, lines, record
from pileus.store.migrations.lines import LAST_SHARED, SERVICES, next_name, read_lines
from pileus.store.migrations.writing import snapshot
from pileus.store.schema import metadata


def _not_of_a_test(item: Any, name: str | None, *_: Any) -> bool:
    return not (name or "").startswith(("test_", "schema_"))


def declare_everything() -> None:
    """Import every module that may declare tables on the one metadata."""
    for package in (pileus.services, pileus.store):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations." not in module.name:
                importlib.import_module(module.name)


@pytest.mark.parametrize("way", ["upgrade", "prepare"])
def test_the_migrated_schema_is_the_declared_one(kind: str, way: str, tmp_path: Path) -> None:
    declare_everything()
    with databases.fresh(kind, tmp_path) as url:
        getattr(migrations, way)(url)
        assert migrations.pending(url) == []
        with migrations.connected(url) as connection:
            context = MigrationContext.configure(
                connection,
                opts={"compare_type": True, "include_object": _not_of_a_test},
            )
            assert compare_metadata(context, metadata) == [], (
                "write the next revision: see pileus.store.migrations"
            )


def test_revisions_are_run_once(kind: str, tmp_path: Path) -> None:
    with databases.fresh(kind, tmp_path) as url:
        assert migrations.current(url) == frozenset()
        assert migrations.upgrade(url) == [*migrations.known()]
        assert migrations.upgrade(url) == []
        assert migrations.current(url) == {*migrations.known()}


def test_looking_at_a_file_that_is_not_there_does_not_make_it(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    assert migrations.pending(f"sqlite:///{path}") == [*migrations.known()]
    assert not path.exists()
    migrations.prepare(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


def test_servers_that_start_together_migrate_once(kind: str, tmp_path: Path) -> None:
    with databases.fresh(kind, tmp_path) as url:
        script = "import sys; from pileus.store import migrations; print(*migrations.upgrade(sys.argv[1]))"
        started = [
            subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        said = sorted(process.communicate(timeout=60)[0].strip() for process in started)
        assert said == ["", "", " ".join(map(str, migrations.known()))]


def test_mariadb_compares_bytes_and_keeps_transactions(kind: str, tmp_path: Path) -> None:
    if kind != "mariadb":
        pytest.skip("MariaDB alone has engines and collations of tables")
    with databases.fresh(kind, tmp_path) as url:
        migrations.upgrade(url)
        with migrations.connected(url) as connection:
            found = connection.execute(
                text(
                    "SELECT DISTINCT engine, table_collation FROM information_schema.tables "
                    "WHERE table_schema = DATABASE()"
                )
            ).all()
        assert [tuple(row) for row in found] == [("InnoDB", "utf8mb4_nopad_bin")]


@pytest.mark.parametrize("interrupted", [False, True])
def test_tables_of_a_collation_that_pads_are_converted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    if kind != "mariadb":
        pytest.skip("MariaDB alone has engines and collations of tables")
    declare_everything()
    with databases.fresh(kind, tmp_path) as url:
        with monkeypatch.context() as earlier:
            earlier.setattr(schema, "MARIADB_COLLATION", "utf8mb4_bin")
            with migrations.locked(url) as connection:
                assert connection is not None
                migrations.begin(connection, ())
                migrations.run(connection, [one for one in migrations.known() if one.number <= "0010"])
        if interrupted:
            real = collation._clause
            monkeypatch.setattr(collation, "_clause", lambda key, rows: f"{real(key, rows)} NOT YET")
            with pytest.raises(DBAPIError):
                migrations.upgrade(url)
            monkeypatch.undo()
            with migrations.connected(url) as connection:
                fix = "UPDATE pileus_foreign_keys SET clause = REPLACE(clause, ' NOT YET', '')"
                connection.execute(text(fix))
                connection.commit()
        migrations.upgrade(url)
        with migrations.connected(url) as connection:
            found = connection.execute(
                text(
                    "SELECT DISTINCT table_collation FROM information_schema.tables "
                    "WHERE table_schema = DATABASE()"
                )
            ).all()
            assert [tuple(row) for row in found] == [("utf8mb4_nopad_bin",)]
            context = MigrationContext.configure(
                connection,
                opts={"include_object": _not_of_a_test},
            )
            assert compare_metadata(context, metadata) == []


def test_a_database_from_the_future_is_refused(kind: str, tmp_path: Path) -> None:
    with databases.fresh(kind, tmp_path) as url:
        migrations.upgrade(url)
        with migrations.connected(url) as connection:
            connection.execute(text("INSERT INTO schema_revisions VALUES ('network', '9999_magic')"))
            connection.commit()
        with pytest.raises(migrations.SchemaTooNew, match="network/9999_magic"):
            migrations.prepare(url)


def _as_before_the_split(url: str, number: str) -> None:
    """A database as earlier versions left it: one line for all services, and its newest number."""
    shared = [one for one in migrations.known() if one.number <= number]
    with migrations.locked(url) as connection:
        assert connection is not None
        migrations.begin(connection, ())
        migrations.run(connection, shared)
        connection.execute(text("DROP TABLE schema_revisions"))
        connection.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:number)"), {"number": number})


@pytest.mark.parametrize("number", ["0001", "0010", LAST_SHARED])
def test_a_database_of_the_one_line_for_all_services_goes_on(kind: str, number: str, tmp_path: Path) -> None:
    later = [one for one in migrations.known() if one.number > number]
    with databases.fresh(kind, tmp_path) as url:
        _as_before_the_split(url, number)
        assert migrations.pending(url) == later
        migrations.prepare(url)
        assert migrations.current(url) == {*migrations.known()}
        with migrations.connected(url) as connection:
            assert not inspect(connection).has_table("alembic_version")


def test_a_revision_that_came_in_between_is_run(kind: str, tmp_path: Path) -> None:
    """Two people each added one, and a database had the second before they were merged."""
    with databases.fresh(kind, tmp_path) as url:
        with migrations.locked(url) as connection:
            assert connection is not None
            migrations.begin(connection, ())
            migrations.run(
                connection, [one for one in migrations.known() if one.name != "0009_inherited_grants"]
            )
        assert [one.name for one in migrations.upgrade(url)] == ["0009_inherited_grants"]


def _line(folder: Path, head: str, *names: str) -> None:
    folder.mkdir()
    (folder / "HEAD").write_text(head)
    for name in names:
        (folder / f"{name}.py").write_text("")


@pytest.mark.parametrize(
    ("head", "names", "said"),
    [
        ("0002_b\n0001_a\n", ("0001_a", "0002_b", "0002_c"), "does not list 0002_c"),
        ("0002_c\n0002_b\n0001_a\n", ("0001_a", "0002_b", "0002_c"), "a number is there twice"),
        ("0001_a\n0002_b\n", ("0001_a", "0002_b"), "out of order"),
        ("0002_b\n0001_a\n", ("0002_b",), "lists 0001_a, which is not there"),
        ("<<<<<<<\n0001_a\n", ("0001_a",), "is no name of a revision"),
    ],
)
def test_a_line_that_is_not_what_its_head_says_is_refused(
    head: str, names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for service in SERVICES:
        _line(tmp_path / service, *((head, *names) if service == "image" else ("0001_a\n", "0001_a")))
    with pytest.raises(migrations.BrokenLine, match=said):
        read_lines(tmp_path)


def _parts(script: str) -> list[list[str]]:
    """The statements of a script, and the words of each: a table made anew has its constraints mixed."""
    return [
        sorted(re.split(r"[,\s()]+", statement))
        for statement in sorted(migrations.statements(script.partition("\n")[2]))
    ]


def test_no_boolean_has_a_number_as_its_default() -> None:
    """SQLite takes it, PostgreSQL does not."""
    wrong = [
        f"{file.parent.name}/{file.name}: {line.strip()}"
        for file in sorted(lines.FOLDER.glob("*/[0-9]*.py"))
        for line in file.read_text().splitlines()
        if "sa.Boolean()" in line and re.search(r"server_default=(sa\.text|[\"'])", line)
    ]
    assert not wrong


def test_the_snapshot_is_what_the_revisions_make() -> None:
    written = _parts(migrations.SNAPSHOT.read_text())
    assert written == _parts(snapshot()), "python -m pileus.store.migrations --snapshot"


def test_a_start_with_nothing_to_do_does_not_import_alembic(kind: str, tmp_path: Path) -> None:
    with databases.fresh(kind, tmp_path) as url:
        migrations.upgrade(url)
        script = (
            "import sys; from pileus.store import migrations; migrations.prepare(sys.argv[1]); "
            "print('alembic' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == "False"


def test_the_next_revision_is_written_from_the_metadata(tmp_path: Path) -> None:
    script = (
        "import sys, tests.store.things; from pathlib import Path; "
        "from pileus.store.migrations.writing import write_revision; "
        "print(write_revision('network', 'Some things', Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    )
    path = Path(done.stdout.strip().splitlines()[-1])
    assert path.stem == next_name("network", "some things")
    written = path.read_text()
    assert '"test_things"' in written
    assert "schema.Moment()" in written
    assert 'drop_table("events")' not in written
    assert (tmp_path / "network" / "HEAD").read_text() == f"{path.stem}\n"


def test_revisions_that_were_read_before_need_no_files_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads them as root, and runs them as a user who may not enter the folder."""
    migrations.preload()
    expected = [*migrations.known()]
    monkeypatch.setattr(lines, "FOLDER", tmp_path / "closed")
    monkeypatch.setattr(migrations, "SNAPSHOT", tmp_path / "closed")
    assert migrations.upgrade(f"sqlite:///{tmp_path}/x.sqlite") == expected
    migrations.prepare(f"sqlite:///{tmp_path}/y.sqlite")


def test_what_a_start_needs_is_known_before(tmp_path: Path) -> None:
    """Revisions run where some are missing: not for a new file, which gets its tables at once."""
    new, empty, old, future = (f"sqlite:///{tmp_path}/{name}" for name in ("new", "empty", "old", "future"))
    (tmp_path / "empty").touch()
    assert not migrations.runs_revisions(new)
    assert not (tmp_path / "new").exists()
    assert not migrations.runs_revisions(empty)
    migrations.prepare(new)
    assert not migrations.runs_revisions(new)
    with migrations.locked(old) as connection:
        assert connection is not None
        migrations.begin(connection, ())
        migrations.run(connection, migrations.known()[:3])
    assert migrations.runs_revisions(old)
    migrations.prepare(old)
    assert not migrations.runs_revisions(old)
    migrations.prepare(future)
    with migrations.locked(future) as connection:
        assert connection is not None
        record.add(connection, [migrations.Revision("network", "9999_from_the_future")])
    with pytest.raises(migrations.SchemaTooNew):
        migrations.runs_revisions(future)
