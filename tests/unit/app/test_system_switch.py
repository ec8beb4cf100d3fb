"""The system's Open vSwitch is started where systemd has it, and stopped if it was us and nobody uses it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pileus.app.nodes import switch, system_switch
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.drivers.ovsdb.daemons import SwitchDaemons

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {told}
exit {status}
"""


class Systemd:
    """A machine that systemd runs; ``systemctl`` ends with ``status`` and its calls are ``told``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._told = folder / "told"
        self._program = folder / "bin" / "systemctl"
        self._program.parent.mkdir()
        self.answer(0)
        self.marker = folder / "marker"
        monkeypatch.setenv("PATH", str(self._program.parent), prepend=":")
        monkeypatch.setattr(system_switch, "SYSTEMD", folder)
        monkeypatch.setattr(system_switch, "_in_the_systems_network", lambda: True)

    def answer(self, status: int) -> None:
        self._program.write_text(SYSTEMCTL.format(told=self._told, status=status))
        self._program.chmod(0o755)

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []

    def start(self) -> bool:
        return asyncio.run(system_switch.start(self.marker))

    def stop(self, *bridges: str) -> None:
        asyncio.run(system_switch.stop(self.marker, bridges))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(tmp_path, monkeypatch)


def test_it_is_started_and_stopped_again(systemd: Systemd) -> None:
    assert systemd.start()
    systemd.stop()
    assert systemd.told == ["start openvswitch-switch.service", "stop openvswitch-switch.service"]
    systemd.stop()
    assert len(systemd.told) == 2, "once"


def test_somebody_elses_bridge_keeps_it_running(systemd: Systemd) -> None:
    assert systemd.start()
    systemd.stop("theirs")
    assert systemd.told == ["start openvswitch-switch.service"]
    assert not systemd.marker.exists()


def test_one_that_was_not_started_by_us_is_not_stopped(systemd: Systemd) -> None:
    systemd.stop()
    assert systemd.told == []


def test_after_a_reboot_it_is_the_systems(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    assert systemd.start()
    monkeypatch.setattr(system_switch, "boot_id", lambda: "another boot")
    systemd.stop()
    assert systemd.told == ["start openvswitch-switch.service"]


@pytest.mark.parametrize("status", [1, 5])
def test_without_a_unit_or_with_a_masked_one_it_is_not_used(systemd: Systemd, status: int) -> None:
    systemd.answer(status)
    assert not systemd.start()
    assert not systemd.marker.exists()


def test_without_systemd_nothing_is_asked(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_switch, "SYSTEMD", tmp_path / "none")
    assert not systemd.start()
    assert systemd.told == []


def test_in_another_network_namespace_the_systems_is_not_ours(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_switch, "_in_the_systems_network", lambda: False)
    assert not systemd.start()
    assert systemd.told == []


@pytest.mark.parametrize("starts", [True, False])
def test_a_node_takes_the_systems_before_one_of_its_own(
    starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(marker: Path) -> bool:
        return starts

    async def start_own(daemons: SwitchDaemons) -> None: ...

    monkeypatch.setattr(switch, "SYSTEM_RUN", tmp_path / "none")
    monkeypatch.setattr(system_switch, "start", start)
    monkeypatch.setattr(SwitchDaemons, "start", start_own)
    monkeypatch.setattr(switch, "missing_programs", list)
    folder = StateFolder(tmp_path / "cloud")
    opened = asyncio.run(switch.RealSwitch.open(folder, Settings()))
    wanted = tmp_path / "none" if starts else folder.agent / "ovs"
    assert opened.run_dir == wanted
