"""Migrations that a process before this one left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed")

from pileus.drivers.libvirt.connection import Connection
from pileus.drivers.libvirt.leaving import Leaving


def test_what_a_killed_agent_left_of_its_migrations_goes_once(tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/run/libvirt-sock"
    (tmp_path / "lib" / "pileus-migrations" / "gone").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "lib" / "pileus-migrations" / "link").symlink_to(elsewhere)

    async def story() -> None:
        leaving = Leaving(uri, Connection(uri, opened=lambda connection: None, up=lambda up: None))
        await leaving._forget_ways()
        assert elsewhere.exists() and not (tmp_path / "lib" / "pileus-migrations").exists()
        folder = (await leaving.way_out("now"))["memory"].parent
        await leaving._forget_ways()
        assert folder.exists(), "a connection that comes back ends no migration"

    asyncio.run(story())
