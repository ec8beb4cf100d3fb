"""A port's timeline: who made it, where it was bound, when it came up; nothing that did not happen."""

from __future__ import annotations

from pathlib import Path

from tests.api.network.cloud import Cloud, tell


def test_what_happened_to_a_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1")
        network = await api.make("network", name="blue")
        await api.make("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        port = await api.make("port", network_id=network["id"])
        path = f"/v2.0/ports/{port['id']}"
        await admin("PUT", path, {"port": {"binding:host_id": "h1"}})
        await api.status("h1", up=(port["id"],))

        seen = (await admin("GET", f"{path}/timeline")).json["timeline"]
        assert [entry["step"] for entry in seen] == ["port create", "port update", "port active"]
        assert seen[-1]["host"] == "h1"
        assert [entry["started_at"] for entry in seen] == sorted(entry["started_at"] for entry in seen)

        mine = (await api("GET", f"{path}/timeline")).json["timeline"]
        assert [entry["step"] for entry in mine] == [entry["step"] for entry in seen]
        assert not any("host" in entry for entry in mine), "where is for administrators"
        assert (await api.as_("bob")("GET", f"{path}/timeline")).status == 404

    tell(story, tmp_path)
