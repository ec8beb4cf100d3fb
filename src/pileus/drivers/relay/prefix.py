"""Commands for another place: words put before each, such as ``ssh root@dom0`` or ``ip netns exec dom0``.

No shell is asked here. Where the prefix is ssh there is one on the other side, so every word behind a prefix
has characters only that no shell reads.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pileus.drivers.process import run

_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+^-]+")


class NotPlain(ValueError):
    """A word that a shell on the other side would read as more than itself."""


def parse_prefix(text: str) -> tuple[str, ...]:
    """The words of a setting; quotes are as in a shell. Raises ValueError."""
    return tuple(shlex.split(text))


def prefixed(prefix: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """A command as it is started here. Raises NotPlain."""
    for word in words:
        if not _PLAIN.fullmatch(word):
            raise NotPlain(f"{word!r} can't be passed through {' '.join(prefix)}")
    return (*prefix, *words)


async def run_there(prefix: Sequence[str], *words: str, stdin: bytes = b"", timeout_s: float = 30.0) -> bytes:
    """Run a command there to its end; raises ProgramFailed, NotPlain."""
    return await run(prefixed(prefix, words), stdin=stdin, timeout_s=timeout_s)
