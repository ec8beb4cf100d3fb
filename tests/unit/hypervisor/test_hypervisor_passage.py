"""The line between two hosts by which a machine goes from one to the other."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pileus.drivers.libvirt.hypervisor import CHANNELS, DISKS, MEMORY
from pileus.host.hypervisor.passage import Identity, Way


def test_only_the_hypervisor_itself_speaks_to_that_of_the_other_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that has broken out of its machine's process does not."""
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, *owner: given.update({Path(path).name: owner}))

    async def story() -> None:
        here, there = Identity("h1"), Identity("h2")
        way = Way(("192.0.2.1", 1), here.context(there.certificate, listens=False))
        await way.carry({name: tmp_path / name for name in CHANNELS}, (64055, 64055))
        modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in CHANNELS}
        await way.close()
        assert modes == dict.fromkeys(CHANNELS, 0o600)
        assert given == dict.fromkeys((MEMORY, DISKS), (64055, 64055))

    asyncio.run(story())
