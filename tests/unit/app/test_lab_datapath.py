"""A lab uses the kernel's datapath where the kernel has one, and keeps the one that it was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app.lab import cloud
from pileus.app.lab.lab import Lab
from pileus.app.nodes import switch
from pileus.app.state import StateFolder


@pytest.mark.parametrize(("has", "datapath_type"), [(True, "system"), (False, "netdev")])
def test_hosts_have_the_kernels_datapath_where_there_is_one(
    has: bool, datapath_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "kernel_has_openvswitch", lambda: has)
    for host in Lab(2, tmp_path).hosts.values():
        assert host.datapath_type == datapath_type
        assert host.bridge_settings().datapath_type == datapath_type
        assert host.daemons._userspace is (not has)


@pytest.mark.parametrize(
    ("remembered", "datapath_type"),
    [
        ('{"name": "plab", "hosts": 2}', "netdev"),  # as earlier versions wrote it, which knew no other
        ('{"name": "plab", "hosts": 2, "datapath_type": "system"}', "system"),
    ],
)
def test_a_lab_that_is_there_keeps_its_own(remembered: str, datapath_type: str, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.lab.write_text(remembered)
    lab = cloud.lab_of(folder)
    assert lab is not None
    assert {host.datapath_type for host in lab.hosts.values()} == {datapath_type}
