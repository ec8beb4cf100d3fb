"""Writing the next revision of a service, in a source checkout."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.sql.elements import False_, True_

from pileus.store import migrations
from pileus.store.migrations import SNAPSHOT
from pileus.store.migrations.connections import connected
from pileus.store.migrations.lines import FOLDER, known, next_name
from pileus.store.schema import Id, JsonText, LongText, Moment, Name, UserId, metadata

_TEMPLATE = '''"""{title}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
{imports}


def upgrade() -> None:
    """Go one revision up."""
    {steps}
'''


def write_revision(service: str, message: str, folder: Path = FOLDER) -> Path:
    """Write what the tables that a service declares have and its revisions lack; returns the file.

    In this checkout (``folder``) HEAD and the snapshot are brought up to date, too.
    """
    _declare(service)
    name = next_name(service, message)
    written = folder / service / f"{name}.py"
    written.parent.mkdir(parents=True, exist_ok=True)
    imports, steps = _difference()
    written.write_text(
        _TEMPLATE.format(title=f"{message[:1].upper()}{message[1:]}", imports="\n".join(imports), steps=steps)
    )
    # long lines are a fault of what is not formatted yet
    for fix in (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *fix, str(written)], check=True)
    head = written.with_name("HEAD")
    head.write_text(f"{name}\n{head.read_text() if head.exists() else ''}")
    if folder == FOLDER:
        known.cache_clear()
        write_snapshot()
    return written


def write_snapshot(path: Path = SNAPSHOT) -> None:
    """Write the script that makes on SQLite what the revisions make."""
    path.write_text(snapshot())


_INDEXES = ("CREATE INDEX", "CREATE UNIQUE INDEX")


def _with_ordered_constraints(statement: str) -> str:
    """A ``CREATE TABLE`` whose constraints, which are its last lines, stand in the order of their text."""
    lines = statement.split("\n")
    first = next((place for place, line in enumerate(lines) if line.startswith("\tCONSTRAINT ")), None)
    if first is None:
        return statement
    constraints, end = lines[first:-1], lines[-1]
    ordered = sorted(line.rstrip(", ") for line in constraints)
    return "\n".join([*lines[:first], *(f"{line}, " for line in ordered[:-1]), ordered[-1], end])


def snapshot() -> str:
    """Dump what the revisions make of an empty SQLite file, as a script."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.sqlite"
        migrations.upgrade(f"sqlite:///{file}")
        raw = sqlite3.connect(file)
        try:
            dumped = [line for line in raw.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
        finally:
            raw.close()
    # Alembic writes the constraints and indexes of a table that it makes anew in no order of its own.
    indexes = [line for line in dumped if line.startswith(_INDEXES)]
    lines = [_with_ordered_constraints(line) for line in dumped if not line.startswith(_INDEXES)]
    lines += sorted(indexes)
    return "-- Written by python -m pileus.store.migrations --snapshot.\n" + "".join(
        f"{line}\n" for line in lines
    )


def _declare(service: str) -> None:
    """Import all modules of a service: each declares its tables on the one metadata."""
    module = importlib.import_module("pileus.store" if service == "store" else f"pileus.services.{service}")
    if service == "store":
        return
    for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
        if not found.name.startswith("pileus.store.migrations"):
            importlib.import_module(found.name)


def _difference() -> tuple[list[str], str]:
    """Imports and lines of what has to be done to a database at the newest revisions."""
    from alembic.autogenerate import produce_migrations, render_python_code
    from alembic.runtime.migration import MigrationContext

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/compare.sqlite"
        migrations.upgrade(url)
        with connected(url) as connection:
            options = {"target_metadata": metadata, "include_object": _is_declared, "compare_type": True}
            context = MigrationContext.configure(connection, opts=options)
            found = produce_migrations(context, metadata)
            assert found.upgrade_ops is not None
            steps = render_python_code(
                found.upgrade_ops,
                render_as_batch=True,
                render_item=_render_type,
                migration_context=context,
            )
    kept = [line for line in steps.splitlines() if "# ### " not in line]
    imports = ["\nfrom pileus.store import schema"] if "schema." in steps else []
    return imports, "\n".join(kept).strip() or "pass"


def _render_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Our types as a revision writes them: lengths as they are now, the rest by name."""
    if kind == "type" and isinstance(item, Id | UserId | Name):
        return f"sa.String(length={item.length})"
    if kind == "type" and isinstance(item, JsonText | LongText | Moment):
        return f"schema.{type(item).__name__}()"
    if kind == "server_default" and isinstance(getattr(item, "arg", None), True_ | False_):
        # SQLite's own words for these, 1 and 0, are no booleans to PostgreSQL.
        return "sa.true()" if isinstance(item.arg, True_) else "sa.false()"
    return False


def _is_declared(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """A table that no imported module declares stays: dropping tables is written by hand."""
    return not (kind == "table" and reflected and compare_to is None)
