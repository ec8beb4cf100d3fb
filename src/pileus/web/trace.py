"""The trace of a request: who asked for what, what came of it, and what it cost.

No secret comes here. Of a query's values those that look like secrets are left out, and so are reasons that
might quote one, and whatever looks like a token. All of it takes time linear in what a client sent: it is
done for who has no token, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_plus

import msgspec

from pileus.core.context import Context
from pileus.core.errors import Fault

GONE = 499
"""The status of a request whose client went away before the answer."""
_LONGEST = 512
_SECRET = re.compile(
    r"pass|secret|token|ticket|sign|credential|key|blob|user_data|userdata|auth|metadata|contents",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"gAAAAA[A-Za-z0-9_=-]{20,}")
"""How each token begins: with the version and the first bytes of a time, in Base64."""
_TOKEN_IN_PATH = re.compile(r"(?<=/os-console-auth-tokens/)[^/]+")
"""Of a console: the one path that names a token."""
_PAIRS_END = re.compile(r"([&;])")
_READ = 4096
"""Characters of a path or a query that are looked at; fewer are written."""
_WRITTEN = 2048


class Trace(msgspec.Struct):
    """One request; filled in while it is answered. ``statements``: SQL, of all its units of work."""

    request_id: str
    method: str
    path: str
    began: float = msgspec.field(default_factory=time.perf_counter)
    global_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    client: str = ""
    status: int = GONE
    bytes: int = 0
    statements: int = 0
    milliseconds: float = 0.0
    reason: str | None = None

    def known(self, context: Context) -> None:
        """Who asks."""
        self.user_id, self.project_id = context.user_id, context.project_id

    def refused(self, fault: Fault) -> None:
        """Why: the fault's code, and its text unless that might quote a secret."""
        text = fault.text
        if text != type(fault).message and (_SECRET.search(text) or _SECRET.search(self.path)):
            text = ""
        self.reason = f"{fault.code}: {_TOKEN.sub('***', text)[:_LONGEST]}" if text else fault.code

    def ended(self) -> None:
        self.milliseconds = round((time.perf_counter() - self.began) * 1000, 2)


Written = Callable[[Trace], None]
"""Takes a request that has ended."""


def trace_of(scope: Any, request_id: str) -> Trace:
    """Make the trace of a request before it is looked at."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else scope["path"]
    path = _TOKEN_IN_PATH.sub("***", _TOKEN.sub("***", path.partition("?")[0][:_READ]))
    path = quote(path, safe="/%:@!$&'()*+,;=~")[:_WRITTEN]
    query = (scope.get("query_string") or b"")[:_READ].decode("latin-1")
    if query:
        pairs = "".join(map(_without_secret, _PAIRS_END.split(query)))
        path += "?" + quote(pairs, safe="/%:@!$'()*+,;=~&?")[:_WRITTEN]
    client = scope.get("client")
    return Trace(request_id, scope["method"], path, client=client[0] if client else "")


def _without_secret(pair: str) -> str:
    """A pair of a query as it may be written; a value may be a query of its own."""
    name, equals, value = pair.partition("=")
    plain = unquote_plus(value)
    nested = "=" in plain and _SECRET.search(plain)
    if equals and (nested or len(value) > _LONGEST or _SECRET.search(unquote_plus(name))):
        return f"{name}=***"
    return _TOKEN.sub("***", pair)
