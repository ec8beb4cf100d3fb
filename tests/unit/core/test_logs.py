"""Log files are turned over; a fault that lasts is two lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import structlog

from pileus.app.processes.supervisor import turn_log
from pileus.core import log
from pileus.core.errors import Forbidden, Unavailable
from pileus.core.recurring import Recurring, Trouble
from pileus.core.rotation import RotatingFile


def test_a_file_is_turned_over_when_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    file = RotatingFile(path, max_bytes=100, files=2)
    for number in range(50):
        file.write(b"%09d\n" % number)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["access.log", "access.log.1", "access.log.2"]
    kept = b"".join((tmp_path / name).read_bytes() for name in ("access.log.2", "access.log.1", "access.log"))
    assert kept.splitlines() == [b"%09d" % number for number in range(20, 50)]
    assert path.stat().st_mode & 0o777 == 0o640
    file.close()
    again = RotatingFile(path, max_bytes=100, files=0)
    for _ in range(11):
        again.write(b"x" * 9 + b"\n")
    assert path.read_bytes() == b"xxxxxxxxx\n"
    again.close()


def test_a_text_in_the_log_neither_ends_a_line_nor_commands_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        log.setup()
        log.get("web").warning("of\x1b[2Jit", path="/a\nb\x1b[31m\x85\u2028é", number=3)
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert r"of\x1b[2Jit" in said
    assert r"/a\nb\x1b[31m\x85\u2028é" in said
    assert "\x1b" not in said


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    (tmp_path / "access.log").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"access\.log"):
        RotatingFile(tmp_path / "access.log", max_bytes=100, files=1)


def test_the_supervisor_turns_a_log_whose_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for text in (b"one\n", b"two\n", b"three\n", b"four\n"):
        os.write(writer, text)
        if text != b"four\n":
            turn_log(str(path), 2)
    os.close(writer)
    assert path.read_bytes() == b"four\n"
    assert (tmp_path / "agent.log.1").read_bytes() == b"three\n"
    assert (tmp_path / "agent.log.2").read_bytes() == b"two\n"
    assert len(list(tmp_path.iterdir())) == 3


class Lines:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda text, **facts: self.said.append((level, text, facts))


def test_a_fault_that_lasts_is_a_line_when_it_begins_and_one_when_it_ends() -> None:
    lines = Lines()
    fault = Recurring(lines, "the server does not answer", server="s")
    fault.over()
    for _ in range(500):
        fault.happened("away", error="refused")
    fault.over()
    fault.over()
    (first, begun, facts), (second, over, count) = lines.said
    assert (first, begun, facts) == (
        "warning",
        "the server does not answer",
        {"server": "s", "error": "refused"},
    )
    assert (second, over, count["times"]) == ("info", "over: the server does not answer", 500)


class NotYours(Forbidden):
    message = "No."


class ServerUnreachable(Unavailable):
    message = "Away."


def test_another_fault_is_another_line_and_silence_of_the_server_the_clients_own() -> None:
    lines = Lines()
    trouble = Trouble(lines, "the report was not taken")
    for fault in (ServerUnreachable(), ServerUnreachable(), NotYours(), NotYours()):
        trouble.fault(fault)
    trouble.over()
    assert [level for level, _, _ in lines.said] == ["debug", "debug", "warning", "info"]
