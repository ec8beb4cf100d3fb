"""Metadata that guests are given, the console's output, diagnostics, and what is not here."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.api.compute.cloud import IMAGE, Cloud, tell


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


def test_a_guest_on_a_network_without_dhcp_has_a_config_drive(tmp_path: Path) -> None:
    """Nobody asked for one: there is no other way to its addresses."""

    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network(enable_dhcp=False, gateway_ip="10.0.0.1")
        server = await api.boot(host, "quiet", networks=[{"uuid": network_id}])
        assert server["config_drive"] == "True"
        (wanted,) = (await host.state()).servers
        drive, address = wanted.config_drive, server["addresses"]["net"][0]["addr"]
        document = json.loads(drive["openstack/latest/network_data.json"])
        assert [(one["type"], one["ip_address"]) for one in document["networks"]] == [("ipv4", address)]
        place = json.loads(drive["openstack/latest/meta_data.json"])["network_config"]["content_path"]
        assert f"    address {address}/24\n" in drive[f"openstack{place}"].decode()

    tell(story, tmp_path)


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAkBhbVJ2rBTgL1g4eGvKQ9EGCZ8BqvEZq8u7PV somebody@somewhere"


def test_console_diagnostics_and_what_is_refused(tmp_path: Path) -> None:
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
            ("resize", {"flavorRef": "1"}, 400),
            ("resize", {"flavorRef": "none"}, 400),
            ("resize", {"flavorRef": ""}, 400),
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
