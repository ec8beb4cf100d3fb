"""Questions of a server to a node, with a deadline: a console's log, counters, a trace.

A question travels as a line of the agent's open stream; the answer comes back as a call. It
changes nothing, so one that is lost is simply asked again by whoever wanted to know.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.wire.records import Record


class Question(Record, frozen=True):
    """``kind`` names what is asked (``console_log``: ``{"server_id", "length"}``)."""

    question_id: str
    kind: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class Answer(Record, frozen=True):
    """The answer to one question; ``error`` says why there is none."""

    host: str
    question_id: str
    result: dict[str, Any] = msgspec.field(default_factory=dict)
    error: str | None = None
