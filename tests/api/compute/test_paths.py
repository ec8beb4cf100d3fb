"""Spellings of paths: with a project id, and below ``/v2``, as Nova serves them."""

from __future__ import annotations

from pathlib import Path

from tests.api.compute.cloud import IMAGE, P1, P2, Cloud, tell


def test_a_project_id_in_the_path(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        made = await api.ask_for(networks="none")
        server_id = made.json["server"]["id"]
        listed = await api("GET", f"/{P1}/servers?limit=1")
        assert [one["id"] for one in listed.json["servers"]] == [server_id]
        (link, bookmark) = listed.json["servers"][0]["links"]
        assert link["href"] == f"http://cloud/compute/v2.1/{P1}/servers/{server_id}"
        assert bookmark["href"] == f"http://cloud/compute/{P1}/servers/{server_id}"
        assert listed.json["servers_links"][0]["href"].startswith(
            f"http://cloud/compute/v2.1/{P1}/servers?limit=1&marker="
        )
        assert (await api("GET", f"/{P1}/servers/{server_id}")).json["server"]["id"] == server_id
        assert (await api("GET", f"/{P1}/os-quota-sets/{P1}")).status == 200
        assert (await api("POST", f"/{P1}/servers/{server_id}/action", {"no": None})).status == 400
        foreign = await api("GET", f"/{P2}/servers")
        assert (foreign.status, foreign.message) == (
            400,
            f"Malformed request URL: URL's project_id '{P2}' doesn't match Context's project_id '{P1}'",
        )
        assert (await api("GET", "/NOT-HEX/servers")).status == 404
        assert (await api("GET", f"/{P1}/nothing")).status == 404
        assert (
            await api("GET", f"/servers/{server_id}.json")
        ).status == 404  # as in Nova: the id has no suffix
        assert (await api("GET", "/servers.json")).status == 404

    tell(story, tmp_path)


def test_the_api_before_microversions(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        document = await api("GET", "/v2/", root=True)
        assert document.json["version"]["id"] == "v2.0"
        server = {"name": "old", "flavorRef": "1", "imageRef": IMAGE, "colour": "blue", "description": "new"}
        answer = await api("POST", f"/v2/{P1}/servers", {"server": {**server, "networks": []}}, root=True)
        assert answer.status == 202, answer
        assert not {"openstack-api-version", "x-openstack-nova-api-version"} & {*answer.headers}
        server_id = answer.json["server"]["id"]
        assert answer.headers["location"] == f"http://cloud/compute/v2/{P1}/servers/{server_id}"
        shown = (await api("GET", f"/v2/servers/{server_id}", root=True)).json["server"]
        assert shown["links"][0]["href"] == f"http://cloud/compute/v2/servers/{server_id}"
        assert "description" not in shown
        assert "locked" not in shown
        answer = await api(
            "POST", "/v2/servers", {"server": {**server, "name": 5, "networks": []}}, root=True
        )
        assert answer.status == 400
        reboot = {"reboot": {"type": "SOFT", "colour": "blue"}}
        answer = await api("POST", f"/v2/servers/{server_id}/action", reboot, root=True)
        assert answer.status == 409
        # 2.2 answers 204, what was before it 202
        assert (await api("POST", "/os-keypairs", {"keypair": {"name": "k"}})).status == 400
        assert (await api("POST", "/v2/os-keypairs", {"keypair": {"name": "k"}}, root=True)).status == 200
        assert (await api("DELETE", "/v2/os-keypairs/k", root=True)).status == 202
        assert (await api("GET", "/v2/nothing", root=True)).status == 404

    tell(story, tmp_path)
