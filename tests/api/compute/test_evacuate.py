"""Evacuation: servers of a host that is down are built anew elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, Host, tell
from tests.api.compute.test_resize import promised, rows
from tests.api.compute.test_shelve import state_of


async def falls_silent(api: Cloud, *others: Host) -> None:
    api.clock.advance(api.compute.config.service_down_time_s + 1)
    for host in others:
        await host.heartbeat()


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_is_built_anew_and_its_old_host_takes_its_machine_away(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        old, new = await api.host("h1"), await api.host("h2", memory_mib=8192)
        await api.a_network()
        server_id = (await api.boot(old))["id"]
        admin = api.as_("admin")
        refused = await admin.act(server_id, "evacuate", {})
        assert refused.status == 400 and "still in use" in refused.message
        await falls_silent(api, new)
        for argument, status in (({"host": "h9"}, 404), ({"host": "h1"}, 400), ({"colour": 1}, 400)):
            assert (await admin.act(server_id, "evacuate", argument)).status == status, argument
        assert (await api.act(server_id, "evacuate", {})).status == 403
        answer = await admin.at("2.94").act(server_id, "evacuate", {})
        assert (answer.status, answer.body) == (200, b"")
        assert await state_of(api, server_id) == ("REBUILD", "rebuild_spawning", "h1")
        assert (await admin.act(server_id, "evacuate", {})).status == 409
        await api.conductor().work()
        assert await state_of(api, server_id) == ("REBUILD", "rebuild_spawning", "h2")
        (told,) = (await new.state()).servers
        assert (told.generation, told.wanted, told.carried) == (2, "running", None)
        await new.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h2")
        assert await promised(api) == {"h1": (0, 0), "h2": (512, 1)}
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h2"
        (row,) = await rows(api, "server_migrations")
        assert (row.kind, row.status, row.source_host, row.dest_host) == ("evacuation", "done", "h1", "h2")
        # the old host comes back with its machine, which is not its any more
        await old.heartbeat()
        assert (await old.state()).servers == ()
        await old.pass_()
        assert old.have == {}
        assert await state_of(api, server_id) == ("ACTIVE", None, "h2")

    tell(story, tmp_path, kind)


def test_since_2_95_it_stays_off_and_before_2_14_its_password_is_told(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        old, new = await api.host("h1"), await api.host("h2", memory_mib=8192)
        later, before = [(await api.boot(old, name, networks="none"))["id"] for name in ("a", "b")]
        service = [
            one
            for one in (await api.as_("admin")("GET", "/os-services?binary=nova-compute")).json["services"]
            if one["host"] == "h1"
        ]
        path = f"/os-services/{service[0]['id']}"
        assert (await api.as_("admin")("PUT", path, {"forced_down": True})).status == 200
        assert (await api.as_("admin").act(later, "evacuate", {})).status == 200
        old_words = api.as_("admin", "2.13")
        shared = await old_words.act(before, "evacuate", {"onSharedStorage": True})
        assert shared.status == 400
        answer = await old_words.act(before, "evacuate", {"onSharedStorage": False, "adminPass": "open"})
        assert (answer.status, answer.json) == (200, {"adminPass": "open"})
        await api.conductor().work()
        await new.pass_()
        await api.conductor().work()
        assert await state_of(api, later) == ("SHUTOFF", None, "h2")
        assert await state_of(api, before) == ("ACTIVE", None, "h2")

    tell(story, tmp_path)


@pytest.mark.parametrize("where", ["nowhere", "dest"])
def test_what_fails_leaves_it_to_its_old_host(tmp_path: Path, where: str) -> None:
    async def story(api: Cloud) -> None:
        old = await api.host("h1")
        await api.a_network()
        server_id = (await api.boot(old))["id"]
        new = await api.host("h2", memory_mib=256 if where == "nowhere" else 8192)
        await falls_silent(api, new)
        new.fails = "No space left on device"
        assert (await api.as_("admin").at("2.94").act(server_id, "evacuate", {})).status == 200
        for _ in range(2):
            await api.conductor().work()
            await new.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        assert await promised(api) == {"h1": (512, 1), "h2": (0, 0)}
        assert (await new.state()).servers == ()
        (row,) = await rows(api, "server_migrations")
        assert row.status == "failed"
        # where it comes back with its machine, that is the server
        await old.heartbeat()
        (told,) = (await old.state()).servers
        kind = "back" if where == "dest" else None
        assert (told.carried.kind if told.carried else None) == kind and told.wanted == "running"
        await old.pass_()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")

    tell(story, tmp_path)
