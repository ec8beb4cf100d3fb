"""A declared network becomes the files of three systems, and each system's own reader takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.uplinks.declared import EVERYTHING
from typer.testing import CliRunner

from pileus.app.main import app
from pileus.drivers.interfaces import ifupdown, netplan, networkd

SETTINGS = """
[[host_network.bridges]]
name = "br-ex"
method = "static"
addresses = ["192.0.2.7/24"]
gateway = "192.0.2.254"

[[host_network.bonds]]
name = "bond0"
bridge = "br-ex"
members = ["eth1", "eth2"]
mode = "balance-slb"
"""


def test_the_files_are_as_they_were(golden: Callable[[str, str], None]) -> None:
    golden("interfaces/interfaces", ifupdown.render(EVERYTHING))
    golden("interfaces/netplan.yaml", netplan.render(EVERYTHING))
    golden("interfaces/networkd", networkd.one_text(networkd.render(EVERYTHING)))


@pytest.mark.skipif(shutil.which("ifquery") is None, reason="ifupdown is not installed")
def test_ifupdown_reads_its_file(tmp_path: Path) -> None:
    file = tmp_path / "interfaces"
    file.write_text(ifupdown.render(EVERYTHING))

    def ifquery(*arguments: str) -> list[str]:
        done = subprocess.run(
            ["ifquery", "-i", str(file), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    started = ifquery("--list")
    assert set(started) >= {"lo", "eth0", "br-ex", "br-lan", "brvlan10", "eth4.10", "eth4.20"}
    assert not {"bond0", "eth3", "storage"} & set(started)  # their bridges bring them up
    assert set(ifquery("--list", "--allow", "br-ex")) == {"eth3", "bond0", "mgmt"}
    assert set(ifquery("--list", "--allow", "br-lan")) == {"bond1", "bond2", "storage"}
    eth0 = ifquery("eth0")
    assert {"address: 192.0.2.7", "netmask: 255.255.255.0", "gateway: 192.0.2.254"} <= set(eth0)
    assert {"address: 2001:db8::7", "netmask: 64", "gateway: 2001:db8::1"} <= set(eth0)
    bond = ifquery("bond0")
    assert "ovs_type: OVSBond" in bond and "ovs_bonds: eth1 eth2" in bond
    assert "bridge_ports: eth4.10" in ifquery("brvlan10")
    assert "vlan-raw-device: eth4" in ifquery("eth4.10")


@pytest.mark.skipif(shutil.which("netplan") is None, reason="netplan is not installed")
@pytest.mark.skipif(shutil.which("ovs-vsctl") is None, reason="netplan wants Open vSwitch for it")
def test_netplan_makes_units_of_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "netplan"
    folder.mkdir(parents=True)
    file = folder / "60-pileus.yaml"
    file.touch(mode=0o600)
    file.write_text(netplan.render(EVERYTHING))
    done = subprocess.run(
        ["netplan", "generate", "--root-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    run = tmp_path / "run" / "systemd"
    units = {unit.name: unit.read_text() for unit in (run / "system").glob("*.service")}
    made = re.search(r"add-bond br-ex bond0 (.*)", units["netplan-ovs-bond0.service"])
    assert made and sorted(made[1].split()) == ["eth1", "eth2"]
    assert "set Port bond0 lacp=active" in units["netplan-ovs-bond0.service"]
    assert "set Port bond0 external-ids:pileus-owner=host" in units["netplan-ovs-bond0.service"]
    assert "set Bridge br-ex external-ids:pileus-owner=host" in units["netplan-ovs-br-ex.service"]
    assert "add-br storage br-lan 300" in units["netplan-ovs-storage.service"]
    networks = {file.name: file.read_text() for file in (run / "network").iterdir()}
    assert "Address=198.51.100.7/24" in networks["10-netplan-storage.network"]
    assert "DHCP=ipv4" in networks["10-netplan-br-ex.network"]
    assert "Kind=bridge" in networks["10-netplan-brvlan10.netdev"]
    assert "Id=10" in networks["10-netplan-eth4.10.netdev"]


def test_the_command_prints_and_writes_them(tmp_path: Path) -> None:
    settings = tmp_path / "pileus.toml"
    settings.write_text(SETTINGS)
    runner = CliRunner()
    base = ["node", "network", "--config", str(settings), "--state", str(tmp_path / "state")]
    printed = runner.invoke(app, base)
    assert printed.exit_code == 0
    assert "    ovs_options bond_mode=balance-slb lacp=off\n" in printed.output
    netplan_file, folder = tmp_path / "60-pileus.yaml", tmp_path / "network"
    assert runner.invoke(app, [*base, "--format", "netplan", "--output", str(netplan_file)]).exit_code == 0
    assert netplan_file.stat().st_mode & 0o777 == 0o600
    assert 'addresses: ["192.0.2.7/24"]' in netplan_file.read_text()
    assert runner.invoke(app, [*base, "--format", "networkd", "--output", str(folder)]).exit_code == 0
    assert sorted(file.name for file in folder.iterdir()) == [
        "30-br-ex.network",
        "30-eth1.network",
        "30-eth2.network",
    ]
    shown = runner.invoke(app, ["config", "show", "--config", str(settings)])
    assert '"members":["eth1","eth2"]' in shown.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('mode = "balance-slb"', 'mode = "balance-tcp"'), "bond bond0: balance-tcp needs lacp"),
        (('bridge = "br-ex"', 'bridge = "br-in"'), "bond bond0: there is no bridge of Open vSwitch br-in"),
        (('["eth1", "eth2"]', '["eth1"]'), "bond bond0 needs at least two members"),
        (("192.0.2.7/24", "192.0.2.7"), "br-ex: 192.0.2.7 is no address with a prefix length"),
        (("192.0.2.7/24", "2001:db8::7/64"), "br-ex: its IPv4 is static and has no address"),
        (('"static"', '"dhcp"'), "br-ex: 192.0.2.7/24 needs a static IPv4, not dhcp"),
        (("192.0.2.254", "2001:db8::1"), "br-ex: gateway 2001:db8::1 is not of IPv4"),
        (('"eth2"]', '"br-ex"]'), "br-ex is a bridge, and can't be in a bridge or bond"),
        (('mode = "balance-slb"', 'primary = "eth3"'), "its primary eth3 is not among its members"),
        (('name = "bond0"', 'name = "br-ex"'), "br-ex is declared 2 times"),
        (('name = "bond0"', 'name = "a b"'), "host_network.bonds[0].name: Expected `str` matching regex"),
        (('mode = "balance-slb"', 'modes = "x"'), "host_network.bonds[0]: Object contains unknown field"),
    ],
)
def test_what_can_not_be_put_together_is_told(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    settings = tmp_path / "pileus.toml"
    settings.write_text(SETTINGS.replace(*change))
    command = ["node", "network", "--config", str(settings), "--state", str(tmp_path / "state")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 78
    assert said in result.output


def test_nothing_declared_is_no_empty_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["node", "network", "--state", str(tmp_path / "state")])
    assert result.exit_code == 78 and "nothing is declared in [host_network]" in result.output
