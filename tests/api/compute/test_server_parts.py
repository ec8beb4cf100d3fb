"""What hangs on a server: metadata, tags, interfaces, security groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell


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
