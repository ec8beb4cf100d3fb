"""``pileus db``."""

from __future__ import annotations

import sys
from pathlib import Path

import pileus.services.identity.service
import pileus.services.network.service  # noqa: F401 - the tables of all services
from pileus.app import bootstrap, privileges
from pileus.app.database import database_url
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.store import migrations


def upgrade(simulated: bool, state: Path | None, config: Path | None) -> None:
    """Bring the database of this cloud to the newest revision, and say from where to where.

    As the server's user: root opens no file in a folder of his.
    """
    folder = StateFolder((state or default_root(simulated)).absolute())
    settings = bootstrap.read_settings(folder, config, {}).settings
    migrations.preload()
    try:
        privileges.drop(settings.server.user)
    except KeyError:
        bootstrap.fail(
            f"there is no user {settings.server.user} yet, for a database in {folder.root}: "
            "the first start of the server makes him"
        )
    if not settings.server.database and not folder.database.exists():
        bootstrap.fail(f"there is no database in {folder.root} yet: the first start makes it")
    try:
        url = database_url(folder, settings)
        run = migrations.upgrade(url)
    except Fault as fault:
        bootstrap.fail(fault.text)
    newest = ", ".join(map(str, migrations.heads()))
    if not run:
        sys.stdout.write(f"The database is up to date ({newest}).\n")
    else:
        sys.stdout.write(
            f"The database was brought up to date ({newest}); run: {', '.join(map(str, run))}.\n"
        )
