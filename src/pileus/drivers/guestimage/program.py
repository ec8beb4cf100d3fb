"""Running a program to its end from ordinary code.

A build is one long stretch of blocking work; a caller with an event loop puts it into a thread.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pileus.drivers.process import ProgramFailed

# Debian keeps mke2fs where an ordinary user's PATH does not look.
_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


def is_installed(program: str) -> bool:
    """Whether ``run`` would find it."""
    return shutil.which(program, path=_environment({})["PATH"]) is not None


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 120.0,
) -> bytes:
    """Run a program in ``folder`` and give back what it wrote to standard output.

    ``environment`` is added to this process's own; messages are English. Raises ProgramFailed.
    """
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(environment or {}),
            cwd=folder,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProgramFailed(arguments, None, str(error)) from error
    except subprocess.TimeoutExpired:
        raise ProgramFailed(arguments, None, f"no end within {timeout_s} s") from None
    if done.returncode != 0:
        raise ProgramFailed(arguments, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    return {**os.environ, "LC_ALL": "C", "PATH": path, **more}
