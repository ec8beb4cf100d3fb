"""Which database a cloud has."""

from __future__ import annotations

from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.settings import BadSettings

KINDS = ("sqlite", "postgresql", "mariadb", "mysql")


def database_url(folder: StateFolder, settings: Settings) -> str:
    """The database that is set, or the one in the state folder; BadSettings for one of another kind."""
    url = settings.server.database or f"sqlite:///{folder.database}"
    kind = url.partition(":")[0].partition("+")[0]
    if kind not in KINDS:
        raise BadSettings(f"server.database: {kind}:// is none of {', '.join(f'{one}://' for one in KINDS)}")
    return url
