"""Cleaning up after nodes that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.volume.cloud import Cloud, pool, tell


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_a_node_that_is_gone_was_to_do_ends(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        host = await api.host("h1", pool("fast", gib=500))
        volume = await api.make(host)
        made = (await api.ask_for()).json["volume"]["id"]
        snapshot = {"snapshot": {"volume_id": volume["id"]}}
        kept = (await api("POST", "/snapshots", snapshot)).json["snapshot"]["id"]
        gone = (await api.ask_for()).json["volume"]["id"]

        async def clean(**asked: object) -> list[str]:
            answer = await admin("POST", "/workers/cleanup", asked)
            assert (answer.status, answer.json["unavailable"]) == (202, []), answer
            return [one["host"] for one in answer.json["cleaning"]]

        assert await clean() == ["h1@fast"]
        assert (await api.volume(made))["status"] == "creating", "its node lives, and will do it"
        api.clock.advance(3600 - 100)
        other = await api.host("h2", pool("far"))
        assert await clean(is_up=True) == ["h2@far"]
        assert await clean(host="h1@fast", disabled=True) == []
        assert await clean(cluster_name="none") == []
        assert (await api.volume(made))["status"] == "creating"
        assert await clean(host="h1@fast", resource_id=gone, resource_type="Volume") == ["h1@fast"]
        assert [(await api.volume(one))["status"] for one in (made, gone)] == ["creating", "error"]
        assert await clean(resource_id=kept, resource_type="Snapshot", is_up=False) == ["h1@fast"]
        assert (await api("GET", f"/snapshots/{kept}")).json["snapshot"]["status"] == "error"
        assert await clean(is_up=False) == ["h1@fast"]
        assert (await api.volume(made))["status"] == "error"
        await host.heartbeat()
        assert (await host.state()).volumes[0].operations == ()
        assert other.done == []
        for bad in ({"binary": "x"}, {"resource_type": "x"}, {"is_up": "x"}, {"odd": "x"}):
            assert (await admin("POST", "/workers/cleanup", bad)).status == 400
        assert (await api("POST", "/workers/cleanup", {})).status == 403
        assert (await admin.at("3.23")("POST", "/workers/cleanup", {})).status == 404

    tell(story, tmp_path, kind)


def test_there_are_no_clusters(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for path in ("/clusters", "/clusters/detail"):
            assert (await admin("GET", path)).json == {"clusters": []}
            assert (await api("GET", path)).status == 403
        assert (await admin("GET", "/clusters/one")).status == 404
        assert (await admin.at("3.6")("GET", "/clusters")).status == 404

    tell(story, tmp_path)
