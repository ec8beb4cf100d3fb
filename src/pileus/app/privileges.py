"""Becoming an unprivileged user, for good."""

from __future__ import annotations

import importlib
import os
import pwd
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pileus.app.state import BadStateFolder
from pileus.core.errors import Fault

COMMENT = "Pileus server"
LATE = ("_strptime", "concurrent.futures.thread", "encodings.idna")
"""Modules that Python imports at their first use. Its source may lie where the user can't go."""


def ensure_user(name: str) -> pwd.struct_passwd:
    """The system user ``name``, made where it is missing (needs root)."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
             "--shell", "/usr/sbin/nologin", "--comment", COMMENT, name],
            check=True,
        )  # fmt: skip
        return pwd.getpwnam(name)


def drop(name: str) -> None:
    """Become ``name`` if this process is root; without a way back."""
    if os.geteuid() != 0 or name == "root":
        return
    user = pwd.getpwnam(name)
    for module in LATE:
        importlib.import_module(module)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o077)


def as_user(name: str, work: Callable[[], None], first: Callable[[], None] | None = None) -> None:
    """Do ``work`` in a process of user ``name`` if this one is root, else here; ends this program as that
    process ended where it failed. ``first`` is done before that process becomes the user."""
    if os.geteuid() != 0 or name == "root":
        if first is not None:
            first()
        return work()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if first is not None:
                first()
            drop(name)
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Fault as fault:
            sys.stderr.write(f"pileus: {fault.text}\n")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise SystemExit(code if code > 0 else 1)
    return None


def may_read(path: Path, name: str) -> bool:
    """Whether user ``name`` could reach and read ``path``."""
    user = pwd.getpwnam(name)
    path = path.resolve()
    return _closed_parent(path, user) is None and bool(path.stat().st_mode & (_bit(path, user) << 2))


def check_reachable(folder: Path, name: str) -> None:
    """Raise BadStateFolder where user ``name`` could not enter ``folder`` (a folder above it is closed)."""
    parent = _closed_parent(folder.resolve(), pwd.getpwnam(name))
    if parent is not None:
        raise BadStateFolder(
            f"The server runs as user {name}, who can't enter {parent}, above the state folder {folder}. "
            "Choose another with --state, or another user with server.user in the settings."
        )


def check_not_writable(folder: Path, name: str) -> None:
    """Raise BadStateFolder where user ``name`` could put something else in the place of ``folder``.

    Root works in the state folder by names, so no folder above it may be that user's, or writable for him;
    in one like /tmp (sticky) he can rename nothing that is root's.
    """
    user = pwd.getpwnam(name)
    for parent in (folder, *folder.parents, *folder.resolve().parents):
        state = parent.lstat()
        if stat.S_ISLNK(state.st_mode):
            writable = state.st_uid != 0
        elif parent == folder:
            continue  # its own owner is looked at by whoever opens it
        else:
            writable = state.st_uid == user.pw_uid or bool(
                state.st_mode & (_bit(parent, user) << 1) and not state.st_mode & stat.S_ISVTX
            )
        if writable:
            raise BadStateFolder(
                f"The user {name}, as whom the server runs, could replace {parent}, above the state folder "
                f"{folder}: root would act there on his behalf. Choose another with --state."
            )


def _closed_parent(path: Path, user: pwd.struct_passwd) -> Path | None:
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & _bit(parent, user):
            return parent
    return None


def _bit(path: Path, user: pwd.struct_passwd) -> int:
    """The execute bit of ``path``'s mode that holds for ``user`` (write is one to the left, read two)."""
    state = path.stat()
    return 0o100 if state.st_uid == user.pw_uid else 0o010 if state.st_gid == user.pw_gid else 0o001
