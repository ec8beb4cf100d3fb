"""Logging: structlog, one line an event, the request id on every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

# structlog.dev paints tracebacks with rich where it finds it: 45 ms and 4 MiB in every process
# for what no log file shows. So it does not find it.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _rich is None:
        del sys.modules["rich"]
    else:
        sys.modules["rich"] = _rich

SECRET_KEYS = frozenset({"password", "token", "secret", "adminPass", "authorization", "x-auth-token"})


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event.keys() & SECRET_KEYS:
        event[key] = "***"
    return event


def _escape_controls(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape in texts what is not printed but obeyed by terminals, or ends a line for some programs.

    Tracebacks keep their lines.
    """
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = "".join(
                one if one.isprintable() else one.encode("unicode_escape").decode() for one in value
            )
    return event


def setup(level: str = "info", as_json: bool = False) -> None:
    """Configure structlog and the standard library's logging to write to standard error.

    ``level`` is a name of the logging module in any case; ``as_json`` writes an object a line.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            structlog.processors.format_exc_info,
            _escape_controls,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=max(number, logging.WARNING), force=True)


def get(name: str) -> Any:
    """A logger that names its room."""
    return structlog.get_logger(room=name)
