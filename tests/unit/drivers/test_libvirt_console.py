"""Console logs: read in stretches, kept small under a writer's feet."""

from __future__ import annotations

from pathlib import Path

from pileus.drivers.libvirt.console import last_lines, read_console, trim_console


def test_the_end_of_a_log_and_what_follows(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"0123456789")
    tail = read_console(log, limit=4)
    assert (tail.text, tail.offset, tail.size) == (b"6789", 6, 10)
    with log.open("ab") as file:
        file.write(b"abc")
    assert read_console(log, limit=100, offset=tail.size).text == b"abc"
    assert read_console(log, limit=2, offset=3).text == b"34"


def test_a_log_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"new")
    assert read_console(log, limit=100, offset=5000).text == b"new"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_console(tmp_path / "none", limit=10).size == 0
    assert not trim_console(tmp_path / "none", limit=10)


def test_trimming_keeps_whole_last_lines_and_the_writer(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(100):
            writer.write(b"line %04d\n" % number)
        assert not trim_console(log, limit=1000)
        assert trim_console(log, limit=400)
        writer.write(b"after\n")
    text = log.read_bytes()
    assert text.startswith(b"line 00") and text.endswith(b"line 0099\nafter\n")
    assert 150 < len(text) <= 206


def test_last_lines() -> None:
    assert last_lines(b"a\nb\nc", 2) == b"b\nc"
    assert last_lines(b"a\n", 5) == b"a\n"
    assert last_lines(b"a\n", 0) == b""
