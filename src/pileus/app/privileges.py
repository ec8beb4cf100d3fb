"""Becoming an unprivileged user, for good."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from pileus.app.state import BadStateFolder

COMMENT = "Pileus server"


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
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o077)


def check_reachable(folder: Path, name: str) -> None:
    """Raise BadStateFolder where user ``name`` could not enter ``folder`` (a folder above it is closed)."""
    user = pwd.getpwnam(name)
    for parent in reversed(folder.resolve().parents):
        state = parent.stat()
        bit = 0o100 if state.st_uid == user.pw_uid else 0o010 if state.st_gid == user.pw_gid else 0o001
        if not state.st_mode & bit:
            raise BadStateFolder(
                f"The server runs as user {name}, who can't enter {parent}, above the state folder {folder}. "
                "Choose another with --state, or another user with server.user in the settings."
            )
