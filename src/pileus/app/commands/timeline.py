"""``pileus timeline ID``: what happened to a server or a port, when, where, and how long it took."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pileus.app import bootstrap
from pileus.app.local import COMPUTE, NETWORK, LocalApi
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.core.times import parse_time


def show(name: str, simulated: bool, state: Path | None) -> None:
    """Print the timeline of the server or port called ``name`` (name or id)."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    try:
        with LocalApi(folder) as api:
            steps = _steps(api, name)
    except Fault as fault:
        bootstrap.fail(fault.text)
    sys.stdout.write(render(steps))


def _steps(api: LocalApi, name: str) -> list[dict[str, Any]]:
    servers = api.get(f"{COMPUTE}/servers?all_tenants=1")["servers"]
    found = [f"{COMPUTE}/servers/{one['id']}/os-pileus-timeline" for one in servers if name in one.values()]
    if not found:
        ports = api.get(f"{NETWORK}/ports?fields=id&fields=name")["ports"]
        found = [f"{NETWORK}/ports/{one['id']}/timeline" for one in ports if name in one.values()]
    if len(found) > 1:
        bootstrap.fail(f"{len(found)} are called {name}: say which by its id")
    # A server that is gone is in no list, and its timeline is still there.
    path = found[0] if found else f"{COMPUTE}/servers/{name}/os-pileus-timeline"
    steps: list[dict[str, Any]] = api.get(path)["timeline"]
    return steps


def render(steps: Sequence[dict[str, Any]]) -> str:
    """Lines: seconds since the first step, its duration, what, where."""
    if not steps:
        return "Nothing has happened yet.\n"
    begin = min(parse_time(step["started_at"]) for step in steps)
    lines = ["     at     took  step"]
    for step in steps:
        at = (parse_time(step["started_at"]) - begin).total_seconds()
        took = f"{step['seconds']:7.3f}s" if step.get("seconds") is not None else " " * 8
        host = f" on {step['host']}" if step.get("host") else ""
        said = step.get("error") or step.get("detail")
        tail = f": {said}" if said else ""
        part = f" ({step['position']} of {step['of']})" if step.get("of") else ""
        lines.append(f"{at:6.2f}s {took}  {step['step']}{part}{host}{tail}")
    return "\n".join(lines) + "\n"
