"""``pileus down --purge``: the agent program that takes everything away is that of this version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pileus.app.commands import up
from pileus.app.processes import agent
from pileus.app.state import StateFolder


def test_a_cloud_that_an_earlier_version_started_is_purged_by_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StateFolder(tmp_path / "cloud")
    folder.keys.mkdir(parents=True)
    process = {
        "argv": ["/old/python", "-m", "pileus.gone.agent", str(folder.root), "/etc/pileus.toml"],
        "environment": {"PILEUS_AGENT_HOST": "here"},
    }
    folder.plan.write_text(
        json.dumps({"config": "/etc/pileus.toml", "options": {}, "processes": [{}, process]})
    )
    ran: list[tuple[list[str], dict[str, str]]] = []

    def run(argv: list[str], *, env: dict[str, str], check: bool) -> Any:
        ran.append((argv, env))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(up.subprocess, "run", run)
    up.take_down(False, folder.root, purge=True)
    ((argv, environment),) = ran
    assert argv == [sys.executable, "-m", agent.__name__, str(folder.root), "/etc/pileus.toml", "purge"]
    assert environment["PILEUS_AGENT_HOST"] == "here"
    assert not folder.root.exists()
