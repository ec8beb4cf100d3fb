"""Shelving: what is asked, what hosts are told, what is left of a server meanwhile and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, P1, Cloud, Host, tell

from pileus.services.compute.service import ComputeConfig
from pileus.services.image.images.tables import images

KEEPS = ComputeConfig(shelved_offload_time_s=-1)
LATER = ComputeConfig(shelved_offload_time_s=50)


async def shelve(api: Cloud, host: Host, server_id: str) -> None:
    """From the request to the host that has nothing of it any more."""
    assert (await api.act(server_id, "shelve", None)).status == 202
    for _ in range(2):
        await host.pass_()
        await api.conductor().work()


async def state_of(api: Cloud, server_id: str) -> tuple[Any, ...]:
    server = await api.as_("admin").server(server_id)
    return server["status"], server["OS-EXT-STS:task_state"], server["OS-EXT-SRV-ATTR:host"]


async def own_images(api: Cloud) -> list[Any]:
    return list(await api.store.read(lambda tx: tx.rows(images.select().where(images.c.owner == P1))))


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_is_shelved_leaves_its_host_and_runs_on_another(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        assert (await api.act(server_id, "shelve", None)).status == 202
        assert await state_of(api, server_id) == ("ACTIVE", "shelving", "h1")
        (told,) = (await host.state()).servers
        assert told.wanted == "stopped", "it is switched off first"
        ((order,),) = [told.operations]
        assert order.kind == "snapshot"
        (image,) = await own_images(api)
        assert (image.name, image.visibility, image.id) == (
            "vm-shelved",
            "private",
            order.arguments["image_id"],
        )
        assert (await api.act(server_id, "os-start", None)).status == 409, "one thing after the other"
        await host.pass_()
        assert await state_of(api, server_id) == ("ACTIVE", "shelving", "h1"), "until it is settled"
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED", "shelving_offloading", "h1")
        state = await host.state()
        assert (state.servers, state.leaving) == ((), (server_id,))
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", None, None)
        assert await api.count("allocations") == 0
        (port,) = await api.ports_of(server_id)
        assert (port["binding:host_id"], port["binding:vif_type"]) == ("", "unbound")
        assert (await host.state()).servers == ()
        assert len((await api.server(server_id))["addresses"]["net"]) == 1
        for verb in ("os-start", "shelve", "shelveOffload", "rebuild", "pause"):
            argument = {"imageRef": IMAGE} if verb == "rebuild" else None
            assert (await api.as_("admin").act(server_id, verb, argument)).status == 409, verb
        # It is built from its image, where there is room now.
        other = await api.host("h2", memory_mib=32768)
        assert (await api.act(server_id, "unshelve", None)).status == 202
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", "unshelving", "h2")
        (told,) = (await other.state()).servers
        assert (told.image.image_id, told.wanted, told.generation) == (image.id, "running", 2)
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h2"
        assert await api.count("allocations") == 1
        await other.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h2")
        assert await own_images(api) == []
        assert api.files.deleted == [f"{image.id}.data"]
        assert (await other.state()).servers[0].image.image_id == IMAGE
        found = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert {one["action"]: one["message"] for one in found if "shelve" in one["action"]} == {
            "shelve": None,
            "unshelve": None,
        }
        assert (await api("GET", "/servers?status=SHELVED_OFFLOADED")).json["servers"] == []

    tell(story, tmp_path, kind)


def test_one_that_stays_on_its_host_is_only_started(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await shelve(api, host, server_id)
        for _ in range(2):  # further reports change nothing
            assert await state_of(api, server_id) == ("SHELVED", None, "h1")
            await host.pass_()
        refused = await api.act(server_id, "unshelve", {"availability_zone": "nova"})
        assert refused.status == 409 and "SHELVED_OFFLOADED" in refused.message
        assert (await api.act(server_id, "unshelve", None)).status == 202
        (told,) = (await host.state()).servers
        assert (told.wanted, told.generation, told.operations) == ("running", 1, ())
        await api.conductor().work()
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        assert await own_images(api) == []

    tell(story, tmp_path, config=KEEPS)


def test_it_leaves_when_its_time_is_over_or_an_administrator_says_so(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        later, now = [(await api.boot(host, name, networks="none"))["id"] for name in ("later", "now")]
        for server_id in (later, now):
            await shelve(api, host, server_id)
            assert await state_of(api, server_id) == ("SHELVED", None, "h1")
        assert (await api.act(now, "shelveOffload", None)).status == 403
        assert (await api.as_("admin").act(now, "shelveOffload", None)).status == 202
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, now) == ("SHELVED_OFFLOADED", None, None)
        assert await state_of(api, later) == ("SHELVED", None, "h1")
        api.clock.advance(51)
        await host.heartbeat()
        await api.conductor().work()
        assert await state_of(api, later) == ("SHELVED", "shelving_offloading", "h1")
        # a host that is down is not waited for
        api.clock.advance(api.compute.config.service_down_time_s + 1)
        await api.conductor().work()
        assert await state_of(api, later) == ("SHELVED_OFFLOADED", None, None)

    tell(story, tmp_path, config=LATER)


def test_zones_and_hosts_are_chosen_by_those_who_may(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.host("h2", memory_mib=32768, zone="other")
        server_id = (await api.boot(host, networks="none", availability_zone="nova"))["id"]
        await shelve(api, host, server_id)
        for argument, person, version, status in (
            ({"availability_zone": "nowhere"}, "alice", "", 400),
            ({"availability_zone": None}, "alice", "2.77", 400),
            ({"host": "h2"}, "alice", "2.90", 400),
            ({"host": "h2"}, "alice", "", 403),
            ({"host": "h9"}, "admin", "", 400),
            ({"host": "h2"}, "admin", "", 400),  # not in the zone that the server is kept in
            ({"host": "h2", "availability_zone": "nova"}, "admin", "", 400),
            ({}, "alice", "2.77", 400),
            ({"colour": "blue"}, "alice", "", 400),
        ):
            answer = await api.as_(person, version or None).act(server_id, "unshelve", argument)
            assert answer.status == status, (argument, person, version, answer)
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", None, None)
        asked = {"availability_zone": "other", "host": "h2"}
        assert (await api.as_("admin").act(server_id, "unshelve", asked)).status == 202
        await api.conductor().work()
        assert (await state_of(api, server_id))[2] == "h2"
        assert (await api.server(server_id))["pinned_availability_zone"] == "other"

    tell(story, tmp_path)


def test_where_no_host_has_room_it_stays_shelved(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await shelve(api, host, server_id)
        api.clock.advance(api.compute.config.service_down_time_s + 1)
        await api.act(server_id, "unshelve", None)
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", None, None)
        assert await api.count("allocations") == 0
        # what the host can't do is undone, and its image is still there
        await host.heartbeat()
        await api.act(server_id, "unshelve", None)
        await api.conductor().work()
        host.fails = "No space left on device"
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", None, None)
        assert await api.count("allocations") == 0 and len(await own_images(api)) == 1
        path = f"/servers/{server_id}/os-instance-actions"
        actions = (await api("GET", path)).json["instanceActions"]
        assert [one["message"] for one in actions if one["action"] == "unshelve"] == ["Error", "Error"]
        host.fails = None
        await api.act(server_id, "unshelve", None)
        await api.conductor().work()
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")

    tell(story, tmp_path)


def test_an_image_that_was_deleted_is_missed_before_anything_is_done(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await shelve(api, host, server_id)
        await api.store.write(lambda tx: tx.execute(images.delete().where(images.c.owner == P1)))
        await api.act(server_id, "unshelve", None)
        await api.conductor().work()
        assert await state_of(api, server_id) == ("SHELVED_OFFLOADED", None, None)
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        assert (await api("GET", f"/servers/{server_id}")).status == 404

    tell(story, tmp_path)


def test_what_the_node_could_not_do_leaves_it_running(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        host.refuses = "No space left on device"
        await api.act(server_id, "shelve", None)
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        assert await own_images(api) == []
        assert (await host.state()).servers[0].wanted == "running", "it is started again"
        path = f"/servers/{server_id}/os-instance-actions"
        actions = (await api("GET", path)).json["instanceActions"]
        assert [one["message"] for one in actions if one["action"] == "shelve"] == ["Error"]

    tell(story, tmp_path)


@pytest.mark.parametrize("when", ["shelving", "shelved", "offloaded", "unshelving"])
def test_a_server_that_is_deleted_takes_its_image_along(tmp_path: Path, when: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        await api.act(server_id, "shelve", None)
        if when != "shelving":
            await host.pass_()
            await api.conductor().work()
        if when in ("offloaded", "unshelving"):
            await host.pass_()
            await api.conductor().work()
        if when == "unshelving":
            await api.act(server_id, "unshelve", None)
            await api.conductor().work()
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        for _ in range(2):
            await host.pass_()
            await api.conductor().work()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await own_images(api) == []
        assert await api.count("allocations") == 0
        assert len(api.files.deleted) == (0 if when == "shelving" else 1)
        rows = await api.store.read(
            lambda tx: tx.rows(_operations().where(_operations().selected_columns.state == "running"))
        )
        assert rows == []

    def _operations() -> Any:
        from pileus.store.operations import operations

        return operations.select()

    tell(story, tmp_path)


def test_who_may_not(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        for verb, person, status in (
            ("shelve", "reader", 403),
            ("shelve", "bob", 404),
            ("unshelve", "alice", 409),
            ("unshelve", "reader", 403),
            ("shelveOffload", "admin", 409),
        ):
            assert (await api.as_(person).act(server_id, verb, None)).status == status, (verb, person)
        await api.as_("admin").act(server_id, "lock", None)
        assert (await api.act(server_id, "shelve", None)).status == 409
        assert await own_images(api) == []

    tell(story, tmp_path)
