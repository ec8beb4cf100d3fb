"""``pileus audit``: the audit log of identity, newest first or last."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pileus.app import bootstrap
from pileus.app.local import IDENTITY, LocalApi
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault

PATH = f"{IDENTITY}/OS-PILEUS-AUDIT/events"


def show(
    wanted: dict[str, str | None], limit: int, simulated: bool, state: Path | None, as_json: bool
) -> None:
    """Print the newest ``limit`` lines that have the values wanted, the oldest of them first."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    query = {**{name: value for name, value in wanted.items() if value is not None}, "limit": str(limit)}
    try:
        with LocalApi(folder) as api:
            found: list[dict[str, Any]] = api.get(f"{PATH}?{urlencode(query)}")["events"]
    except Fault as fault:
        bootstrap.fail(fault.text)
    for one in reversed(found):
        sys.stdout.write(json.dumps(one) + "\n" if as_json else render(one) + "\n")


def render(one: dict[str, Any]) -> str:
    """Write one line: when, with which outcome, who did what to what, from where."""
    who = one["initiator_name"] or one["initiator_id"] or "unknown"
    what = one["event_type"].removeprefix("identity.")
    target = f" {one['target_id']}" if one["target_id"] and one["target_id"] != one["initiator_id"] else ""
    place = f" from {one['address']}" if one["address"] else ""
    reason = f" ({one['reason']})" if one["reason"] else ""
    return f"{one['event_time']} {one['outcome']:7} {who}: {what}{target}{place}{reason}"
