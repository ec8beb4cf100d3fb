"""Consoles' logs: cut when they have become long, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from pileus.core import log
from pileus.drivers.libvirt.console import trim_console
from pileus.host.hypervisor.records import InstanceBook

_log = log.get("host.hypervisor")

_TRIM_EVERY_S = 10.0


async def keep_small(book: InstanceBook, limit: int) -> None:
    """Cut the logs of all machines to ``limit`` bytes, again and again; runs until it is cancelled."""
    while True:
        await asyncio.sleep(_TRIM_EVERY_S)
        paths = [book.places(server_id).console for server_id in book.all()]
        await asyncio.to_thread(trim_all, paths, limit)


def trim_all(paths: Iterable[Path], limit: int) -> None:
    """One that can't be cut keeps none of the others long."""
    for path in paths:
        try:
            trim_console(path, limit=limit)
        except OSError as error:
            _log.warning("a console's log can't be shortened", path=str(path), error=str(error))
