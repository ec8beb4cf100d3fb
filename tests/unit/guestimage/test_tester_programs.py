"""Programs that the guest for scenario tests has besides: ``nc``, ``sudo`` and the like, run by a shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.unit.guestimage.test_guest_scripts import GUEST

PROGRAMS = GUEST / "tester/usr/bin"
RECORDER = """#!/bin/sh
for word in "$@"; do printf '<%s>' "$word"; done >>"$0.calls"
echo >>"$0.calls"
[ "$(wc -l <"$0.calls")" -lt 3 ] || kill "$PPID"
"""


@pytest.fixture
def netcat(tmp_path: Path) -> Path:
    """A netcat that notes how it is called, and ends its caller at the third time."""
    file = tmp_path / "netcat"
    file.write_text(RECORDER)
    file.chmod(0o755)
    return file


def calls(netcat: Path, *arguments: str) -> list[str]:
    script = netcat.with_name("nc")
    script.write_text((PROGRAMS / "nc").read_text().replace("/usr/lib/tester/nc", str(netcat)))
    subprocess.run(["sh", script, *arguments], timeout=10, check=False)
    return netcat.with_suffix(".calls").read_text().splitlines()


def test_netcat_goes_on_and_answers_with_a_program_and_its_arguments(netcat: Path) -> None:
    told = calls(netcat, "-u", "-p", "7001", "-lk", "-e", "echo", "it's", "here")
    (command,) = {*told}
    assert len(told) == 3, "it is called again after each connection"
    start, end = "<-l><-u><-p><7001><-c><", ">"
    assert command.startswith(start) and command.endswith(end)
    spoken = subprocess.run(
        ["sh", "-c", command.removeprefix(start).removesuffix(end)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert spoken.stdout == "it's here\n"


def test_netcat_ends_after_one_connection_where_nobody_said_otherwise(netcat: Path) -> None:
    assert calls(netcat, "-lp", "22") == ["<-l><-p><22>"]


def test_netcat_as_a_client_is_called_as_it_was(netcat: Path) -> None:
    assert calls(netcat, "-w", "1", "-u", "10.0.0.5", "80") == ["<-w><1><-u><10.0.0.5><80>"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets through")
@pytest.mark.parametrize("flags", [[], ["-n"], ["-u", "root"], ["-E", "--"]])
def test_sudo_runs_the_command_for_root(flags: list[str]) -> None:
    command = ["sh", PROGRAMS / "sudo", *flags, "A=b", "sh", "-c", 'echo "$A $1"', "x", "two words"]
    if "--" in flags:  # what follows is the command
        command.remove("A=b")
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stdout == (" two words\n" if "--" in flags else "b two words\n")


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        (["-s"], ["-q", "-O", "-", "http://[fe80::a9fe:a9fe%eth0]/x"]),
        (
            ["-X", "POST", "-d", "a b"],
            ["-q", "-O", "-", "--post-data", "a b", "http://[fe80::a9fe:a9fe%eth0]/x"],
        ),
    ],
)
def test_curl_fetches_one_url_and_knows_zones(flags: list[str], asked: list[str], tmp_path: Path) -> None:
    fetched = tmp_path / "wget"
    fetched.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    fetched.chmod(0o755)
    command = ["sh", PROGRAMS / "curl", *flags, "http://[fe80::a9fe:a9fe%25eth0]/x"]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=path)
    assert done.stdout.splitlines() == asked


@pytest.mark.parametrize(
    ("arguments", "program", "asked"),
    [
        (["-L", "config-2", "-o", "device"], "findfs", ["LABEL=config-2"]),
        (["-o", "device", "-L", "a b"], "findfs", ["LABEL=a b"]),
        (["/dev/vda1"], "busybox", ["blkid", "/dev/vda1"]),
        ([], "busybox", ["blkid"]),
    ],
)
def test_blkid_finds_a_label(arguments: list[str], program: str, asked: list[str], tmp_path: Path) -> None:
    called = tmp_path / program
    called.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    called.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", PROGRAMS / "blkid", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=path)
    assert done.stdout.splitlines() == asked
