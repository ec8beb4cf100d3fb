"""``pileus demo --clean --all`` takes what Pileus brought, and nothing that somebody else has or needs."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from pileus.app import privileges
from pileus.app.commands import leftovers
from pileus.app.commands.leftovers import Leftovers, StillUsed


class Machine:
    """Programs that note what they are told; packages ``a`` and ``b`` of ours, ``c`` gone again."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told_file = folder / "told"
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.domains = folder / "domains"
        self.domains.mkdir()
        self.socket = folder / "db.sock"
        self.brought = folder / "brought"
        self.brought.mkdir()
        (self.brought / "packages").write_text("b:amd64\na\nc\na\n")
        self.cache = folder / "cache" / "pileus"
        self.cache.mkdir(parents=True)
        (self.cache / "image").write_bytes(bytes(3 << 20))
        monkeypatch.setenv("PATH", str(self._bin), prepend=":")
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setattr(leftovers, "BROUGHT", self.brought)
        monkeypatch.setattr(leftovers, "DOMAINS", self.domains)
        monkeypatch.setattr(leftovers, "SWITCH_SOCKET", self.socket)
        self.comment = privileges.COMMENT
        monkeypatch.setattr(leftovers.pwd, "getpwnam", self._user)
        self.program("dpkg-query", "printf 'a installed\\nb:amd64 installed\\nc not-installed\\n'")
        self.program("userdel", "")
        self.program("ovs-vsctl", "")
        self.program("apt-get", "")

    def _user(self, name: str) -> pwd.struct_passwd:
        if not self.comment:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", 999, 999, self.comment, "/nonexistent", "/usr/sbin/nologin"))

    def program(self, name: str, does: str) -> None:
        file = self._bin / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.told_file}\n{does}\n')
        file.chmod(0o755)

    def told(self, name: str) -> list[str]:
        lines = self.told_file.read_text().splitlines() if self.told_file.exists() else []
        return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_what_is_left_is_told_in_words(machine: Machine) -> None:
    found = leftovers.find("pileus")
    assert found == Leftovers(["a", "b:amd64"], "pileus", machine.cache)
    assert found.lines() == [
        "2 Debian packages (a, b:amd64)",
        "the user pileus",
        f"images in {machine.cache} (3 MiB)",
    ]


@pytest.mark.parametrize("comment", ["", "An administrator's own"])
def test_a_user_that_pileus_did_not_make_is_left_alone(machine: Machine, comment: str) -> None:
    machine.comment = comment
    assert leftovers.find("pileus").user == ""


def test_all_of_it_goes(machine: Machine) -> None:
    machine.program("apt-get", "echo 'Purg a [1.0]'; echo 'Purg b [1.0]'")
    leftovers.remove(leftovers.find("pileus"))
    assert machine.told("userdel") == ["pileus"]
    assert machine.told("apt-get")[-1] == "-q -y purge a b:amd64"
    assert not machine.cache.exists() and not machine.brought.exists()


def test_packages_that_others_use_stay(machine: Machine) -> None:
    machine.program("apt-get", "echo 'Purg a [1.0]'; echo 'Purg theirs [1.0]'")
    with pytest.raises(StillUsed, match=r"others need them \(theirs\)"):
        leftovers.remove(leftovers.find("pileus"))
    (machine.domains / "theirs.xml").touch()
    with pytest.raises(StillUsed, match="machines that are not ours"):
        leftovers.remove(Leftovers(["a"]))
    (machine.domains / "theirs.xml").unlink()
    machine.socket.touch()
    machine.program("ovs-vsctl", "echo br-theirs")
    with pytest.raises(StillUsed, match="br-theirs"):
        leftovers.remove(Leftovers(["a"]))
    assert not [line for line in machine.told("apt-get") if "-y" in line]
    assert machine.brought.exists(), "so that it can be tried again"


def test_a_machine_to_which_nothing_was_brought(machine: Machine) -> None:
    (machine.brought / "packages").unlink()
    machine.comment = ""
    (machine.cache / "image").unlink()
    machine.cache.rmdir()
    assert leftovers.find("pileus").lines() == []
    leftovers.remove(leftovers.find("pileus"))
    assert machine.told("apt-get") == []
