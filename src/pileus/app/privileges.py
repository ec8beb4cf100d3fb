"""Becoming an unprivileged user, for good."""

from __future__ import annotations

import importlib
import os
import pwd
import subprocess
from pathlib import Path

from pileus.app.state import BadStateFolder

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


def give(folder: Path, name: str) -> None:
    """Make user ``name`` the owner of the files in ``folder``."""
    user = pwd.getpwnam(name)
    for path in folder.iterdir():
        os.chown(path, user.pw_uid, user.pw_gid)


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


def _closed_parent(path: Path, user: pwd.struct_passwd) -> Path | None:
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & _bit(parent, user):
            return parent
    return None


def _bit(path: Path, user: pwd.struct_passwd) -> int:
    """The execute bit of ``path``'s mode that holds for ``user`` (the read bit is two to the left)."""
    state = path.stat()
    return 0o100 if state.st_uid == user.pw_uid else 0o010 if state.st_gid == user.pw_gid else 0o001
