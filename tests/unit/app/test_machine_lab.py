"""How a machine made of Debian packages is told the way to the registries, and what is copied into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app.lab.machine.disk import Disk
from pileus.app.lab.machine.emulator import Machine, Size
from pileus.app.lab.machine.registries import (
    CannotMakeMachine,
    Registries,
    certificates,
    from_inside,
    mirror_among,
    pip_indexes,
)

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_the_mirror_is_the_first_of_debians_main_archive() -> None:
    targets = (
        "https://example.org/tools/ tools main\n"
        "http://mirror.example.org/debian/ bookworm non-free\n"
        "http://mirror.example.org/debian/ bookworm main\n"
        "http://other.example.org/debian/ bookworm main\n"
    )
    assert mirror_among(targets) == "http://mirror.example.org/debian"


@pytest.mark.parametrize("targets", ["", "https://example.org/tools/ tools main\n", "\n"])
def test_without_debians_archive_there_is_no_machine(targets: str) -> None:
    with pytest.raises(CannotMakeMachine, match=r"sources\.list"):
        mirror_among(targets)


@pytest.mark.parametrize(
    ("here", "inside"),
    [
        ("http://localhost:3128", "http://10.0.2.2:3128"),
        ("http://127.0.0.1/simple", "http://10.0.2.2/simple"),
        ("http://[::1]:80/", "http://10.0.2.2:80/"),
        ("http://localhost.example.org/", "http://localhost.example.org/"),
        ("https://registry.example.org/simple", "https://registry.example.org/simple"),
    ],
)
def test_loopback_has_another_address_inside(here: str, inside: str) -> None:
    assert from_inside(here) == inside


def test_pips_indexes_go_along_and_its_folders_do_not() -> None:
    listed = (
        "global.cert='/etc/ssl/certs/ca-certificates.crt'\n"
        "global.extra-index-url='file:///opt/simple https://more.example.org/simple'\n"
        ":env:.index-url='http://localhost:8080/simple'\n"
        "global.find-links='/opt/wheels'\n"
    )
    registries = Registries("", (), tuple(pip_indexes(listed)), (), ())
    assert registries.pip_lines(inside=True) == [
        "extra-index-url = https://more.example.org/simple",
        "index-url = http://10.0.2.2:8080/simple",
    ]
    assert registries.pip_lines(inside=False)[1] == "index-url = http://localhost:8080/simple"


def test_proxies_of_apt_are_said_as_they_are_reached() -> None:
    apt = (("Acquire::http::Proxy", "http://127.0.0.1:3142"),)
    registries = Registries("http://mirror.example.org", apt, (), (), ())
    assert registries.apt_lines(inside=False) == ['Acquire::http::Proxy "http://127.0.0.1:3142";']
    assert registries.apt_lines(inside=True) == ['Acquire::http::Proxy "http://10.0.2.2:3142";']


def test_authorities_are_read_one_by_one(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("# one\n" + PEM.format("AAAA") + "# two\n" + PEM.format("BBBB"))
    assert certificates(bundle) == [PEM.format("AAAA"), PEM.format("BBBB")]
    assert certificates(tmp_path / "none.crt") == []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    disk = Disk(tmp_path / "disk")
    disk.folder.mkdir()
    (disk.folder / "host_key.pub").write_text("ssh-ed25519 AAAA host\n")
    return Machine(
        disk, tmp_path, tmp_path / "overlay.qcow2", Size(memory_mib=2048), tmp_path / "wheels.ext4"
    )


def test_a_machine_stays_within_its_bounds_and_ends_with_who_started_it(machine: Machine) -> None:
    command = machine._command()
    assert command[command.index("--pdeathsig") + 1] == "KILL"
    assert command[command.index("-m") + 1] == "2048"
    assert command[command.index("-accel") + 1].startswith("tcg,")
    (network,) = (part for part in command if part.startswith("user,"))
    assert "hostfwd=tcp:127.0.0.1:" in network, "reached over loopback only"
    assert not any("tap" in part or "bridge" in part for part in command), "this machine's links stay"
    assert f"file={machine._wheels},format=raw,if=virtio,readonly=on" in command


def test_its_host_key_is_known_before_the_first_login(machine: Machine) -> None:
    assert (machine.folder / "known_hosts").read_text() == "machine ssh-ed25519 AAAA host\n"
    assert "StrictHostKeyChecking=yes" in machine.ssh()
    assert not machine.is_on
    assert machine.console() == ""
