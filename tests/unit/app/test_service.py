"""``pileus service``: the unit, and what is asked of systemd; its stand-in notes what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app.commands import service
from pileus.app.state import StateFolder

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {told}
case "$*" in *{fails}*) echo "no such thing" >&2; exit 5;; esac
"""


class Systemd:
    """A machine that systemd runs, for as long as nobody looks closely."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units = folder / "units"
        self.units.mkdir()
        self._told = folder / "told"
        self._program = folder / "bin" / "systemctl"
        self._program.parent.mkdir()
        self.fail_at("nothing at all")
        monkeypatch.setenv("PATH", str(self._program.parent), prepend=":")
        monkeypatch.setattr(service, "FOLDER", self.units)
        monkeypatch.setattr(service, "RUNNING", self.units)
        monkeypatch.setattr(service.os, "geteuid", lambda: 0)

    def fail_at(self, what: str) -> None:
        self._program.write_text(SYSTEMCTL.format(told=self._told, fails=what.replace(" ", "\\ ")))
        self._program.chmod(0o755)

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(tmp_path, monkeypatch)


def install(state: Path, name: str = "pileus", start: bool = True) -> None:
    service.install(False, state, "127.0.0.1:9000", None, name=name, start=start)


def test_a_service_is_installed_started_stopped_and_removed(systemd: Systemd, tmp_path: Path) -> None:
    install(tmp_path / "cloud")
    unit = (systemd.units / "pileus.service").read_text()
    assert f'"up" "--state" "{tmp_path / "cloud"}" "--listen" "127.0.0.1:9000"\n' in unit
    assert "Type=notify\n" in unit and "KillMode=process\n" in unit
    assert systemd.told == ["daemon-reload", "enable --quiet pileus.service", "start pileus.service"]
    service.control("stop", "pileus")
    service.uninstall("pileus")
    assert not list(systemd.units.iterdir())
    assert systemd.told[3:] == [
        "stop pileus.service",
        "disable --quiet --now pileus.service",
        "daemon-reload",
    ]


def test_what_is_in_a_path_means_nothing_to_systemd() -> None:
    unit = service.unit_text(["/a b/python", 'x"y', "100%h", "$HOME", "back\\slash"], Path("/var/50% off"))
    assert 'ExecStart="/a b/python" "x\\"y" "100%%h" "$$HOME" "back\\\\slash"\n' in unit
    assert 'RequiresMountsFor="/var/50%% off"\n' in unit
    with pytest.raises(SystemExit):
        service.unit_text(["a\nExecStartPre=/bin/evil"], Path("/var"))


@pytest.mark.parametrize("name", ["", "../x", "a.b", "a b", "ü", "x\n"])
def test_bad_names_are_refused(systemd: Systemd, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit):
        install(tmp_path, name)
    assert systemd.told == []


def test_units_of_others_are_left_alone(systemd: Systemd, tmp_path: Path) -> None:
    theirs = systemd.units / "pileus.service"
    theirs.write_text("[Unit]\n")
    for attempt in (lambda: install(tmp_path), lambda: service.uninstall("pileus")):
        with pytest.raises(SystemExit):
            attempt()
    assert theirs.read_text() == "[Unit]\n"
    assert systemd.told == []


def test_what_systemd_says_is_handed_on(
    systemd: Systemd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.fail_at("start pileus")
    with pytest.raises(SystemExit):
        install(tmp_path)
    assert "no such thing" in capsys.readouterr().err


def test_without_systemd_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "RUNNING", tmp_path / "nothing")
    with pytest.raises(SystemExit):
        install(tmp_path)
    assert "systemd does not run this machine" in capsys.readouterr().err


def test_the_unit_goes_with_its_cloud_and_with_no_other(systemd: Systemd, tmp_path: Path) -> None:
    install(tmp_path / "a", "one", start=False)
    install(tmp_path / "ab", "two", start=False)
    (systemd.units / "theirs.service").write_text(f'RequiresMountsFor="{tmp_path / "a"}"\n')
    service.remove_unit_of(StateFolder(tmp_path / "a"))
    assert sorted(file.name for file in systemd.units.iterdir()) == ["theirs.service", "two.service"]
