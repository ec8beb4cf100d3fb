"""``pileus config show``."""

from __future__ import annotations

import sys
from pathlib import Path

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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "from", "meaning", box=box.SIMPLE)
    for origin in origins:
        value = ", ".join(origin.value) if isinstance(origin.value, tuple) else str(origin.value)
        table.add_row(origin.key, value, origin.source, origin.meaning)
    Console().print(table)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, credentials = head.partition("://")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:***@{tail}"
