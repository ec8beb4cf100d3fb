"""``pileus config show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from pileus.app import bootstrap
from pileus.app.state import StateFolder, default_root

SECRET_URLS = frozenset({"server.database", "server.rabbitmq"})


def show(simulated: bool, state: Path | None, file: Path | None, as_json: bool) -> None:
    """Print every setting, as ``up`` was given them last; passwords inside URLs are left out."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    loaded = bootstrap.read_settings(folder, file, {}) if file else bootstrap.in_force(folder)
    origins = [
        msgspec.structs.replace(origin, value=_without_password(str(origin.value)))
        if origin.key in SECRET_URLS
        else origin
        for origin in loaded.origins()
    ]
    if as_json:
        sys.stdout.write(msgspec.json.encode(origins).decode() + "\n")
        return
    rows = [
        (
            one.key,
            ", ".join(map(_text, one.value)) if isinstance(one.value, tuple) else str(one.value),
            one.source,
            one.meaning,
        )
        for one in origins
    ]
    if not sys.stdout.isatty():  # whoever reads a pipe wants whole names, one setting a line
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            sys.stdout.write("  ".join(map(str.ljust, row, [*widths, 0])).rstrip() + "\n")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for title in ("setting", "value", "from", "meaning"):
        table.add_column(title, no_wrap=title == "setting", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def _as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, credentials = head.partition("://")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:***@{tail}"


def _text(value: Any) -> str:
    """A member of a list: a word, or a table in the form of JSON, without what is not set."""
    if not isinstance(value, msgspec.Struct):
        return str(value)
    table = {key: one for key, one in msgspec.to_builtins(value).items() if one not in ("", None, [])}
    return msgspec.json.encode(table).decode()
