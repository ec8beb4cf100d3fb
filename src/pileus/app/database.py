"""``pileus db``."""

from __future__ import annotations

import sys
from pathlib import Path

import pileus.services.identity.service
import pileus.services.network.service  # noqa: F401 - the tables of all services
from pileus.app import bootstrap, privileges
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.core.settings import BadSettings, Settings
from pileus.store import migrations

KINDS = ("sqlite", "postgresql", "mariadb", "mysql")


def database_url(folder: StateFolder, settings: Settings) -> str:
    """The database that is set, or the one in the state folder; BadSettings for one of another kind."""
    url = settings.server.database or f"sqlite:///{folder.database}"
    kind = url.partition(":")[0].partition("+")[0]
    if kind not in KINDS:
        raise BadSettings(f"server.database: {kind}:// is none of {', '.join(f'{one}://' for one in KINDS)}")
    return url


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
