"""QoS specs: made, changed, given to types, told to whoever opens a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.volume.cloud import Cloud, tell

from pileus.services.volume.service import volume_limits

NOBODY = "11111111-2222-3333-4444-555555555555"


async def _made(api: Cloud, name: str = "slow", **specs: str) -> str:
    body = {"qos_specs": {"name": name, **specs}}
    answer = await api.as_("admin")("POST", "/qos-specs", body)
    assert answer.status == 200, answer
    return str(answer.json["qos_specs"]["id"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_qos_specs_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        key = await _made(api, consumer="front-end", read_iops_sec="2000")
        path = f"/qos-specs/{key}"
        shown = (await admin("GET", path)).json
        specs = {"id": key, "name": "slow", "consumer": "front-end", "specs": {"read_iops_sec": "2000"}}
        assert shown["qos_specs"] == specs
        assert shown["links"][0]["href"].endswith(path)
        assert (await admin("GET", "/qos-specs")).json["qos_specs"] == [specs]
        assert (await admin("POST", "/qos-specs", {"qos_specs": {"name": "slow"}})).status == 409
        changed = await admin("PUT", path, {"qos_specs": {"iops_bytes": "500"}})
        assert (changed.status, changed.json) == (200, {"qos_specs": {"iops_bytes": "500"}})
        assert (await admin("PUT", f"{path}/delete_keys", {"keys": ["iops_bytes"]})).status == 202
        assert (await admin("PUT", f"{path}/delete_keys", {"keys": ["iops_bytes"]})).status == 404
        assert (await admin("PUT", path, {"qos_specs": {"consumer": "both"}})).status == 200
        assert (await admin("GET", path)).json["qos_specs"] == {**specs, "consumer": "both"}
        assert (await api("GET", path)).status == 403
        assert (await api("GET", "/qos-specs")).status == 403
        assert (await admin("DELETE", path)).status == 202
        for method in ("GET", "DELETE"):
            assert (await admin(method, path)).status == 404
        assert (await admin("GET", f"{path}/associations")).status == 404

    tell(story, tmp_path, kind)


BAD: list[dict[str, Any]] = [
    {},
    {"name": ""},
    {"name": "a", "consumer": "nobody"},
    {"name": "a", "key/": "1"},
    {"name": "a", "key": None},
    {"name": "a", "key": "x" * 256},
    {"name": "a", "consumer": "front-end", "total_iops_sec": "many"},
    {"name": "a", "consumer": "both", "read_bytes_sec": "-1"},
    {"name": "a", "consumer": "front-end", "read_iops_sec": "1", "total_iops_sec_per_gb": "1"},
    {"name": "a", **{f"key{number}": "1" for number in range(513)}},
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_specs_that_nobody_can_keep_are_refused(body: dict[str, Any], tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answer = await api.as_("admin")("POST", "/qos-specs", {"qos_specs": body})
        assert answer.status == 400, answer
        assert (await api.as_("admin")("GET", "/qos-specs")).json["qos_specs"] == []

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_types_have_specs_and_whoever_opens_a_volume_is_told_its_limits(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, host = api.as_("admin"), await api.host()
        gold, lead = await api.a_type("gold"), await api.a_type("lead")
        key = await _made(api, consumer="front-end", total_iops_sec_per_gb="100", write_bytes_sec="4096")
        other = await _made(api, "other")
        path = f"/qos-specs/{key}"
        for kind_id in (gold["id"], gold["id"], lead["id"]):
            assert (await admin("GET", f"{path}/associate?vol_type_id={kind_id}")).status == 202
        taken = await admin("GET", f"/qos-specs/{other}/associate?vol_type_id={gold['id']}")
        assert taken.status == 400
        assert (await admin("GET", f"{path}/associate")).status == 400
        assert (await admin("GET", f"{path}/associate?vol_type_id={NOBODY}")).status == 404
        found = (await admin("GET", f"{path}/associations")).json["qos_associations"]
        wanted = [
            {"association_type": "volume_type", "name": one["name"], "id": one["id"]} for one in (gold, lead)
        ]
        assert found == wanted
        assert (await admin("GET", f"/types/{gold['id']}")).json["volume_type"]["qos_specs_id"] == key
        volume, plain = await api.make(host, 3, volume_type="gold"), await api.make(host, 3)
        limits = await api.store.read(volume_limits, [volume["id"], plain["id"]])
        assert limits == {volume["id"]: {"total_iops_sec": 300, "write_bytes_sec": 4096}}
        told = {"total_iops_sec": "300", "write_bytes_sec": "4096"}
        connector = {"host": "h1", "protocols": ["file"]}
        body = {"attachment": {"volume_uuid": volume["id"], "connector": connector}}
        made = (await api.while_asked(api("POST", "/attachments", body), host)).json["attachment"]
        assert made["connection_info"]["data"]["qos_specs"] == told
        listed = (await api("GET", "/attachments/detail")).json["attachments"]
        assert [one["connection_info"]["data"]["qos_specs"] for one in listed] == [told]
        asked = api.act(plain["id"], "os-initialize_connection", {"connector": connector})
        info = (await api.while_asked(asked, host)).json["connection_info"]
        assert info["data"]["qos_specs"] is None
        assert (await admin("DELETE", path)).status == 400
        assert (await admin("GET", f"{path}/disassociate?vol_type_id={gold['id']}")).status == 202
        assert [
            one["id"] for one in (await admin("GET", f"{path}/associations")).json["qos_associations"]
        ] == [lead["id"]]
        assert await api.store.read(volume_limits, [volume["id"]]) == {}
        assert (await admin("DELETE", f"{path}?force=true")).status == 202
        assert (await admin("GET", f"/types/{lead['id']}")).json["volume_type"]["qos_specs_id"] is None
        assert (await admin("GET", f"/qos-specs/{other}/disassociate_all")).status == 202

    tell(story, tmp_path, kind)
