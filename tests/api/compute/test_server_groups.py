"""Server groups, and whom a project may name in hints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.compute.cloud import Cloud, tell


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
        said = (await api.server(failed))["fault"]["message"]
        assert said == "No valid host was found. Of 2 hosts ServerGroupAntiAffinityFilter refused 2."
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
