"""Placement's API: hosts as providers, what operators add, and what the scheduler makes of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import P1, Cloud
from tests.api.compute.test_scheduling import placed
from tests.api.placement.cloud import NEW, Placement, tell

CONSUMER = "30000000-0000-4000-8000-000000000001"


async def flavor(api: Cloud, key: str, **specs: str) -> str:
    """A flavor of one CPU and 512 MiB with extra specs."""
    admin = api.as_("admin")
    body = {"flavor": {"id": key, "name": key, "vcpus": 1, "ram": 512, "disk": 1}}
    assert (await admin("POST", "/flavors", body)).status == 200
    said = {"extra_specs": {name.replace("__", ":"): value for name, value in specs.items()}}
    assert (await admin("POST", f"/flavors/{key}/os-extra_specs", said)).status == 200
    return key


async def takers(placement: Placement, key: str) -> set[str]:
    """Who takes something of a provider."""
    return set((await placement.get(f"/resource_providers/{key}/allocations"))["allocations"])


def test_hosts_are_providers_and_servers_consumers(tmp_path: Path) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.a_network()
        host = await api.host("h1")
        server = await api.boot(host)
        key = await placement.host("h1")
        one = await placement.get(f"/resource_providers/{key}")
        assert one["name"] == "h1.example" and one["root_provider_uuid"] == key and one["generation"] == 0
        has = (await placement.get(f"/resource_providers/{key}/inventories"))["inventories"]
        assert {name: (stock["total"], stock["allocation_ratio"]) for name, stock in has.items()} == {
            "VCPU": (8, 4.0),
            "MEMORY_MB": (16384, 1.0),
            "DISK_GB": (200, 1.0),
        }
        usages = (await placement.get(f"/resource_providers/{key}/usages"))["usages"]
        assert usages == {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}
        mine = await placement.get(f"/allocations/{server['id']}")
        assert mine["allocations"][key]["resources"] == usages
        assert (mine["project_id"], mine["consumer_type"]) == (P1, "INSTANCE")
        assert await takers(placement, key) == {server["id"]}
        total = await placement.as_("reader").get(f"/usages?project_id={P1}")
        assert total["usages"] == {"INSTANCE": {**usages, "consumer_count": 1}}
        assert (await placement.as_("bob")("GET", f"/usages?project_id={P1}")).status == 403
        assert (await placement.as_("alice")("GET", "/resource_providers")).status == 403
        # nobody but the scheduler says what a server takes, and nobody deletes a host here
        assert (await placement.give(server["id"], {}, 1)).status == 409
        assert (await placement("DELETE", f"/allocations/{server['id']}")).status == 409
        # however its id is spelled
        other = server["id"].upper()
        assert (await placement.get(f"/allocations/{other}"))["consumer_type"] == "INSTANCE"
        assert (await placement("DELETE", f"/allocations/{other}")).status == 409
        wish = {"allocations": {}, "project_id": P1, "user_id": "u", "consumer_generation": 1}
        wish |= {"consumer_type": "INSTANCE"}
        assert (await placement("POST", "/allocations", {other: wish})).status == 409
        assert (await placement("POST", "/allocations", {other: wish, server["id"]: wish})).status == 400
        assert (await placement("DELETE", f"/resource_providers/{key}")).status == 409
        traits = (await placement.get(f"/resource_providers/{key}/traits"))["traits"]
        assert traits == ["COMPUTE_NODE", "HW_ARCH_X86_64"]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_an_operator_says_of_a_host_is_obeyed(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.a_network()
        await api.host("h1")
        key = await placement.host("h1")
        stock = {"total": 16384, "reserved": 16000, "allocation_ratio": 1.0}
        await placement.inventories(key, MEMORY_MB=stock)
        host, refused = await placed(api)
        assert host is None
        reason = next(one["reason"] for one in refused if one["filter"] == "RamFilter")
        assert reason == "512 MiB of memory wanted, 384 MiB free (0 of 384 promised, ratio 1)"
        await placement.inventories(key, MEMORY_MB={**stock, "allocation_ratio": 2.0})
        assert (await placed(api))[0] == "h1"
        # how much there is says the host
        now = await placement.get(f"/resource_providers/{key}/inventories")
        now["inventories"]["VCPU"]["total"] = 64
        answer = await placement("PUT", f"/resource_providers/{key}/inventories", now)
        assert answer.status == 409 and "it has 8 of VCPU" in answer.json["errors"][0]["detail"]
        # what was said is taken back
        assert (await placement("DELETE", f"/resource_providers/{key}/inventories")).status == 204
        has = (await placement.get(f"/resource_providers/{key}/inventories"))["inventories"]
        assert has["MEMORY_MB"]["reserved"] == 0
        # others may take of a host, and then it is taken
        assert (await placement.give(CONSUMER, {key: {"resources": {"MEMORY_MB": 15800}}})).status == 204
        assert (await placed(api))[0] is None
        shown = (await api.as_("admin").at("2.87")("GET", "/os-hypervisors/detail")).json["hypervisors"][0]
        assert shown["memory_mb_used"] == 15800 + 512

    tell(story, tmp_path, kind=kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_flavors_ask_for_resources_and_traits(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.a_network()
        for name, memory in (("h1", 32768), ("h2", 16384)):
            await api.host(name, memory_mib=memory)
        assert (await placement("PUT", "/resource_classes/CUSTOM_FPGA")).status == 201
        h2 = await placement.host("h2")
        card = await placement.provider(1, h2, CUSTOM_FPGA=1)
        await placement.traits(card, "CUSTOM_FAST")
        await flavor(api, "fpga", resources_A__CUSTOM_FPGA="1", trait_A__CUSTOM_FAST="required")
        host, refused = await placed(api, flavorRef="fpga")
        assert host == "h2"
        assert {
            "host": "h1",
            "filter": "ResourcesFilter",
            "reason": "1 of CUSTOM_FPGA wanted, it has none",
        } in refused
        assert (await placement.get(f"/resource_providers/{card}/usages"))["usages"] == {"CUSTOM_FPGA": 1}
        taken = await placement.get(f"/resource_providers/{card}/allocations")
        (server_id,) = taken["allocations"]
        host, refused = await placed(api, flavorRef="fpga")
        assert host is None
        assert "1 of CUSTOM_FPGA wanted, 0 are left" in {one["reason"] for one in refused}
        # what is taken can't be taken away
        answer = await placement("DELETE", f"/resource_providers/{card}/inventories/CUSTOM_FPGA")
        assert answer.status == 409
        assert answer.json["errors"][0]["code"] == "placement.inventory.inuse"
        assert (await placement("DELETE", "/resource_classes/CUSTOM_FPGA")).status == 409
        # and is given back with the server
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await api.conductor().work()
        for name in ("h1", "h2"):
            await (await api.host(name)).pass_()
        assert (await placement.get(f"/resource_providers/{card}/usages"))["usages"] == {"CUSTOM_FPGA": 0}
        # a trait of the host, wanted or not
        await placement.traits(await placement.host("h1"), "CUSTOM_SSD")
        await flavor(api, "ssd", trait__CUSTOM_SSD="required")
        await flavor(api, "nossd", trait__CUSTOM_SSD="forbidden")
        assert (await placed(api, flavorRef="ssd"))[0] == "h1"
        host, refused = await placed(api, flavorRef="nossd")
        assert host == "h2" and refused[0]["reason"] == "the trait CUSTOM_SSD is forbidden"
        # a flavor may say that its CPUs shall not count
        before = (await placement.get(f"/resource_providers/{await placement.host('h1')}/usages"))["usages"]
        await flavor(api, "free", resources__VCPU="0")
        assert (await placed(api, flavorRef="free"))[0] == "h1"
        after = (await placement.get(f"/resource_providers/{await placement.host('h1')}/usages"))["usages"]
        assert after["VCPU"] == before["VCPU"] and after["MEMORY_MB"] == before["MEMORY_MB"] + 512

    tell(story, tmp_path, kind=kind)


def test_several_servers_of_one_request_share_what_there_is(tmp_path: Path) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.a_network()
        await api.host("h1")
        await placement("PUT", "/resource_classes/CUSTOM_FPGA")
        await placement.provider(1, await placement.host("h1"), CUSTOM_FPGA=2)
        await flavor(api, "fpga", resources__CUSTOM_FPGA="1")
        assert (await api.ask_for(flavorRef="fpga", min_count=3)).status == 202
        await api.conductor().work()
        servers = (await api("GET", "/servers/detail")).json["servers"]
        assert sorted(one["status"] for one in servers) == ["BUILD", "BUILD", "ERROR"]
        assert (await placement.get(f"/resource_providers/{NEW}1/usages"))["usages"] == {"CUSTOM_FPGA": 2}

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_move_takes_what_it_needs_and_gives_back_what_it_had(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.a_network()
        hosts = {name: await api.host(name) for name in ("h1", "h2")}
        await placement("PUT", "/resource_classes/CUSTOM_FPGA")
        cards = [
            await placement.provider(number, await placement.host(f"h{number}"), CUSTOM_FPGA=1)
            for number in (1, 2)
        ]
        await flavor(api, "fpga", resources__CUSTOM_FPGA="1")
        await api.ask_for(flavorRef="fpga")
        await api.conductor().work()
        (server,) = (await api.as_("admin")("GET", "/servers/detail?all_tenants=1")).json["servers"]
        first = server["OS-EXT-SRV-ATTR:host"]
        await hosts[first].pass_()
        await api.conductor().work()

        async def used() -> list[int]:
            found = [(await placement.get(f"/resource_providers/{key}/usages"))["usages"] for key in cards]
            return [one["CUSTOM_FPGA"] for one in found]

        assert sorted(await used()) == [0, 1]
        assert (await api.as_("admin").act(server["id"], "migrate")).status == 202
        for _ in range(6):
            await api.conductor().work()
            for host in hosts.values():
                await host.pass_()
        moved = await api.as_("admin").server(server["id"])
        assert moved["status"] == "VERIFY_RESIZE" and moved["OS-EXT-SRV-ATTR:host"] != first
        assert await used() == [1, 1]
        both = await takers(placement, cards[0]) | await takers(placement, cards[1])
        assert len(both) == 2 and server["id"] in both
        (move,) = both - {server["id"]}
        assert (await placement.get(f"/allocations/{move}"))["consumer_type"] == "MIGRATION"
        assert (await api.act(server["id"], "confirmResize")).status == 204
        for _ in range(3):
            await api.conductor().work()
            for host in hosts.values():
                await host.pass_()
        assert sorted(await used()) == [0, 1]
        (taken,) = [key for key, amount in zip(cards, await used(), strict=True) if amount]
        assert await takers(placement, taken) == {server["id"]}

    tell(story, tmp_path, kind=kind)


def test_cards_are_providers_below_their_host(tmp_path: Path) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        host = await api.host("h1")
        host.bandwidths = {"physnet1": {"egress": 1000, "ingress": 500}}
        await host.heartbeat()
        key = await placement.host("h1")
        tree = (await placement.get(f"/resource_providers?in_tree={key}"))["resource_providers"]
        (card,) = [one for one in tree if one["parent_provider_uuid"] == key]
        assert card["name"] == "h1.example:Open vSwitch agent:physnet1"
        usages = (await placement.get(f"/resource_providers/{card['uuid']}/usages"))["usages"]
        assert usages == {"NET_BW_EGR_KILOBIT_PER_SEC": 0, "NET_BW_IGR_KILOBIT_PER_SEC": 0}
        query = (
            "resources=VCPU:1&resources1=NET_BW_EGR_KILOBIT_PER_SEC:100"
            "&required1=CUSTOM_PHYSNET_PHYSNET1,CUSTOM_VNIC_TYPE_NORMAL"
        )
        await placement.traits(card["uuid"], "CUSTOM_PHYSNET_PHYSNET1", "CUSTOM_VNIC_TYPE_NORMAL")
        (found,) = (await placement.get(f"/allocation_candidates?{query}"))["allocation_requests"]
        assert found["mappings"] == {"": [key], "1": [card["uuid"]]}
        answer = await placement.give(
            CONSUMER, {card["uuid"]: {"resources": {"NET_BW_EGR_KILOBIT_PER_SEC": 1}}}
        )
        assert answer.status == 409 and "given to ports alone" in answer.json["errors"][0]["detail"]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_versions_and_errors(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        root = (await placement("GET", "/")).json["versions"][0]
        assert (root["min_version"], root["max_version"]) == ("1.0", "1.39")
        key = await placement.provider(1, VCPU=4)
        assert (await placement.at("1.9")("GET", "/allocation_candidates?resources=VCPU:1")).status == 404
        assert (await placement.at("1.13")("GET", f"/resource_providers/{key}")).json.keys() == {
            "uuid",
            "name",
            "generation",
            "links",
        }
        twice = {"uuid": key, "name": "p1"}
        new = await placement("POST", "/resource_providers", twice)
        old = await placement.at("1.22")("POST", "/resource_providers", twice)
        assert (new.status, old.status) == (409, 409)
        assert new.json["errors"][0]["code"] == "placement.duplicate_name"
        assert "code" not in old.json["errors"][0]
        stale = {"resource_provider_generation": 9, "traits": []}
        answer = await placement("PUT", f"/resource_providers/{key}/traits", stale)
        assert answer.status == 409 and answer.json["errors"][0]["code"] == "placement.concurrent_update"
        for path, words in (
            ("/resource_providers?name=a&nonsense=1", "Invalid query string parameters"),
            ("/resource_providers?resources=VCPU", "Badly formed resources parameter"),
            ("/resource_providers?resources=CUSTOM_NONE:1", "Invalid resource class"),
            ("/resource_providers?required=CUSTOM_NONE", "No such trait(s)"),
            ("/resource_providers?member_of=rack", "valid UUID"),
            ("/allocation_candidates?required=HW_CPU_X86_AVX", "at least one resources"),
            ("/allocation_candidates?resources1=VCPU:1&resources2=VCPU:1", "group_policy"),
            ("/allocation_candidates?resources=VCPU:1&limit=0", "does not match"),
        ):
            answer = await placement("GET", path)
            assert answer.status == 400 and words in answer.json["errors"][0]["detail"], (path, answer)
        bodies: list[tuple[Any, str]] = [
            ({"total": 0, "resource_class": "VCPU"}, "JSON does not validate"),
            ({"total": 4, "reserved": 5, "resource_class": "PCPU"}, "greater than"),
            ({"total": 4, "resource_class": "CUSTOM_NONE"}, "No such resource class"),
        ]
        for body, words in bodies:
            answer = await placement("POST", f"/resource_providers/{key}/inventories", body)
            assert answer.status == 400 and words in answer.json["errors"][0]["detail"], body
        assert (await placement.give(CONSUMER, {key: {"resources": {"VCPU": 5}}})).status == 409
        assert (await placement.give(CONSUMER, {key: {"resources": {"VCPU": 3}}})).status == 204
        assert (await placement.give(CONSUMER, {key: {"resources": {"VCPU": 1}}})).status == 409
        assert (await placement.give(CONSUMER, {key: {"resources": {"VCPU": 1}}}, 1)).status == 204
        assert (await placement("DELETE", f"/resource_providers/{key}")).status == 409
        assert (await placement("DELETE", f"/allocations/{CONSUMER}")).status == 204
        assert (await placement("DELETE", f"/allocations/{CONSUMER}")).status == 404
        assert (await placement("DELETE", f"/resource_providers/{key}")).status == 204

    tell(story, tmp_path, kind=kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_inventories_and_what_is_taken_move_together(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        above = await placement.provider(1, VCPU=4, DISK_GB=10)
        below = await placement.provider(2, above)
        assert (
            await placement.give(CONSUMER, {above: {"resources": {"VCPU": 2, "DISK_GB": 1}}})
        ).status == 204
        generation = (await placement.get(f"/resource_providers/{above}"))["generation"]
        body = {
            "inventories": {
                above: {
                    "resource_provider_generation": generation,
                    "inventories": {"DISK_GB": {"total": 10}},
                },
                below: {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}},
            },
            "allocations": {
                CONSUMER: {
                    "allocations": {
                        above: {"resources": {"DISK_GB": 1}},
                        below: {"resources": {"VCPU": 2}},
                    },
                    "project_id": "p",
                    "user_id": "u",
                    "consumer_generation": 1,
                    "consumer_type": "RACK",
                }
            },
        }
        without = {**body, "allocations": {}}
        answer = await placement("POST", "/reshaper", without)
        assert answer.status == 409 and answer.json["errors"][0]["code"] == "placement.inventory.inuse"
        # a refusal leaves everything as it was
        assert (await placement.get(f"/resource_providers/{above}"))["generation"] == generation
        assert (await placement("POST", "/reshaper", body)).status == 204
        assert (await placement.get(f"/resource_providers/{above}/usages"))["usages"] == {"DISK_GB": 1}
        assert (await placement.get(f"/resource_providers/{below}/usages"))["usages"] == {"VCPU": 2}

    tell(story, tmp_path, kind=kind)


def test_what_was_told_of_a_host_goes_with_it(tmp_path: Path) -> None:
    async def story(api: Cloud, placement: Placement) -> None:
        await api.host("h1")
        key = await placement.host("h1")
        card = await placement.provider(1, key, PCPU=2)
        admin = api.as_("admin")
        assert (await placement.give(CONSUMER, {card: {"resources": {"PCPU": 1}}})).status == 204
        services = (await admin("GET", "/os-services?binary=nova-compute")).json["services"]
        path = f"/os-services/{services[0]['id']}"
        assert (await admin("DELETE", path)).status == 409
        assert (await placement("DELETE", f"/allocations/{CONSUMER}")).status == 204
        assert (await admin("DELETE", path)).status == 204
        assert (await placement.get("/resource_providers"))["resource_providers"] == []

    tell(story, tmp_path)
