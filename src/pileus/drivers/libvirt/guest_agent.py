"""Questions to QEMU's agent in a guest, and its answers. Pure.

Source: QEMU's documentation, "QEMU Guest Agent Protocol Reference".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from pileus.drivers.libvirt.hypervisor import GuestSaid, GuestSilent

KILLED = 128
"""Added to the number of the signal that ended a program, as shells do it."""


def start(command: Sequence[str], input: bytes) -> str:
    """Begin to run a program."""
    arguments: dict[str, Any] = {"path": command[0], "arg": list(command[1:]), "capture-output": True}
    if input:
        arguments["input-data"] = base64.b64encode(input).decode()
    return json.dumps({"execute": "guest-exec", "arguments": arguments})


def pid(answer: str) -> int:
    """The process that has begun."""
    found = _returned(answer).get("pid")
    if not isinstance(found, int):
        raise GuestSilent("run_in_guest", f"an answer that says nothing: {answer[:200]}")
    return found


def status(pid: int) -> str:
    """Ask whether it has ended."""
    return json.dumps({"execute": "guest-exec-status", "arguments": {"pid": pid}})


def said(answer: str) -> GuestSaid | None:
    """How it ended; None while it runs."""
    found = _returned(answer)
    if not found.get("exited"):
        return None
    code = found.get("exitcode")
    if not isinstance(code, int):
        code = KILLED + int(found.get("signal") or 0)
    return GuestSaid(code, _data(found, "out-data") + _data(found, "err-data"))


def _returned(answer: str) -> dict[str, Any]:
    """The guest may answer anything: it is another's."""
    try:
        found = json.loads(answer)["return"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise GuestSilent("run_in_guest", f"an answer that says nothing: {answer[:200]}")
    return found


def _data(found: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(found.get(key) or "")
    except (ValueError, TypeError):
        return b""
