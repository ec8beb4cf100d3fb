"""What Alembic runs for every command: always with a connection that the caller opened and commits."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, metadata


def render_type(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our types into revisions: lengths as they are now, the rest by name."""
    if kind != "type":
        return False
    if isinstance(item, Id | Name):
        return f"sa.String(length={item.length})"
    if isinstance(item, JsonText | LongText | Moment):
        autogen.imports.add("from pileus.store import schema")
        return f"schema.{type(item).__name__}()"
    return False


def is_ours(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """A table that no imported module declares stays: dropping tables is written by hand."""
    return not (kind == "table" and reflected and compare_to is None)


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render_type,
    include_object=is_ours,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
