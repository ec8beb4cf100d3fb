"""Waiting for a cloud to start says what is being waited for, and ends."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from pileus.app.processes import launch
from pileus.app.state import StateFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setattr(launch, "SAY_EVERY_S", 0.02)
    processes = [{"name": "server", "ready": True}, {"name": "agent", "ready": False}]
    folder = StateFolder(tmp_path)
    folder.status.write_text(json.dumps({"processes": processes}))
    return folder


def test_it_is_said_what_is_waited_for(folder: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    ready, tell = os.pipe()
    timer = threading.Timer(0.5, os.write, (tell, b"ready\n"))
    timer.start()
    assert launch._answer(ready, folder) == "ready"
    timer.join()
    os.close(tell)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"Waiting for agent; see {folder.logs / 'agent.log'} (0 s)"


def test_it_ends(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "READY_WITHIN_S", 0.1)
    ready, tell = os.pipe()
    assert launch._answer(ready, folder).startswith("not ready after 0 s, still trying: agent; see ")
    folder.status.unlink()
    assert "the supervisor" in launch._answer(ready, folder)
    os.close(ready)
    os.close(tell)
