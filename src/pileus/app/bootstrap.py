"""The first steps of every command: read settings, and end with the reason where they are wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from pileus.app.settings import Settings, load_settings
from pileus.app.state import StateFolder
from pileus.core.errors import Fault
from pileus.core.settings import Loaded

EX_CONFIG = 78
INSTALLED = Path("/var/lib/pileus")
SYSTEM_SETTINGS = Path("/etc/pileus/pileus.toml")


def fail(text: str) -> NoReturn:
    """End with the reason, and the status that says that starting again won't help."""
    sys.stderr.write(f"pileus: {text}\n")
    raise SystemExit(EX_CONFIG)


def read_settings(folder: StateFolder, config: Path | None, options: dict[str, Any]) -> Loaded[Settings]:
    """The settings in ``config``, or in the folder's own file; the cloud of an installed package may have
    them in ``/etc/pileus`` instead."""
    if config is not None and not config.exists():
        fail(f"there is no settings file {config}")
    try:
        return load_settings(config or _own_file(folder), os.environ, options)
    except Fault as fault:
        fail(fault.text)


def _own_file(folder: StateFolder) -> Path:
    if folder.root == INSTALLED and SYSTEM_SETTINGS.exists() and not folder.settings.exists():
        return SYSTEM_SETTINGS
    return folder.settings


def in_force(folder: StateFolder) -> Loaded[Settings]:
    """The settings that ``up`` was given last for this folder: its file and its options, too."""
    try:
        plan = json.loads(folder.plan.read_text())
    except FileNotFoundError:
        return read_settings(folder, None, {})
    return read_settings(folder, Path(plan["config"]) if plan["config"] else None, plan["options"])


def settings_in_force(folder: StateFolder) -> Settings:
    """The values alone of ``in_force``."""
    return in_force(folder).settings


def host_name(configured: str) -> str:
    """The node's name: as set, else the machine's."""
    return configured or os.uname().nodename
