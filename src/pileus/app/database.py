"""``pileus db``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pileus.services.identity.service
import pileus.services.network.service  # noqa: F401 - the tables of all services
from pileus.app import bootstrap, privileges
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.core.settings import Settings
from pileus.store import migrations


def database_url(folder: StateFolder, settings: Settings) -> str:
    """The database that is set, or the one in the state folder."""
    return settings.server.database or f"sqlite:///{folder.database}"


def upgrade(simulated: bool, state: Path | None, config: Path | None) -> None:
    """Bring the database of this cloud to the newest revision, and say from where to where."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    settings = bootstrap.read_settings(folder, config, {}).settings
    url = database_url(folder, settings)
    if not settings.server.database and not folder.database.exists():
        bootstrap.fail(f"there is no database in {folder.root} yet: the first start makes it")
    try:
        before = migrations.current(url)
        migrations.upgrade(url)
        after = migrations.current(url)
    except Fault as fault:
        bootstrap.fail(fault.text)
    if os.geteuid() == 0 and not settings.server.database and settings.server.user != "root":
        privileges.give(folder.database.parent, settings.server.user)
    if before == after:
        sys.stdout.write(f"The database is up to date (revision {after}).\n")
    else:
        sys.stdout.write(f"The database is now at revision {after} (before: {before or 'none'}).\n")
