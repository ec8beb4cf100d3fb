"""``pileus timeline ID``: what happened to a server, when, where, and how long it took."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pileus.app import bootstrap
from pileus.app.local import COMPUTE, LocalApi
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault


def show(server: str, simulated: bool, state: Path | None) -> None:
    """Print the timeline of ``server`` (name or id)."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    try:
        with LocalApi(folder) as api:
            listed = api.get(f"{COMPUTE}/servers?all_tenants=1")["servers"]
            found = [one["id"] for one in listed if server in (one["id"], one["name"])] or [server]
            if len(found) > 1:
                bootstrap.fail(f"{len(found)} servers are called {server}: say which by its id")
            steps = api.get(f"{COMPUTE}/servers/{found[0]}/os-pileus-timeline")["timeline"]
    except Fault as fault:
        bootstrap.fail(fault.text)
    sys.stdout.write(render(steps))


def render(steps: Sequence[dict[str, Any]]) -> str:
    """Lines: seconds since the first step, its duration, what, where."""
    if not steps:
        return "Nothing has happened yet.\n"
    begin = min(dt.datetime.fromisoformat(step["started_at"]) for step in steps)
    lines = ["     at     took  step"]
    for step in steps:
        at = (dt.datetime.fromisoformat(step["started_at"]) - begin).total_seconds()
        took = f"{step['seconds']:7.3f}s" if step.get("seconds") is not None else " " * 8
        host = f" on {step['host']}" if step.get("host") else ""
        said = step.get("error") or step.get("detail")
        tail = f": {said}" if said else ""
        lines.append(f"{at:6.2f}s {took}  {step['step']}{host}{tail}")
    return "\n".join(lines) + "\n"
