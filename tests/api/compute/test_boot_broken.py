"""Boots that are broken on purpose: they end ACTIVE, or in ERROR with the reason and nothing left over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell

from pileus.services.compute.servers.cleanup import forget
from pileus.services.compute.service import ComputeConfig


async def _left(api: Cloud) -> list[str]:
    tables = ("allocations", "server_interfaces", "ports", "ip_allocations")
    counts = {table: await api.count(table) for table in tables}
    ports = (await api.as_("admin")("GET", "/networking/v2.0/ports")).json["ports"]
    own = [port for port in ports if port["device_owner"].startswith("compute:")]
    return [table for table in tables[:2] if counts[table]] + [port["id"] for port in own]


def test_two_conductors_do_not_boot_twice(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        ids = [(await api.ask_for(f"vm{n}")).json["server"]["id"] for n in range(5)]
        one, other = api.conductor(), api.conductor(owner="other")
        await asyncio.gather(one.work(), other.work())
        await host.pass_()
        await one.work()
        for server_id in ids:
            assert (await api.server(server_id))["status"] == "ACTIVE"
            assert len(await api.ports_of(server_id)) == 1

    tell(story, tmp_path)


def test_no_valid_host_says_why(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host("h1", memory_mib=1024)
        await api.host("h2", memory_mib=65536)
        off = {"status": "disabled", "disabled_reason": "a new fan"}
        admin = api.as_("admin")
        services = (await admin("GET", "/os-services?host=h2&binary=nova-compute")).json["services"]
        changed = await admin("PUT", f"/os-services/{services[0]['id']}", off)
        assert changed.status == 200
        await api.a_network()
        server_id = (await api.ask_for(flavorRef="2")).json["server"]["id"]
        await api.conductor().work()
        server = await api.server(server_id)
        assert server["status"] == "ERROR"
        message = server["fault"]["message"]
        counts = "Of 2 hosts ComputeFilter refused 1, RamFilter refused 1."
        assert message == f"No valid host was found. {counts}"
        timeline = (await admin("GET", f"/servers/{server_id}/os-pileus-timeline")).json["timeline"]
        (scheduled,) = [one for one in timeline if one["step"] == "schedule"]
        assert {one["filter"] for one in scheduled["refused"]} >= {"RamFilter", "ComputeFilter"}
        reasons = " ".join(one["reason"] for one in scheduled["refused"])
        assert "2048 MiB of memory wanted, 1024 MiB free" in reasons and "a new fan" in reasons
        assert await _left(api) == []
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert [(one["action"], one["message"]) for one in actions] == [("create", "Error")]
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        assert (await api("GET", f"/servers/{server_id}")).status == 404

    tell(story, tmp_path)


def test_a_host_that_fails(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.ask_for()).json["server"]["id"]
        await api.conductor().work()
        host.fails = "the image's hash is wrong"
        await host.pass_()
        server = await api.server(server_id)
        assert server["status"] == "ERROR"
        assert server["fault"]["message"] == "Build of instance failed: the image's hash is wrong"
        assert (await host.state()).servers == ()
        assert await _left(api) == []
        assert (await api.act(server_id, "os-start")).status == 409

    tell(story, tmp_path)


def test_ports_that_never_rise(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.ask_for()).json["server"]["id"]
        conductor = api.conductor()
        await conductor.work()
        await host.pass_(ports=False)
        api.clock.advance(api.compute.config.build_timeout_s + 1)
        await host.heartbeat()
        await conductor.work()
        server = await api.server(server_id)
        assert server["status"] == "ERROR"
        assert "did not become ACTIVE in time" in server["fault"]["message"]
        assert await _left(api) == []

    tell(story, tmp_path, config=ComputeConfig(build_timeout_s=100))


def test_a_fixed_address_that_is_taken(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        plug = [{"uuid": network_id, "fixed_ip": "10.0.0.77"}]
        # both are asked for before either has it: the one that is brought up later finds it taken
        asked = [(await api.ask_for(networks=plug)).json["server"]["id"] for _ in range(2)]
        await api.conductor().work()
        await host.pass_()
        await api.conductor().work()
        by_status = {one["status"]: one for one in [await api.server(key) for key in asked]}
        first, server = by_status["ACTIVE"], by_status["ERROR"]
        assert first["addresses"]["net"][0]["addr"] == "10.0.0.77"
        refused = await api.ask_for(networks=plug)
        assert refused.status == 400
        assert refused.message == f"Fixed IP address 10.0.0.77 is already in use on instance {first['id']}."
        assert "10.0.0.77" in server["fault"]["message"]
        assert await api.count("allocations") == 1

    tell(story, tmp_path)


def test_deleted_while_building_and_with_a_dead_host(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        early = (await api.ask_for("early")).json["server"]["id"]
        assert (await api("DELETE", f"/servers/{early}")).status == 204
        assert (await api("GET", f"/servers/{early}")).status == 404
        conductor = api.conductor()
        await conductor.work()
        assert await _left(api) == []

        building = (await api.ask_for("building")).json["server"]["id"]
        await conductor.work()
        await api("DELETE", f"/servers/{building}")
        assert (await host.state()).leaving == (building,)
        await host.pass_()
        assert (await api("GET", f"/servers/{building}")).status == 404

        running = await api.boot(host)
        api.clock.advance(1000)
        await api("DELETE", f"/servers/{running['id']}")
        assert (await api("GET", f"/servers/{running['id']}")).status == 404
        assert await _left(api) == []
        # the host comes back and finds that the server is not its any more
        await host.heartbeat()
        await host.pass_()
        assert host.have == {}

    tell(story, tmp_path)


def test_a_deletion_that_nobody_confirms(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server = await api.boot(host)
        await api("DELETE", f"/servers/{server['id']}")
        position = (await host.state()).position
        # an older look can't know of it
        await host.tell(present=(), position=1)
        assert (await api("GET", f"/servers/{server['id']}")).status == 200
        await host.tell(present=(), position=position)
        assert (await api("GET", f"/servers/{server['id']}")).status == 404

        other = await api.boot(host)
        await api("DELETE", f"/servers/{other['id']}")
        api.clock.advance(api.compute.config.delete_timeout_s + 1)
        await api.conductor().work()
        assert (await api("GET", f"/servers/{other['id']}")).status == 404
        assert await _left(api) == []

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_deleted_servers_are_forgotten_in_the_end(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server = await api.boot(host)
        await api.act(server["id"], "reboot", {"type": "HARD"})  # which it does not live to see the end of
        await api("DELETE", f"/servers/{server['id']}")
        await host.pass_()
        assert await api.store.write(forget, api.clock.now()) == 0
        api.clock.advance(1)
        kept = await api.boot(host)
        assert await api.store.write(forget, api.clock.now()) == 1
        assert await api.count("servers") == await api.count("server_actions") == 1
        assert await api.count("operations") == 1
        assert (await api.server(kept["id"]))["status"] == "ACTIVE"

    tell(story, tmp_path, kind)


def test_many_in_one_request_take_constant_statements(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host(memory_mib=1 << 20)
        await api.a_network()
        admin = api.as_("admin")
        limits = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
        assert (await admin("PUT", f"/os-quota-sets/{'1' * 32}", limits)).status == 200
        conductor = api.conductor()
        spent, listed_with = [], []
        for count in (2, 8):
            before = api.store.statements
            answer = await api.ask_for("many", min_count=count, max_count=count)
            assert answer.status == 202
            await conductor.work(everything=False)
            await host.pass_()
            spent.append(api.store.statements - before)
            before = api.store.statements
            await api("GET", "/servers/detail")
            listed_with.append(api.store.statements - before)
        assert listed_with[0] == listed_with[1] <= 15
        assert spent[1] - spent[0] <= 6, spent
        await conductor.work()
        listed = (await api("GET", "/servers/detail?status=ACTIVE")).json["servers"]
        assert len(listed) == 10
        assert {one["name"] for one in listed} >= {"many-1", "many-8"}

    tell(story, tmp_path)
