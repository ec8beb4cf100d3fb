"""Questions of a server to a node, with a deadline: a console's log, counters, a trace.

A question travels as a line of the agent's open stream; the answer comes back as a call. It
changes nothing, so one that is lost is simply asked again by whoever wanted to know.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.wire.records import Record
from pileus.wire.types import HostName, Text, Uuid, Word, clip


class Question(Record, frozen=True):
    """``kind`` names what is asked: ``console_log`` (``{"server_id", "length"}``), ``console``
    (``{"server_id", "console", "stream"}``: open the stream of this name from a machine's console)."""

    question_id: Uuid
    kind: Word
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class Answer(Record, frozen=True):
    """The answer to one question; ``error`` says why there is none."""

    host: HostName
    question_id: Uuid
    result: dict[str, Any] = msgspec.field(default_factory=dict)
    error: Text | None = None

    def __post_init__(self) -> None:
        clip(self, "error")
