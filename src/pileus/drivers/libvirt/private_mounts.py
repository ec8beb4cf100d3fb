"""Run a daemon with some paths of the machine replaced by others, for it and its children alone.

    python -m pileus.drivers.libvirt.private_mounts SOURCE=TARGET … -- PROGRAM ARGUMENT…

A privileged libvirtd has its state, its sockets' and its configuration's folders compiled
in. In a mount namespace of its own, with our folders bound over those, several of them run
on one machine, and none meets the system's. Each SOURCE (folder or file) is bound over
TARGET, which must exist.

This returns when the mounts are made and the daemon is started; a process stays behind to
be the parent of what the daemon leaves orphaned, until nothing is left. libvirt starts QEMU
as an orphan and waits at its end until it is gone from the process table; on a machine
whose first process is no service manager, that took two seconds each time.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_PR_SET_CHILD_SUBREAPER = 36


def bind_and_run(binds: Sequence[tuple[str, str]], command: Sequence[str]) -> None:
    """Start ``command`` in a new mount namespace with the binds made. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(status: int, what: str) -> None:
        if status != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")

    check(libc.unshare(_CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    for source, target in binds:
        arguments = (os.fsencode(source), os.fsencode(target), None, _MS_BIND, None)
        check(libc.mount(*arguments), f"{source} on {target}")
    if os.fork() != 0:
        return
    os.setsid()
    check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "become the parent of orphans")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.posix_spawnp(command[0], list(command), os.environ)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        os._exit(0)


if __name__ == "__main__":
    _separator = sys.argv.index("--")
    bind_and_run(
        [(source, target) for source, _, target in (a.partition("=") for a in sys.argv[1:_separator])],
        sys.argv[_separator + 1 :],
    )
