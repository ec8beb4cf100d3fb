"""Servers that were deleted long ago are forgotten, with what they were asked to do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell

from pileus.services.compute.service import servers_trim


@pytest.mark.parametrize("kind", databases.KINDS)
def test_old_deleted_servers_go(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        host = await api.host()
        gone, stays = [await api.boot(host, name) for name in ("gone", "stays")]
        assert (await api("DELETE", f"/servers/{gone['id']}")).status == 204
        await host.pass_()
        assert await api.count("servers") == 2 and await api.count("server_actions") > 2
        now = api.clock.now()
        assert await api.store.write(servers_trim, now - dt.timedelta(days=1)) == 0
        assert await api.store.write(servers_trim, now + dt.timedelta(days=1)) == 1
        assert await api.count("servers") == 1 and await api.count("server_actions") == 1
        assert (await api("GET", f"/servers/{stays['id']}")).status == 200

    tell(story, tmp_path, kind)
