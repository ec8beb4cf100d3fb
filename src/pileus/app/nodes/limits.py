"""Limits of the kernel that a node with many networks needs higher; what they were is kept, and put back.

Each dnsmasq watches its files by an inotify instance of root's, and the kernel allows 128 of them to
a user unless told otherwise (inotify(7)).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pileus.core.files import write_atomically

NEEDED: Mapping[str, int] = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 131072}
"""Below /proc/sys, and what is enough for some thousand networks."""


def raise_limits(
    memory: Path, needed: Mapping[str, int] = NEEDED, system: Path = Path("/proc/sys")
) -> dict[str, int]:
    """Raise limits that are lower than needed; by name, what they were. The first values ever seen are kept
    in the file ``memory``. A limit that can't be raised stays as it is."""
    before = {key: int((system / key).read_text()) for key in needed if (system / key).exists()}
    low = {key: value for key, value in before.items() if value < needed[key]}
    if low:
        write_atomically(memory, msgspec.json.encode(low | _remembered(memory)))
        for key in low:
            try:
                (system / key).write_text(str(needed[key]))
            except OSError:
                del before[key]
    return {key: low[key] for key in low if key in before}


def restore_limits(
    memory: Path, needed: Mapping[str, int] = NEEDED, system: Path = Path("/proc/sys")
) -> None:
    """Put back what ``raise_limits`` changed, unless somebody has set another value since."""
    for key, value in _remembered(memory).items():
        if int((system / key).read_text()) == needed.get(key):
            (system / key).write_text(str(value))
    memory.unlink(missing_ok=True)


def _remembered(memory: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
