"""Running a program to its end, without a shell, from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO


class ProgramFailed(Exception):
    """A program ended with another status than 0, did not end in time, or is not there.

    ``arguments`` is what was started, ``status`` its exit status (None: killed after
    the time allowed, or not found), ``stderr`` what it said.
    """

    def __init__(self, arguments: Sequence[str], status: int | None, stderr: str) -> None:
        self.arguments = tuple(arguments)
        self.status = status
        self.stderr = stderr
        super().__init__(f"{' '.join(arguments[:4])} ended with {status}: {stderr.strip()[:2000]}")


def user_of(number: int) -> int | None:
    """The user as whom a process acts; None when it is gone.

    Anybody may give a process whatever arguments he likes, those of a daemon of ours too.
    """
    try:
        status = Path(f"/proc/{number}/status").read_text(errors="replace")
    except OSError:
        return None
    users = next((line.split() for line in status.splitlines() if line.startswith("Uid:")), [])
    return int(users[2]) if len(users) == 5 else None


async def run(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> bytes:
    """Run a program with bytes on its standard input; give back what it wrote to standard output.

    Standard input is a file: a program may open it again as ``/dev/stdin`` (nft does), which the sockets
    that uvloop makes of pipes do not allow. Raises ProgramFailed. When the caller is cancelled the
    program is killed.
    """
    try:
        with _as_file(stdin) as given:
            child = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=given,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment) if environment is not None else None,
            )
    except FileNotFoundError as error:
        raise ProgramFailed(arguments, None, str(error)) from error
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await child.communicate()
    except TimeoutError:
        raise ProgramFailed(arguments, None, f"no end within {timeout_s} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode != 0:
        raise ProgramFailed(arguments, child.returncode, stderr.decode(errors="replace"))
    return stdout


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[IO[bytes] | int]:
    if not content:
        yield asyncio.subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file


async def run_daemon(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = 30.0
) -> None:
    """Run a program that leaves a daemon behind, to the end of its first process.

    The daemon may keep what it was given as output open for ever, so what it says goes to a file
    and not into a pipe whose end would never come. Raises ProgramFailed.
    """
    with tempfile.TemporaryFile() as said:
        try:
            child = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
                env=dict(environment) if environment is not None else None,
            )
        except FileNotFoundError as error:
            raise ProgramFailed(arguments, None, str(error)) from error
        try:
            async with asyncio.timeout(timeout_s):
                status = await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
            raise ProgramFailed(arguments, None, f"no end within {timeout_s} s") from None
        if status != 0:
            said.seek(0)
            raise ProgramFailed(arguments, status, said.read().decode(errors="replace"))
