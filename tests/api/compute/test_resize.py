"""Resizes and cold migrations: on the same host and on another one, confirmed, taken back, failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests import databases
from tests.api.compute.cloud import P1, PEOPLE, Cloud, Host, tell
from tests.api.compute.test_shelve import state_of

from pileus.core.context import Context
from pileus.services.compute.servers.migrations import NOWHERE
from pileus.services.compute.service import ComputeConfig
from pileus.services.image.images.tables import images
from pileus.services.network.port_bindings.tables import port_bindings
from pileus.store.schema import metadata

ELSEWHERE = ComputeConfig(allow_resize_to_same_host=False)
SMALL, LARGE = "1", "2"


async def promised(api: Cloud) -> dict[str, tuple[int, int]]:
    """Memory that hosts have promised, and how many servers they have."""
    from pileus.services.compute.nodes.reading import nodes_read

    nodes = await api.store.read(nodes_read, api.compute.config, api.clock.now())
    return {one.row.host: (one.memory_used_mib, one.servers) for one in nodes}


async def rows(api: Cloud, table: str) -> list[Any]:
    return list(await api.store.read(lambda tx: tx.rows(select(metadata.tables[table]))))


async def carried_images(api: Cloud) -> list[Any]:
    return list(await api.store.read(lambda tx: tx.rows(images.select().where(images.c.owner.is_(None)))))


async def resize(api: Cloud, source: Host, dest: Host, server_id: str, verb: str = "resize") -> None:
    """From the request to VERIFY_RESIZE."""
    argument = {"flavorRef": LARGE} if verb == "resize" else None
    assert (await api.as_("admin").act(server_id, verb, argument)).status == 202
    await api.conductor().work()
    await source.pass_()
    await api.conductor().work()
    await dest.pass_()
    await api.conductor().work()
    assert (await state_of(api, server_id))[:2] == ("VERIFY_RESIZE", None)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_goes_to_another_host_and_is_confirmed(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest = await api.host("h1"), await api.host("h2", memory_mib=8192)
        await api.a_network()
        server_id = (await api.boot(source))["id"]
        before = await promised(api)
        assert (await api.act(server_id, "resize", {"flavorRef": LARGE})).status == 202
        assert await state_of(api, server_id) == ("RESIZE", "resize_prep", "h1")
        await api.conductor().work()
        assert await state_of(api, server_id) == ("RESIZE", "resize_migrating", "h1")
        (told,) = (await source.state()).servers
        ((order,),) = [told.operations]
        (disk,) = order.arguments["disks"]
        (image,) = await carried_images(api)
        assert (told.wanted, order.kind, disk["name"]) == ("stopped", "carry", "root")
        assert (image.visibility, image.os_hidden) == ("private", True)
        assert await promised(api) == {"h1": before["h1"], "h2": (2048, 0)}, "room on both"
        ((waiting,),) = [await api.store.read(lambda tx: tx.rows(port_bindings.select()))]
        assert waiting.host == "h2"
        assert (await api.act(server_id, "os-start", None)).status == 409
        await source.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("RESIZE", "resize_finish", "h2")
        state = await source.state()
        assert (state.servers, state.kept, state.leaving) == ((), (server_id,), ())
        (told,) = (await dest.state()).servers
        assert (told.carried.kind, told.carried.root.image_id) == ("brought", image.id)
        assert (told.memory_mib, told.root_gib, told.generation, told.wanted) == (2048, 20, 2, "running")
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h2"
        await dest.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("VERIFY_RESIZE", None, "h2")
        assert await carried_images(api) == [] and api.files.deleted == [f"{image.id}.data"]
        assert await promised(api) == {"h1": (512, 0), "h2": (2048, 1)}
        assert (await api.server(server_id))["flavor"]["ram"] == 2048
        for verb in ("os-stop", "shelve", "createImage", "resize"):
            argument = {"createImage": {"name": "x"}, "resize": {"flavorRef": SMALL}}.get(verb)
            assert (await api.act(server_id, verb, argument)).status == 409, verb
        assert (await api.act(server_id, "confirmResize", None)).status == 204
        assert await state_of(api, server_id) == ("ACTIVE", None, "h2")
        assert await promised(api) == {"h1": (0, 0), "h2": (2048, 1)}
        assert (await source.state()).kept == ()
        assert await rows(api, "port_bindings") == []
        for _ in range(2):
            for host in (source, dest):
                await host.pass_()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h2")
        assert (await dest.state()).servers[0].carried is None
        assert (await api.act(server_id, "confirmResize", None)).status == 409
        path = f"/servers/{server_id}/os-instance-actions"
        actions = (await api("GET", path)).json["instanceActions"]
        assert {one["action"]: one["message"] for one in actions if "esize" in one["action"]} == {
            "resize": None,
            "confirmResize": None,
        }
        (row,) = await rows(api, "server_migrations")
        assert (row.status, row.kind, row.source_host, row.dest_host, row.held_host) == (
            "confirmed", "resize", "h1", "h2", None,
        )  # fmt: skip

    tell(story, tmp_path, kind, ELSEWHERE)


@pytest.mark.parametrize("was", ["ACTIVE", "SHUTOFF"])
def test_it_is_taken_back(tmp_path: Path, was: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest = await api.host("h1"), await api.host("h2", memory_mib=8192)
        await api.a_network()
        server_id = (await api.boot(source))["id"]
        if was == "SHUTOFF":
            await api.act(server_id, "os-stop", None)
            await source.pass_()
        await resize(api, source, dest, server_id)
        assert (await api.act(server_id, "revertResize", None)).status == 202
        assert await state_of(api, server_id) == ("REVERT_RESIZE", "resize_reverting", "h2")
        await dest.pass_()  # which it still is, and that ends nothing
        assert await state_of(api, server_id) == ("REVERT_RESIZE", "resize_reverting", "h2")
        await api.conductor().work()
        assert await state_of(api, server_id) == ("REVERT_RESIZE", "resize_reverting", "h1")
        assert (await dest.state()).servers == ()
        (told,) = (await source.state()).servers
        assert (told.carried.kind, told.generation, told.memory_mib) == ("back", 3, 512)
        assert told.wanted == ("running" if was == "ACTIVE" else "stopped")
        await source.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == (was, None, "h1")
        assert await promised(api) == {"h1": (512, 1), "h2": (0, 0)}
        assert (await api.server(server_id))["flavor"]["ram"] == 512
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h1" and await rows(api, "port_bindings") == []
        (row,) = await rows(api, "server_migrations")
        assert row.status == "reverted"

    tell(story, tmp_path, config=ELSEWHERE)


def test_on_its_own_host_it_grows_and_is_confirmed_by_itself(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1")
        server_id = (await api.boot(host, networks="none"))["id"]
        await resize(api, host, host, server_id)
        assert await promised(api) == {"h1": (2048 + 512, 1)}
        state = await host.state()
        assert state.kept == () and state.servers[0].carried.kind == "grown"
        assert await carried_images(api) == []
        await api.act(server_id, "revertResize", None)
        await api.conductor().work()
        assert (await host.state()).servers[0].carried.kind == "back"
        await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        assert await promised(api) == {"h1": (512, 1)}
        await resize(api, host, host, server_id)
        api.clock.advance(61)
        await host.heartbeat()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        assert await promised(api) == {"h1": (2048, 1)}
        assert (await host.state()).servers[0].carried is None

    tell(story, tmp_path, config=ComputeConfig(resize_confirm_window_s=60))


@pytest.mark.parametrize("where", ["nowhere", "source", "dest"])
def test_what_fails_leaves_it_where_it_was(tmp_path: Path, where: str) -> None:
    async def story(api: Cloud) -> None:
        source = await api.host("h1")
        await api.a_network()
        server_id = (await api.boot(source))["id"]
        dest = await api.host("h2", memory_mib=512 if where == "nowhere" else 8192)
        if where == "source":
            source.refuses = "No space left on device"
        if where == "dest":
            dest.fails = "No space left on device"
        assert (await api.act(server_id, "resize", {"flavorRef": LARGE})).status == 202
        for host in (source, dest, source):
            await api.conductor().work()
            await host.pass_()
        await api.conductor().work()
        assert await state_of(api, server_id) == ("ACTIVE", None, "h1")
        (told,) = (await source.state()).servers
        assert (told.wanted, told.memory_mib, told.operations) == ("running", 512, ())
        state = await dest.state()
        assert (state.servers, state.kept) == ((), ())
        assert await promised(api) == {"h1": (512, 1), "h2": (0, 0)}
        assert await carried_images(api) == [] and await rows(api, "port_bindings") == []
        (row,) = await rows(api, "server_migrations")
        assert (row.status, row.held_host) == ("error", None)
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h1"
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert [one["message"] for one in actions if one["action"] == "resize"] == ["Error"]
        # What it left behind does not get in the way of what follows.
        assert (await api.act(server_id, "rebuild", {"imageRef": told.image.image_id})).status == 202
        assert (await source.state()).servers[0].carried is None

    tell(story, tmp_path, config=ELSEWHERE)


@pytest.mark.parametrize("when", ["prep", "migrating", "finish", "verify", "reverting"])
def test_one_that_is_deleted_on_the_way_leaves_nothing_anywhere(tmp_path: Path, when: str) -> None:
    async def story(api: Cloud) -> None:
        source, dest = await api.host("h1"), await api.host("h2", memory_mib=8192)
        await api.a_network()
        server_id = (await api.boot(source))["id"]
        if when in ("verify", "reverting"):
            await resize(api, source, dest, server_id)
        else:
            await api.act(server_id, "resize", {"flavorRef": LARGE})
            if when != "prep":
                await api.conductor().work()
            if when == "finish":
                await source.pass_()
                await api.conductor().work()
        if when == "reverting":
            await api.act(server_id, "revertResize", None)
            await api.conductor().work()
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        for _ in range(2):
            for host in (source, dest):
                await host.pass_()
            await api.conductor().work()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await promised(api) == {"h1": (0, 0), "h2": (0, 0)}
        for host in (source, dest):
            state = await host.state()
            assert (state.servers, state.kept, host.have) == ((), (), {})
        assert await carried_images(api) == [] and await rows(api, "port_bindings") == []
        assert await api.ports_of(server_id) == []
        (row,) = await rows(api, "server_migrations")
        assert (row.status, row.held_host) == ("confirmed" if when == "verify" else "error", None)

    tell(story, tmp_path, config=ELSEWHERE)


def test_migrations_keep_the_flavor_and_anti_affinity(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        hosts = [await api.host(name) for name in ("h1", "h2", "h3")]
        body = {"server_group": {"name": "apart", "policy": "anti-affinity"}}
        group = (await api("POST", "/os-server-groups", body)).json["server_group"]["id"]
        servers = []
        for name in ("a", "b"):
            answer = await api.ask_for(name, networks="none", hints={"group": group})
            servers.append(answer.json["server"]["id"])
        await api.conductor().work()
        for host in hosts:
            await host.pass_()
        await api.conductor().work()
        at = {key: (await state_of(api, key))[2] for key in servers}
        (free,) = {"h1", "h2", "h3"} - set(at.values())
        by_name = {host.name: host for host in hosts}
        admin = api.as_("admin")
        for argument, status in (
            ({"host": at[servers[0]]}, 400),
            ({"host": "h9"}, 400),
            ({"host": ""}, 400),
            ({"colour": "blue"}, 400),
        ):
            assert (await admin.act(servers[0], "migrate", argument)).status == status, argument
        assert (await api.act(servers[0], "migrate", None)).status == 403
        # not to the host of the other member
        await admin.act(servers[0], "migrate", {"host": at[servers[1]]})
        await api.conductor().work()
        assert await state_of(api, servers[0]) == ("ACTIVE", None, at[servers[0]])
        await resize(api, by_name[at[servers[0]]], by_name[free], servers[0], "migrate")
        assert (await state_of(api, servers[0]))[2] == free
        assert (await api.server(servers[0]))["flavor"]["ram"] == 512
        assert (await api.act(servers[0], "confirmResize", None)).status == 204

    tell(story, tmp_path)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1", memory_mib=65536)
        server_id = (await api.boot(host, networks="none", flavorRef=LARGE))["id"]
        admin = api.as_("admin")
        extra = "OS-FLV-EXT-DATA:ephemeral"
        flavor = {"name": "f", "ram": 4096, "vcpus": 1, "disk": 40, extra: 5, "id": "eph"}
        zero = {**flavor, "name": "zero", "id": "zero", "disk": 0, extra: 0}
        for one in (flavor, zero):
            assert (await admin("POST", "/flavors", {"flavor": one})).status == 200
        for argument, person, status in (
            ({"flavorRef": LARGE}, "alice", 400),
            ({"flavorRef": "nothing"}, "alice", 400),
            ({"flavorRef": SMALL}, "alice", 400),
            ({"flavorRef": "zero"}, "alice", 400),
            ({"flavorRef": "3", "OS-DCF:diskConfig": "SOMETIMES"}, "alice", 400),
            ({}, "alice", 400),
            ({"flavorRef": "3"}, "reader", 403),
            ({"flavorRef": "3"}, "bob", 404),
        ):
            answer = await api.as_(person).act(server_id, "resize", argument)
            assert answer.status == status, (argument, person, answer)
        quota = {"quota_set": {"ram": 3000}}
        project = (await api.server(server_id))["tenant_id"]
        await admin("PUT", f"/os-quota-sets/{project}", quota)
        assert (await api.act(server_id, "resize", {"flavorRef": "3"})).status == 403
        for verb in ("confirmResize", "revertResize"):
            assert (await api.act(server_id, verb, None)).status == 409, verb
        assert await rows(api, "server_migrations") == []
        # a disk more travels along
        await admin("PUT", f"/os-quota-sets/{project}", {"quota_set": {"ram": 300000}})
        other = (await api.boot(host, "other", networks="none", flavorRef="eph"))["id"]
        await api.host("h2", memory_mib=65536)
        at = (await state_of(api, other))[2]
        assert (await admin.act(other, "migrate", None)).status == 202
        await api.conductor().work()
        (told,) = [one for one in (await host.state()).servers if one.server_id == other]
        assert at == "h1"
        assert [one["name"] for one in told.operations[0].arguments["disks"]] == ["ephemeral", "root"]

    tell(story, tmp_path)


def test_migrations_are_listed_for_those_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Context(
        now=PEOPLE["alice"].now, user_id="u7", project_id=P1, roles=("manager", "member", "reader")
    )
    monkeypatch.setitem(PEOPLE, "manager", manager)

    async def story(api: Cloud) -> None:
        source, dest = await api.host("h1"), await api.host("h2", memory_mib=8192)
        first, second = [(await api.boot(source, name, networks="none"))["id"] for name in ("a", "b")]
        admin = api.as_("admin")
        assert (await admin("GET", "/os-migrations")).json == {"migrations": []}
        await resize(api, source, dest, first)
        api.clock.advance(10)
        for host in (source, dest):
            await host.heartbeat()
        await admin.act(second, "migrate", {"host": "h2"})
        found = (await admin("GET", "/os-migrations")).json["migrations"]
        assert [one["instance_uuid"] for one in found] == [second, first], "newest first"
        newest, oldest = found
        assert (newest["migration_type"], newest["status"], newest["dest_compute"]) == (
            "migration", "pre-migrating", None,
        )  # fmt: skip
        assert (oldest["source_compute"], oldest["dest_compute"], oldest["dest_node"]) == (
            "h1", "h2", "h2.example",
        )  # fmt: skip
        assert (oldest["old_instance_type_id"], oldest["new_instance_type_id"]) == (1, 2)
        assert (await api("GET", "/os-migrations")).status == 403
        mine = (await api.as_("manager")("GET", "/os-migrations")).json["migrations"]
        assert (
            len(mine) == 2 and set(map(mine[0].get, NOWHERE)) == {None} and NOWHERE.keys() <= mine[0].keys()
        )
        old = (await admin.at("2.22")("GET", "/os-migrations")).json["migrations"]
        assert not {"migration_type", "uuid", "user_id"} & {*old[0]}
        for query, several in (
            (f"instance_uuid={first}", [first]),
            ("status=finished", [first]),
            ("migration_type=migration", [second]),
            ("host=h2", [first]),
            ("source_compute=h1", [second, first]),
            ("limit=1", [second]),
            (f"marker={newest['uuid']}", [first]),
            ("changes-since=2100-01-01T00:00:00Z", []),
        ):
            listed = (await admin("GET", f"/os-migrations?{query}")).json["migrations"]
            assert [one["instance_uuid"] for one in listed] == several, query
        assert "migrations_links" in (await admin("GET", "/os-migrations?limit=1")).json
        for query in ("marker=x", "limit=-1", "changes-since=then"):
            assert (await admin("GET", f"/os-migrations?{query}")).status == 400, query
        path = f"/servers/{first}/migrations"
        assert (await admin("GET", path)).json == {"migrations": []}
        assert (await admin.at("2.22")("GET", path)).status == 404
        assert (await api("GET", path)).status == 403
        for key in (str(oldest["id"]), "99", "x"):
            assert (await admin("GET", f"{path}/{key}")).status == 404, key
        assert (await admin("DELETE", f"{path}/{oldest['id']}")).status == 409
        answer = await admin("POST", f"{path}/{oldest['id']}/action", {"force_complete": None})
        assert answer.status == 409

    tell(story, tmp_path, config=ELSEWHERE)
