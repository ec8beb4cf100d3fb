"""Shared by the long-running processes: logging, the end, the event loop.

Apart from ``bootstrap``, because commands that only look should not wait for these imports.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from pileus.app.bootstrap import read_settings
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core import log

OPEN_FILES = 65_536
"""Connections are open files; the usual 1024 would be 500 agents."""


def start(folder: StateFolder, config: Path | None, options: dict[str, Any]) -> Settings:
    """The settings of this process, with logging set up as they say."""
    settings = read_settings(folder, config, options).settings
    log.setup(settings.log.level, settings.log.json)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, OPEN_FILES), hard))
    return settings


def stop_requested() -> asyncio.Event:
    """Set by SIGTERM, by SIGINT, and by the death of the supervisor, if there is one."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lifeline = os.environ.get("PILEUS_LIFELINE")
    if lifeline is not None:
        descriptor = int(lifeline)

        def ended() -> None:
            loop.remove_reader(descriptor)
            stop.set()

        loop.add_reader(descriptor, ended)
    return stop


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the coroutine function ``main`` to its end."""
    uvloop.run(main())
