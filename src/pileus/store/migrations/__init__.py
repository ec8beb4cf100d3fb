from __future__ import annotations

from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.engine import make_url


def prepare(url: str, metadata: MetaData) -> None:
    from pileus.store.engine.sqlite import open_file

    engine = open_file(make_url(url).database or "")
    metadata.create_all(engine)
    engine.dispose()
