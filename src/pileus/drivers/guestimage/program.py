"""Running a program to its end from ordinary code.

A build is one long stretch of blocking work; a caller with an event loop puts it into a thread.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pileus.drivers.process import ProgramFailed


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 120.0,
) -> bytes:
    """Run a program in ``folder`` and give back what it wrote to standard output. Raises ProgramFailed."""
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
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
