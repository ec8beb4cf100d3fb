"""Lists of servers, and refusals of new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, P1, Cloud, tell


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
