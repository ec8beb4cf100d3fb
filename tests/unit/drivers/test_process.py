"""Programs that are run to their end, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from pileus.drivers.process import ProgramFailed, run

LARGE = b"0123456789abcdef" * (1 << 16)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_what_is_given_is_read(loop: Callable[[Any], Any]) -> None:
    async def story() -> None:
        assert await run(["cat"], stdin=LARGE) == LARGE
        # nft opens it by this name.
        assert await run(["cat", "/dev/stdin"], stdin=b"words") == b"words"
        assert await run(["cat"]) == b""

    loop(story())


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_failures_say_why(loop: Callable[[Any], Any]) -> None:
    async def story() -> None:
        with pytest.raises(ProgramFailed) as failed:
            await run(["cat", "/no/such/file"])
        assert failed.value.status == 1
        assert "No such file" in failed.value.stderr
        with pytest.raises(ProgramFailed) as failed:
            await run(["/no/such/program"], stdin=b"x")
        assert failed.value.status is None
        with pytest.raises(ProgramFailed, match="no end within"):
            await run(["sleep", "60"], timeout_s=0.05)

    loop(story())
