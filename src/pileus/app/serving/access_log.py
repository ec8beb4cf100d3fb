"""The server's access log: a line for each request of the API, in text or JSON, in a file that rotates.

Lines are ASCII: some programs end lines at other characters too, and terminals obey what they are shown.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

from pileus.app.sections import LogSection
from pileus.core import log
from pileus.core.recurring import Recurring
from pileus.core.rotation import RotatingFile
from pileus.web.trace import Trace

_FIELDS = (
    "request_id", "global_id", "client", "user_id", "project_id", "method", "path", "status", "bytes",
    "milliseconds", "statements", "reason",
)  # fmt: skip


def access_log(path: Path, settings: LogSection) -> Callable[[Trace], None]:
    """Make the writer of ended requests to ``path``. A disk that takes no line costs the line, not the
    request."""
    file = RotatingFile(path, max_bytes=settings.max_mib << 20, files=settings.files)
    trouble = Recurring(log.get("server"), "the access log can't be written", path=str(path))
    line = _json if settings.json else _text

    def write(trace: Trace) -> None:
        try:
            file.write(line(trace))
        except OSError as error:
            trouble.happened(str(error), error=str(error))
        else:
            trouble.over()

    return write


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(trace: Trace) -> bytes:
    values = {"at": _now(), **{name: getattr(trace, name) for name in _FIELDS}}
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _text(trace: Trace) -> bytes:
    """``at client user project method path status …``; what is unknown is ``-``; no value has a newline."""
    reason = "" if trace.reason is None else f" {json.dumps(trace.reason)}"
    return (
        f"{_now()} {trace.client or '-'} {trace.user_id or '-'} {trace.project_id or '-'} "
        f"{trace.method} {trace.path} {trace.status} {trace.bytes}B {trace.milliseconds}ms "
        f"{trace.statements}sql {trace.request_id} {trace.global_id or '-'}{reason}\n"
    ).encode(errors="backslashreplace")
