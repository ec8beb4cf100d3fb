"""Those who carry and count packets go first: counted is what Pileus loses, not what a busy machine does.

Where the kernel groups processes by their sessions (sched_autogroup), niceness counts inside of such a group
only, and the group has a niceness of its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICE = -15
_SCRIPT = f'{{ echo {NICE} >/proc/self/autogroup; }} 2>/dev/null; exec nice -n {NICE} "$@"'
FIRST = ("setsid", "sh", "-c", _SCRIPT, "first")
"""Before a command: it goes first, in a session of its own."""


def prefer(number: int) -> None:
    """Have a process go first that runs already, with all its threads."""
    threads = Path("/proc", str(number), "task")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in threads.iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)
        if os.getsid(number) == number:
            (Path("/proc") / str(number) / "autogroup").write_text(str(NICE))


def prefer_switch(run_dir: Path) -> None:
    """The vswitchd whose folder this is."""
    with contextlib.suppress(FileNotFoundError):
        prefer(int((run_dir / "ovs-vswitchd.pid").read_text()))
