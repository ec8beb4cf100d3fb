"""What every process of ours does first: read settings, set up logging, say what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from pileus.app.state import StateFolder
from pileus.core import log
from pileus.core.errors import Fault
from pileus.core.settings import Loaded, load

EX_CONFIG = 78


def fail(text: str) -> NoReturn:
    """End with the reason, and the status that says that starting again won't help."""
    sys.stderr.write(f"pileus: {text}\n")
    raise SystemExit(EX_CONFIG)


def start(folder: StateFolder, config: Path | None, options: dict[str, Any]) -> Loaded:
    """Settings of this process (``config`` or the folder's own file), with logging set up."""
    if config is not None and not config.exists():
        fail(f"there is no settings file {config}")
    try:
        loaded = load(config or folder.settings, os.environ, options)
    except Fault as fault:
        fail(fault.text)
    log.setup(loaded.settings.log.level, loaded.settings.log.json)
    return loaded


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


def host_name(configured: str) -> str:
    """The node's name: as set, else the machine's."""
    return configured or os.uname().nodename


def run(main: Any) -> None:
    """Run the coroutine function ``main`` in an event loop of uvloop's."""
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
