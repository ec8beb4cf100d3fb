"""``pileus agents``: the agents of all hosts, what each serves, and how far each is behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pileus.app import bootstrap
from pileus.app.local import NETWORK, LocalApi
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault

_SERVED = (
    *("networks", "subnets", "ports", "routers", "interfaces", "floating_ips", "devices", "servers", "doors"),
    "failed",
)
"""Counts of an agent's configurations, in the order in which they are shown."""
_HEAD = ("host", "agent", "state", "serves", "behind", "last pass", "took", "passes")


def show(host: str | None, simulated: bool, state: Path | None, as_json: bool) -> None:
    """Print the agents, or those of ``host``."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    try:
        with LocalApi(folder) as api:
            found = api.get(f"{NETWORK}/agents")["agents"]
    except Fault as fault:
        bootstrap.fail(fault.text)
    some = sorted(
        (one for one in found if host in (None, one["host"])),
        key=lambda one: (one["host"], one["agent_type"]),
    )
    if as_json:
        sys.stdout.write(json.dumps([describe(one) for one in some]) + "\n")
        return
    if not some:
        bootstrap.fail("no agent has reported" + (f" from {host}" if host else ""))
    sys.stdout.write(render(some))


def describe(agent: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one agent. ``behind`` and what follows are of its last report; None: not said."""
    said = agent["configurations"]
    passes = said.get("reconciliation") or {}
    state = "up" if agent["alive"] else "down"
    return {
        "host": agent["host"],
        "agent": agent["agent_type"],
        "state": state if agent["admin_state_up"] else f"{state}, disabled",
        "serves": {name: said[name] for name in _SERVED if isinstance(said.get(name), int)},
        "behind": passes.get("behind"),
        "last pass": passes.get("last_pass_at"),
        "took": passes.get("last_pass_s"),
        "passes": passes.get("passes"),
        "error": passes.get("error"),
    }


def render(agents: Sequence[Mapping[str, Any]]) -> str:
    """A table with a line for each agent, and one below it where its passes fail."""
    rows: list[tuple[str, ...]] = [_HEAD]
    errors: list[str | None] = [None]
    for agent in agents:
        one = describe(agent)
        serves = ", ".join(
            f"{count} {name.replace('_', ' ')}" for name, count in one["serves"].items() if count
        )
        took = f"{one['took']:.3f}s" if isinstance(one["took"], float) else "-"
        middle = (str(_or_dash(one[name])) for name in ("behind", "last pass"))
        rows.append(
            (
                one["host"],
                one["agent"],
                one["state"],
                serves or "-",
                *middle,
                took,
                str(_or_dash(one["passes"])),
            )
        )
        errors.append(one["error"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for row, error in zip(rows, errors, strict=True):
        lines.append("  ".join(map(str.ljust, row, widths)).rstrip())
        if error:
            lines.append(f"    {error}")
    return "\n".join(lines) + "\n"


def _or_dash(value: Any) -> Any:
    return "-" if value is None else value
