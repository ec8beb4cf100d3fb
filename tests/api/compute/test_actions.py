"""What is done to servers that live: verbs and states, metadata, tags, interfaces, history."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, OTHER_IMAGE, P1, Cloud, tell

from pileus.wire.hypervisor import ServerReport


@pytest.mark.parametrize("kind", databases.KINDS)
def test_power_pause_suspend_reboot_rebuild(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]

        async def now() -> tuple[str, Any, int]:
            server = await api.server(server_id)
            return server["status"], server["OS-EXT-STS:task_state"], server["OS-EXT-STS:power_state"]

        for verb, task, end in (
            ("os-stop", "powering-off", ("SHUTOFF", None, 4)),
            ("os-start", "powering-on", ("ACTIVE", None, 1)),
            ("pause", "pausing", ("PAUSED", None, 3)),
            ("unpause", "unpausing", ("ACTIVE", None, 1)),
            ("suspend", "suspending", ("SUSPENDED", None, 7)),
            ("resume", "resuming", ("ACTIVE", None, 1)),
        ):
            assert (await api.act(server_id, verb)).status == 202
            assert (await now())[1] == task
            refused = await api.act(server_id, "os-stop")
            assert refused.status == 409
            await host.pass_()
            assert await now() == end, verb
        answer = await api.act(server_id, "os-start")
        assert answer.status == 409
        assert answer.message == (f"Cannot 'start' instance {server_id} while it is in vm_state active")
        assert (await api.act(server_id, "reboot", {"type": "soft"})).status == 202
        assert (await now())[0] == "REBOOT"
        assert (await api.act(server_id, "reboot", {"type": "HARD"})).status == 202
        assert (await now())[0] == "HARD_REBOOT"
        await host.pass_()
        assert await now() == ("ACTIVE", None, 1)
        assert len(host.done) == 2

        rebuilt = await api.act(server_id, "rebuild", {"imageRef": OTHER_IMAGE, "metadata": {"a": "b"}})
        assert rebuilt.status == 202
        assert rebuilt.json["server"]["status"] == "REBUILD"
        assert rebuilt.json["server"]["adminPass"]
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["image"]["id"], server["metadata"]) == (
            "ACTIVE",
            OTHER_IMAGE,
            {"a": "b"},
        )
        assert host.have[server_id][0] == 2
        await api.act(server_id, "os-stop")
        await host.pass_()
        await api.act(server_id, "rebuild", {"imageRef": IMAGE})
        await host.pass_()
        assert await now() == ("SHUTOFF", None, 4)
        actions = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"]
        assert len(actions) == 12
        for action in actions:
            shown = (
                await api("GET", f"/servers/{server_id}/os-instance-actions/{action['request_id']}")
            ).json["instanceAction"]
            assert [one["result"] for one in shown["events"]] == ["Success"], shown

    tell(story, tmp_path, kind)


def test_a_guest_that_goes_off_by_itself_stays_off(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        await host.tell(servers=(ServerReport(server_id, 1, 4, True),))
        assert (await api.server(server_id))["status"] == "SHUTOFF"
        (wanted,) = (await host.state()).servers
        assert wanted.wanted == "stopped"

    tell(story, tmp_path)


def test_a_verb_that_the_host_can_not_carry_out(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        api.clock.advance(1)
        await api.act(server_id, "suspend")
        host.fails = "no room for its memory"
        await host.pass_()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("ACTIVE", None)
        newest = (await api("GET", f"/servers/{server_id}/os-instance-actions")).json["instanceActions"][0]
        assert (newest["action"], newest["message"]) == ("suspend", "Error")
        host.fails = None
        await api.act(server_id, "pause")
        api.clock.advance(1000)
        await api.conductor().work()  # the host is down: the task is given up
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] is None

    tell(story, tmp_path)


def test_locks(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        # before 2.73 the argument means nothing, whatever it is
        assert (await api.at("2.72").act(server_id, "lock", {"locked_reason": {}})).status == 202
        assert (await api.server(server_id))["locked_reason"] is None
        assert (await api.act(server_id, "unlock")).status == 202
        assert (await api.act(server_id, "lock", {"locked_reason": "mine"})).status == 202
        server = await api.server(server_id)
        assert (server["locked"], server["locked_reason"]) == (True, "mine")
        assert (await api("GET", "/servers?locked=true")).json["servers"]
        assert (await api("GET", "/servers?locked=false")).json["servers"] == []
        refused = await api.act(server_id, "os-stop")
        assert (refused.status, refused.message) == (409, f"Instance {server_id} is locked")
        assert (await api("DELETE", f"/servers/{server_id}")).status == 409
        assert (await api.as_("admin").act(server_id, "os-stop")).status == 202
        assert (await api.act(server_id, "unlock")).status == 202
        assert (await api.as_("admin").act(server_id, "lock", {"locked_reason": "theirs"})).status == 202
        assert (await api.act(server_id, "unlock")).status == 403
        # locking it once more makes the lock nobody else's
        assert (await api.act(server_id, "lock", {"locked_reason": "mine"})).status == 202
        assert (await api.server(server_id))["locked_reason"] == "theirs"
        assert (await api.act(server_id, "unlock")).status == 403
        assert (await api.as_("admin").act(server_id, "unlock")).status == 202
        assert (await api.act(server_id, "lock")).status == 202
        assert (await api.as_("admin").act(server_id, "lock")).status == 202
        assert (await api.act(server_id, "unlock")).status == 403

    tell(story, tmp_path)


def test_metadata_and_tags(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host, metadata={"a": "1"}))["id"]
        path = f"/servers/{server_id}/metadata"
        assert (await api("POST", path, {"metadata": {"b": "2"}})).json["metadata"] == {"a": "1", "b": "2"}
        assert (await api("PUT", path, {"metadata": {"c": "3"}})).json["metadata"] == {"c": "3"}
        assert (await api("PUT", f"{path}/d", {"meta": {"d": "4"}})).json == {"meta": {"d": "4"}}
        assert (await api("PUT", f"{path}/d", {"meta": {"e": "4"}})).status == 400
        assert (await api("GET", f"{path}/d")).json == {"meta": {"d": "4"}}
        assert (await api("DELETE", f"{path}/c")).status == 204
        assert (await api("DELETE", f"{path}/c")).status == 404
        assert (await api("GET", path)).json == {"metadata": {"d": "4"}}
        assert (await api("PUT", path, {"metadata": {"": "x"}})).status == 400
        many = {f"k{n}": "v" for n in range(129)}
        assert (await api("POST", path, {"metadata": many})).status == 403
        assert (await api.as_("reader")("GET", path)).status == 200
        assert (await api.as_("reader")("DELETE", f"{path}/d")).status == 403
        assert (await api.as_("bob")("GET", path)).status == 404

        path = f"/servers/{server_id}/tags"
        assert (await api("PUT", path, {"tags": ["one", "two"]})).json == {"tags": ["one", "two"]}
        assert (await api("PUT", f"{path}/three")).status == 201
        assert (await api("PUT", f"{path}/three")).status == 204
        odd = await api("PUT", f"{path}/a\x0bb: c é")
        assert odd.status == 201
        assert odd.headers["location"].endswith("/tags/a%0Bb%3A%20c%20%C3%A9")
        assert (await api("GET", f"{path}/three")).status == 204
        assert (await api("DELETE", f"{path}/one")).status == 204
        assert (await api("GET", f"{path}/one")).status == 404
        found = (await api("GET", "/servers?tags=two,three")).json["servers"]
        assert [one["id"] for one in found] == [server_id]
        assert (await api("GET", "/servers?not-tags=two")).json["servers"] == []
        assert (await api.at("2.25")("GET", path)).status == 404

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_interfaces(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        first = await api.a_network()
        server_id = (await api.boot(host))["id"]
        second = await api.a_network("10.1.0.0/24", "second")
        path = f"/servers/{server_id}/os-interface"
        made = await api("POST", path, {"interfaceAttachment": {"net_id": second, "tag": "data"}})
        assert made.status == 200
        assert made.json["interfaceAttachment"]["tag"] == "data"
        port_id = made.json["interfaceAttachment"]["port_id"]
        (wanted,) = (await host.state()).servers
        assert [port.port_id for port in wanted.ports][1] == port_id
        await host.pass_()
        shown = (await api("GET", f"{path}/{port_id}")).json["interfaceAttachment"]
        assert shown["port_state"] == "ACTIVE"
        assert set((await api.server(server_id))["addresses"]) == {"net", "second"}

        own = (
            await api("POST", "/networking/v2.0/ports", {"port": {"network_id": first, "name": "own"}})
        ).json["port"]["id"]
        assert (await api("POST", path, {"interfaceAttachment": {"port_id": own}})).status == 200
        again = await api("POST", path, {"interfaceAttachment": {"port_id": own}})
        assert again.status == 409
        assert len((await api("GET", path)).json["interfaceAttachments"]) == 3
        assert (await api("DELETE", f"{path}/{own}")).status == 202
        freed = (await api("GET", f"/networking/v2.0/ports/{own}")).json["port"]
        assert (freed["device_id"], freed["device_owner"]) == ("", "")
        assert (await api("DELETE", f"{path}/{port_id}")).status == 202
        assert (await api("GET", f"/networking/v2.0/ports/{port_id}")).status == 404
        assert (await api("DELETE", f"{path}/{port_id}")).status == 404
        bad = {"interfaceAttachment": {"port_id": own, "net_id": first}}
        assert (await api("POST", path, bad)).status == 400

        # a port that is deleted in the network API is no longer the server's
        (left,) = await api.ports_of(server_id)
        await api("DELETE", f"/networking/v2.0/ports/{left['id']}")
        (wanted,) = (await host.state()).servers
        assert wanted.ports == ()

    tell(story, tmp_path, kind)


def test_given_ports_and_groups(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        own = (await api("POST", "/networking/v2.0/ports", {"port": {"network_id": network_id}})).json[
            "port"
        ]["id"]
        group = (
            await api("POST", "/networking/v2.0/security-groups", {"security_group": {"name": "web"}})
        ).json["security_group"]["id"]
        server_id = (await api.boot(host, networks=[{"port": own}]))["id"]
        assert (await api.ask_for(networks=[{"port": own}])).status == 409
        assert (await api.act(server_id, "addSecurityGroup", {"name": "web"})).status == 202
        assert {one["name"] for one in (await api.server(server_id))["security_groups"]} == {"default", "web"}
        listed = (await api("GET", f"/servers/{server_id}/os-security-groups")).json["security_groups"]
        assert {one["id"] for one in listed} >= {group}
        assert (await api.act(server_id, "removeSecurityGroup", {"name": "web"})).status == 202
        assert (await api.act(server_id, "removeSecurityGroup", {"name": "web"})).status == 404
        assert (await api.act(server_id, "addSecurityGroup", {"name": "no"})).status == 404

        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_()
        kept = (await api("GET", f"/networking/v2.0/ports/{own}")).json["port"]
        assert kept["device_id"] == ""

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_lists(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        made = {}
        for name in ("alpha-instance-1", "alpha-instance-2", "beta"):
            api.clock.advance(1)
            made[name] = await api.boot(host, name)

        async def names(query: str, who: str = "alice", version: str = "2.1") -> list[str]:
            answer = await api.as_(who, version)("GET", f"/servers/detail?{query}")
            assert answer.status == 200, answer
            return [one["name"] for one in answer.json["servers"]]

        assert await names("") == ["beta", "alpha-instance-2", "alpha-instance-1"]
        assert await names("name=alpha") == ["alpha-instance-2", "alpha-instance-1"]
        assert await names("name=%5E.*%5C-instance%5C-%5B0-9%5D%2B%24") == [
            "alpha-instance-2",
            "alpha-instance-1",
        ]
        address = made["beta"]["addresses"]["net"][0]["addr"]
        assert "beta" in await names(f"ip={address}")
        assert await names(f"image={IMAGE}&sort_key=display_name&sort_dir=asc&limit=2") == [
            "alpha-instance-1",
            "alpha-instance-2",
        ]
        assert await names("status=ACTIVE&status=SHUTOFF&limit=1") == ["beta"]
        assert await names("status=SHUTOFF") == []
        assert await names("flavor=2") == []
        assert await names(f"limit=1&marker={made['beta']['id']}") == ["alpha-instance-2"]
        assert (await api("GET", "/servers?marker=nobody")).status == 400
        # a server of another project is no more a marker than one that does not exist
        foreign = await api.as_("bob")("GET", f"/servers?marker={made['beta']['id']}")
        absent = await api.as_("bob")("GET", f"/servers?marker={IMAGE}")
        assert foreign.status == absent.status == 400
        assert foreign.message == absent.message.replace(IMAGE, made["beta"]["id"])
        for query in ("name=a", "name=a.*"):
            answer = await api.as_("bob")("GET", f"/servers?{query}&marker={made['beta']['id']}")
            assert (answer.status, answer.message) == (400, foreign.message)
        assert (await api("GET", "/servers?limit=-1")).status == 400
        for name in ("changes-since", "changes-before", "created_at"):
            for text in ("yesterday", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-00:01", ""):
                assert (await api("GET", f"/servers?{name}={text}")).status == 400, (name, text)
        assert await names("changes-since=2026-01-01T00:00:00Z&name=beta") == ["beta"]
        assert await names("status=nothing") == []
        assert (await api.at("2.38")("GET", "/servers?status=nothing")).status == 400
        assert (await api("GET", "/servers?colour=blue")).status == 400
        assert (await api.at("2.1")("GET", "/servers?colour=blue")).status == 200
        assert (await api("GET", "/servers?all_tenants=1")).status == 403
        assert await names("", "bob") == []
        assert await names("all_tenants=1&host=h1", "admin") != []
        assert await names(f"all_tenants=true&project_id={P1}&host=h2", "admin") == []
        assert (await api("GET", "/servers?status=DELETED")).status == 403
        await api("DELETE", f"/servers/{made['beta']['id']}")
        await host.pass_()
        assert "beta" not in await names("")
        assert await names("changes-since=2026-01-01T00:00:00Z&name=beta") == ["beta"]
        assert await names("all_tenants=1&deleted=true", "admin") == ["beta"]
        for odd in ("a%7B2%7D", "%25", "%27"):
            assert await names(f"name={odd}") == []
            assert await names(f"ip={odd}") == []
        assert await names("name=%28%3Fi%29ALPHA") == ["alpha-instance-2", "alpha-instance-1"]
        for odd in ("%5B", "%2A", "%28%3F%3Da%29", "a%2B%2B", "%28"):
            assert (await api("GET", f"/servers?name={odd}")).status == 400
            assert (await api("GET", f"/servers?ip={odd}")).status == 400

    tell(story, tmp_path, kind)


def test_refusals_of_new_servers(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        network_id = await api.a_network()
        for values, status, part in (
            ({"name": ""}, 400, "too short"),
            ({"flavorRef": "none"}, 400, "Flavor none could not be found."),
            ({"imageRef": "20000000-0000-4000-8000-000000000001"}, 400, "could not be found"),
            ({"imageRef": "no-uuid"}, 400, "is not a 'uuid'"),
            ({"key_name": "nobody"}, 400, "Invalid key_name provided."),
            ({"networks": [{"uuid": "20000000-0000-4000-8000-000000000001"}]}, 400, "could not be found"),
            ({"networks": [{"port": "20000000-0000-4000-8000-000000000001"}]}, 400, "could not be found"),
            ({"security_groups": [{"name": "no"}]}, 400, "Unable to find security_group"),
            ({"min_count": 3, "max_count": 2}, 400, "min_count must be <= max_count"),
            ({"min_count": 11}, 403, "Quota exceeded for instances: Requested 11, but already used 0 of 10"),
            ({"metadata": {f"k{n}": "v" for n in range(129)}}, 403, "metadata items exceeds 128"),
            ({"metadata": {"k": "v" * 256}}, 400, "too long"),
            ({"user_data": "abc"}, 400, "base64"),
            ({"availability_zone": "nowhere"}, 400, "The requested availability zone is not available"),
            ({"availability_zone": "nova:h1"}, 403, "forced_host"),
            ({"accessIPv4": "1.2.3"}, 400, "is not a 'ipv4'"),
            ({"colour": "blue"}, 400, "Additional properties are not allowed"),
            ({"block_device_mapping_v2": [{"source_type": "volume"}]}, 400, "Missing device UUID."),
        ):
            answer = await api.ask_for(**values)
            assert (answer.status, part in answer.message) == (status, True), (values, answer)
        assert await api.count("servers") == 0
        await api.a_network("10.9.0.0/24", "another")
        assert (await api.ask_for()).status == 409
        answer = await api.ask_for(networks=[{"uuid": network_id}], max_count=20)
        assert answer.status == 202
        assert await api.count("servers") == 10
        assert (await api.as_("reader").ask_for()).status == 403

    tell(story, tmp_path)


def test_metadata_for_guests(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await host.service_agent("DHCP")
        network_id = await api.a_network()
        key = (await api("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": PUBLIC}})).json
        assert key["keypair"]["fingerprint"].count(":") == 15
        text = base64.b64encode(b"#!/bin/sh\n").decode()
        server = await api.boot(host, "web", key_name="k", user_data=text, config_drive=True)
        address = server["addresses"]["net"][0]["addr"]

        async def get(path: str, source: str = address) -> tuple[int, str]:
            reply = await host.metadata(path, source, network_id)
            return reply.status, reply.body.decode()

        assert (await get("/"))[0] == 200
        assert (await get("/openstack"))[1].splitlines()[-1] == "latest"
        assert "meta_data.json" in (await get("/openstack/latest/"))[1].splitlines()
        document = json.loads((await get("/openstack/latest/meta_data.json"))[1])
        assert document["uuid"] == server["id"]
        assert document["public_keys"] == {"k": PUBLIC}
        seed = base64.b64decode(document["random_seed"])
        assert len(seed) == 512
        again = json.loads((await get("/openstack/latest/meta_data.json"))[1])
        assert again["random_seed"] == document["random_seed"]
        assert await api.count("servers") == 1
        other = await api.boot(host, "other", config_drive=True)
        drives = {
            one.server_id: json.loads(one.config_drive["openstack/latest/meta_data.json"])
            for one in (await host.state()).servers
        }
        assert drives[server["id"]]["random_seed"] == document["random_seed"]
        assert drives[other["id"]]["random_seed"] != document["random_seed"]
        assert (await api("DELETE", f"/servers/{other['id']}")).status == 204
        await host.pass_()
        assert document["hostname"] == "web"
        network = json.loads((await get("/openstack/latest/network_data.json"))[1])
        assert [one["type"] for one in network["networks"]] == ["ipv4_dhcp"]
        assert network["services"] == [{"type": "dns", "address": "192.0.2.53"}]
        assert (await get("/openstack/latest/user_data"))[1] == "#!/bin/sh\n"
        assert (await get("/latest/user-data"))[1] == "#!/bin/sh\n"
        assert (await get("/latest/meta-data/local-ipv4"))[1] == address
        assert (await get("/2009-04-04/meta-data/public-keys/"))[1] == "0=k"
        assert (await get("/2009-04-04/meta-data/public-keys/0/openssh-key"))[1] == PUBLIC
        assert (await get("/latest/meta-data/instance-id"))[1].startswith("i-")
        assert (await get("/latest/meta-data/none"))[0] == 404
        assert (await get("/openstack/latest/meta_data.json", "10.0.0.250"))[0] == 404

        (wanted,) = (await host.state()).servers
        drive = wanted.config_drive
        assert json.loads(drive["openstack/latest/meta_data.json"])["admin_pass"]
        assert drive["openstack/latest/user_data"] == b"#!/bin/sh\n"
        assert wanted.image.path == f"/image/{IMAGE}?ticket=t"

    tell(story, tmp_path)


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAkBhbVJ2rBTgL1g4eGvKQ9EGCZ8BqvEZq8u7PV somebody@somewhere"


def test_console_diagnostics_and_what_is_not_here(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        answer = await api.act(server_id, "os-getConsoleOutput", {"length": 10})
        assert answer.json == {"output": "log 10"}
        assert (await api.act(server_id, "os-getConsoleOutput", {})).json == {"output": "log -1"}
        assert (await api.act(server_id, "os-getConsoleOutput", {"length": "x"})).status == 400
        assert (await api.as_("admin")("GET", f"/servers/{server_id}/diagnostics")).status == 409
        for verb, argument, status in (
            ("resize", {"flavorRef": "2"}, 501),
            ("resize", {"flavorRef": "1"}, 400),
            ("resize", {"flavorRef": "none"}, 400),
            ("resize", {"flavorRef": ""}, 400),
            ("resize", {"flavorRef": "5"}, 501),
            ("shelve", None, 501),
            ("unshelve", None, 409),
            ("confirmResize", None, 409),
            ("migrate", None, 403),
            ("injectNetworkInfo", None, 403),
        ):
            assert (await api.act(server_id, verb, argument)).status == status, verb
        assert (await api.as_("admin").act(server_id, "injectNetworkInfo")).status == 202
        assert (await api.act(server_id, "changePassword", {"adminPass": "x"})).status == 409
        assert (await api.act(server_id, "dance")).status == 400
        assert (await api("POST", f"/servers/{server_id}/action", {})).status == 400
        assert (await api("GET", f"/servers/{server_id}/os-volume_attachments")).json == {
            "volumeAttachments": []
        }
        steps = (await api("GET", f"/servers/{server_id}/os-pileus-timeline")).json["timeline"]
        assert {one["step"] for one in steps} == {
            "request",
            "schedule",
            "port created",
            "ports",
            "handed to the host",
            "domain.start",
            "port active",
            "active",
        }
        assert all(one.get("host") is None for one in steps)

    tell(story, tmp_path)


def test_server_groups(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        h1, h2 = await api.host("h1"), await api.host("h2")
        await api.a_network()
        body = {"server_group": {"name": "apart", "policy": "anti-affinity"}}
        group = (await api("POST", "/os-server-groups", body)).json["server_group"]
        ids = []
        for n in range(3):
            answer = await api.ask_for(f"vm{n}", hints={"group": group["id"]})
            ids.append(answer.json["server"]["id"])
        conductor = api.conductor()
        await conductor.work()
        admin = api.as_("admin")
        hosts = [(await admin.server(one))["OS-EXT-SRV-ATTR:host"] for one in ids]
        assert sorted(map(str, hosts)) == ["None", "h1", "h2"]
        (failed,) = [one for one, host in zip(ids, hosts, strict=True) if host is None]
        assert "anti-affinity" in (await api.server(failed))["fault"]["message"]
        shown = (await api("GET", f"/os-server-groups/{group['id']}")).json["server_group"]
        assert set(shown["members"]) == set(ids)
        assert (await api.server(ids[0]))["server_groups"] == [group["id"]]
        assert (await api("DELETE", f"/os-server-groups/{group['id']}")).status == 204
        assert h1.have == h2.have == {}

    tell(story, tmp_path)


def test_servers_of_others_are_no_neighbours_to_ask_for(tmp_path: Path) -> None:
    """Or one would learn where they are: from the host that is chosen, and from the sentence of a refusal."""

    async def story(api: Cloud) -> None:
        hosts = [await api.host("h1"), await api.host("h2", memory_mib=8192)]
        await api.a_network()
        theirs = (await api.boot(hosts[0]))["id"]
        bob = api.as_("bob")
        await bob.a_network("10.9.0.0/24", "bobs")
        none = "00000000-0000-4000-8000-00000000000f"

        async def outcome(caller: Cloud, hints: dict[str, Any]) -> tuple[str, str]:
            answer = await caller.ask_for("beside", hints=hints)
            assert answer.status == 202, answer
            await api.conductor().work()
            server = await api.as_("admin").server(answer.json["server"]["id"])
            return server["OS-EXT-SRV-ATTR:host"], server.get("fault", {}).get("message", "")

        for name in ("same_host", "different_host"):
            assert await outcome(bob, {name: [theirs]}) == await outcome(bob, {name: [none]})
        assert (await outcome(bob, {"same_host": [theirs]}))[0] is None
        assert (await outcome(bob, {"different_host": [theirs]}))[0] == "h1"
        mine = (await bob("GET", "/servers?name=beside&status=BUILD")).json["servers"][0]["id"]
        assert (await outcome(bob, {"same_host": [theirs, mine]}))[0] == "h1"
        assert (await outcome(api, {"different_host": theirs}))[0] == "h2"

    tell(story, tmp_path)
