"""Files of other projects that browsers need: noVNC, xterm.js. They are no part of the source.

``lock/assets.json`` names them with their hashes; ``lock/fetch-assets`` puts them into one archive beside
this module, when the launcher prepares an environment and when the wheel is built. It is read when this is
imported, while the source may be read, and unpacked file by file.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def _archive() -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(Path(__file__).with_name("assets.zip").read_bytes()))
    except (OSError, zipfile.BadZipFile):
        return None


_ARCHIVE = _archive()


def asset(name: str) -> bytes | None:
    """A file's content by its name (``novnc/core/rfb.js``); None where it is not there."""
    try:
        return None if _ARCHIVE is None else _ARCHIVE.read(name)
    except KeyError:
        return None


def has_assets(package: str) -> bool:
    """Whether files of this package (``novnc``) are installed."""
    return _ARCHIVE is not None and any(one.startswith(f"{package}/") for one in _ARCHIVE.namelist())


def media_type(name: str) -> str:
    """A file's media type, by the end of its name."""
    return _TYPES.get(name.rpartition(".")[2], "text/plain; charset=utf-8")
