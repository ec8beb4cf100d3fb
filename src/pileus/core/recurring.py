"""A fault that happens again and again is one line when it begins, and one with a count when it is over."""

from __future__ import annotations

import time
from typing import Any

from pileus.core.errors import Fault, NotYet

NO_ANSWER = "ServerUnreachable"
"""The fault of the bus's client. The client says it itself, once for all agents that share it."""


class Recurring:
    """Lines of ``logger`` about one thing that may fail; ``facts`` stand in each of them."""

    def __init__(self, logger: Any, text: str, **facts: Any) -> None:
        self._logger = logger
        self._text = text
        self._facts = facts
        self._kind: str | None = None
        self._times = 0
        self._began = 0.0
        self._level = "warning"

    def happened(self, kind: str, *, level: str = "warning", **facts: Any) -> None:
        """It failed; a line, unless it failed in the same way (``kind``) the last time."""
        if kind == self._kind:
            self._times += 1
            return
        self.over()
        self._kind, self._times, self._began, self._level = kind, 1, time.monotonic(), level
        getattr(self._logger, level)(self._text, **self._facts, **facts)

    def over(self) -> None:
        """It did not fail; a line with how often and how long it had."""
        if self._kind is None:
            return
        seconds = round(time.monotonic() - self._began, 1)
        write = self._logger.debug if self._level == "debug" else self._logger.info
        write(f"over: {self._text}", **self._facts, times=self._times, seconds=seconds)
        self._kind = None


class Trouble(Recurring):
    """Note a failure that is a fault of the domain."""

    def fault(self, fault: Fault, *, starting: bool = False) -> None:
        """It failed. While a program is ``starting``, a part that is not there yet is no trouble."""
        level = "debug" if fault.code == NO_ANSWER else "warning"
        if starting and isinstance(fault, NotYet):
            level = "info"
        self.happened(fault.code, level=level, error=fault.text)
