"""Logs of security groups: what can be logged, who may, and what nodes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, Cloud, tell
from tests.waiting import until

from pileus.wire import scopes

PATH = "/v2.0/log/logs"
NOBODY = "11111111-2222-3333-4444-555555555555"


async def made(api: Cloud, **values: Any) -> dict[str, Any]:
    answer = await api("POST", PATH, {"log": {"resource_type": "security_group", **values}})
    assert answer.status == 201, answer
    return answer.json["log"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_log_is_made_turned_off_and_deleted(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager = api.as_("manager")
        group = await api.make("security_group", name="web")
        log = await made(manager, name="l", description="d", resource_id=group["id"])
        assert (log["event"], log["enabled"], log["target_id"], log["project_id"]) == ("ALL", True, None, P1)
        one = f"{PATH}/{log['id']}"
        assert (await manager("GET", one)).json["log"] == log
        for query in (
            "event=ALL",
            "enabled=true",
            f"resource_id={group['id']}",
            "resource_type=security_group",
        ):
            assert (await manager("GET", f"{PATH}?{query}")).json["logs"] == [log], query
        assert (await manager("GET", f"{PATH}?event=DROP")).json["logs"] == []
        off = await manager("PUT", one, {"log": {"enabled": False, "name": "m"}})
        assert (off.json["log"]["enabled"], off.json["log"]["name"]) == (False, "m")
        fixed = await manager("PUT", one, {"log": {"event": "DROP"}})
        assert (fixed.status, fixed.message) == (400, "Cannot update read-only attribute event")
        assert (await manager("DELETE", one)).status == 204
        gone = await manager("GET", one)
        assert (gone.status, gone.message) == (404, f"Log resource {log['id']} could not be found.")
        kinds = (await manager("GET", "/v2.0/log/loggable-resources")).json
        assert kinds == {"loggable_resources": [{"type": "security_group"}]}

    tell(story, tmp_path, kind)


def test_what_can_not_be_logged(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager, bob = api.as_("manager"), api.as_("bob")
        network, _ = await api.a_network()
        group = await api.make("security_group", name="web")
        port = await api.make("port", network_id=network)
        theirs = await bob.make("security_group", name="theirs")
        their_network = await bob.make("network")
        their_port = await bob.make("port", network_id=their_network["id"])
        for values, status, error in (
            ({"resource_type": "snat"}, 400, "InvalidLogResourceType"),
            ({"resource_id": NOBODY}, 404, "ResourceNotFound"),
            ({"resource_id": theirs["id"]}, 404, "ResourceNotFound"),
            ({"target_id": NOBODY}, 404, "TargetResourceNotFound"),
            ({"target_id": their_port["id"]}, 404, "TargetResourceNotFound"),
            ({"resource_id": group["id"], "target_id": port["id"]}, 400, "InvalidResourceConstraint"),
            ({"event": "MAYBE"}, 400, "HTTPBadRequest"),
            ({"resource_id": "x"}, 400, "HTTPBadRequest"),
        ):
            answer = await manager("POST", PATH, {"log": {"resource_type": "security_group", **values}})
            assert (answer.status, answer.error) == (status, error), values
        missing = await manager("POST", PATH, {"log": {}})
        assert missing.message == "Failed to parse request. Required attribute 'resource_type' not specified"
        assert (await api("POST", PATH, {"log": {"resource_type": "security_group"}})).status == 403
        assert (await api("GET", "/v2.0/log/loggable-resources")).status == 403

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_nodes_are_told_of_the_logs_of_their_ports(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, manager = api.as_("admin"), api.as_("manager")
        await api.report("h1")
        network, _ = await api.a_network()
        group = await api.make("security_group", name="web")
        ports = [
            await api.make("port", network_id=network, **groups)
            for groups in ({"security_groups": [group["id"]]}, {})
        ]
        for port in ports:
            await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h1"}})
        seen: dict[str, set[str]] = {}
        unsubscribe = await api.listen(
            lambda published: seen.update({event.kind: set(event.scopes) for event in published.events})
        )

        async def told() -> list[set[tuple[str, str]]]:
            devices = {one.port_id: one for one in (await api.switch("h1")).devices}
            return [{(log.log_id, log.event) for log in devices[port["id"]].logs} for port in ports]

        assert await told() == [set(), set()]
        of_group = await made(manager, resource_id=group["id"], event="DROP")
        await until(lambda: seen.get("log.create") == {scopes.host("h1")})
        of_port = await made(manager, target_id=ports[1]["id"], event="ACCEPT")
        both = await made(manager, resource_id=group["id"], target_id=ports[0]["id"])
        assert await told() == [
            {(of_group["id"], "DROP"), (both["id"], "ALL")},
            {(of_port["id"], "ACCEPT")},
        ]
        of_all = await made(manager)
        await made(admin)  # all of the administrator's own project
        assert await told() == [
            {(of_group["id"], "DROP"), (both["id"], "ALL"), (of_all["id"], "ALL")},
            {(of_port["id"], "ACCEPT"), (of_all["id"], "ALL")},
        ]
        await manager("PUT", f"{PATH}/{of_all['id']}", {"log": {"enabled": False}})
        await until(lambda: seen.get("log.update") == {scopes.host("h1")})
        await manager("PUT", f"{PATH}/{of_all['id']}", {"log": {"name": "x"}})
        await until(lambda: seen.get("log.update") == set())
        await api("PUT", f"/v2.0/ports/{ports[0]['id']}", {"port": {"security_groups": []}})
        assert await told() == [set(), {(of_port["id"], "ACCEPT")}]
        # What a log is about takes it along.
        assert (await api("DELETE", f"/v2.0/security-groups/{group['id']}")).status == 204
        assert (await api("DELETE", f"/v2.0/ports/{ports[1]['id']}")).status == 204
        left = {one["id"] for one in (await manager("GET", PATH)).json["logs"]}
        assert left == {of_all["id"]}
        unsubscribe()

    tell(story, tmp_path, kind)
