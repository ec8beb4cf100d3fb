"""Reports of agents: how they come into being and stay alive."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.wire.questions import Question
from pileus.wire.records import Record
from pileus.wire.types import HostName, Moment, NameLine, Pause, Position, Scope, Scopes, ShortLine, Uuid


class AgentReport(Record, frozen=True):
    """A heartbeat with the agent's state (seed 003's fields).

    ``started_at`` as ``2013-06-05 11:53:55`` (UTC). ``start`` is true in the first
    report of a process: the server then takes ``started_at`` over and looks for work
    that nobody has. ``scopes`` lists what the agent serves besides its host, so that
    the answer's position covers it.
    """

    host: HostName
    binary: NameLine
    agent_type: ShortLine
    topic: NameLine
    started_at: Moment
    configurations: dict[str, Any] = msgspec.field(default_factory=dict)
    availability_zone: NameLine | None = None
    resources_synced: bool | None = None
    start: bool = False
    scopes: Scopes = ()


class AgentReply(Record, frozen=True):
    """The server's answer to a report.

    ``position`` is the newest position of any scope that concerns this host or that the
    report named: an agent that has read less looks again, even if every wake-up was lost.
    """

    agent_id: Uuid
    admin_state_up: bool
    position: Position
    heartbeat_interval_s: Pause = 30.0
    settings: ShortLine = ""
    """Another one when settings of the server's have changed that the desired state follows from: no
    position tells that."""


class Wakeup(Record, frozen=True):
    """One line of the stream: these scopes changed, up to this position.

    ``scopes`` empty means a keep-alive, or that the server can't tell: compare positions.
    """

    position: Position
    scopes: tuple[Scope, ...] = ()
    questions: tuple[Question, ...] = ()
