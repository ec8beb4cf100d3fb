"""Volume types: made, given to projects, their extra specs, encryption, defaults; retyping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.volume.cloud import P1, Cloud, pool, tell

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_type_from_making_to_deleting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        made = await api.a_type("gold", description="fast", extra_specs={"kind": "ssd", "multiattach": "x"})
        path = f"/types/{made['id']}"
        shown = (await admin("GET", path)).json["volume_type"]
        assert shown["extra_specs"] == {"kind": "ssd", "multiattach": "x"}
        assert shown["os-volume-type-access:is_public"] is True
        seen = (await api("GET", path)).json["volume_type"]
        assert seen["extra_specs"] == {"multiattach": "x"}
        assert "qos_specs_id" not in seen
        answer = await admin("PUT", path, {"volume_type": {"name": "silver"}})
        assert (answer.status, answer.json["volume_type"]["name"]) == (200, "silver")
        assert (await admin("PUT", path, {"volume_type": {}})).status == 400
        assert (await admin("PUT", path, {"volume_type": {"name": "__DEFAULT__"}})).status == 409
        assert (await admin("POST", "/types", {"volume_type": {"name": "silver"}})).status == 409
        assert (await admin("POST", "/types", {"volume_type": {"name": ""}})).status == 400
        assert (await api("POST", "/types", {"volume_type": {"name": "mine"}})).status == 403
        names = [one["name"] for one in (await api("GET", "/types")).json["volume_types"]]
        assert sorted(names) == ["__DEFAULT__", "silver"]
        assert (await api("GET", "/types/default")).json["volume_type"]["name"] == "__DEFAULT__"
        assert (await admin("DELETE", path)).status == 202
        assert (await admin("GET", path)).status == 404

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_private_types_extra_specs_encryption_and_defaults(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, host = api.as_("admin"), await api.host()
        made = await api.a_type("mine", **{"os-volume-type-access:is_public": False})
        path = f"/types/{made['id']}"
        assert (await api("GET", path)).status == 404
        assert (await api.ask_for(volume_type="mine")).status == 404
        for status in (202, 409):
            given = {"addProjectAccess": {"project": P1}}
            assert (await admin("POST", f"{path}/action", given)).status == status
        access = (await admin("GET", f"{path}/os-volume-type-access")).json
        assert access == {"volume_type_access": [{"volume_type_id": made["id"], "project_id": P1}]}
        specs = f"{path}/extra_specs"
        assert (await admin("POST", specs, {"extra_specs": {"a": "1"}})).status == 200
        assert (await admin("PUT", f"{specs}/a", {"a": "2"})).json == {"a": "2"}
        assert (await admin("PUT", f"{specs}/a", {"b": "2"})).status == 400
        assert (await admin("GET", f"{specs}/a")).json == {"a": "2"}
        assert (await admin("DELETE", f"{specs}/a")).status == 202
        assert (await admin("DELETE", f"{specs}/a")).status == 404
        volume = await api.make(host, volume_type="mine")
        assert (await admin("DELETE", path)).status == 400
        body: dict[str, Any] = {
            "encryption": {"provider": "luks", "control_location": "front-end", "key_size": 256}
        }
        assert (await admin("POST", f"{path}/encryption", body)).status == 400
        other = await api.a_type("secret")
        answer = await admin("POST", f"/types/{other['id']}/encryption", body)
        assert answer.status == 200, answer
        key = answer.json["encryption"]["encryption_id"]
        shown = (await admin("GET", f"/types/{other['id']}/encryption")).json
        assert (shown["encryption_id"], shown["key_size"]) == (key, 256)
        sealed = (await api.ask_for(volume_type="secret")).json["volume"]
        assert (sealed["encrypted"], (await api.volume(sealed["id"]))["status"]) == (True, "error")
        put = {"default_type": {"volume_type": "mine"}}
        assert (await admin("PUT", f"/default-types/{P1}", put)).status == 200
        assert (await api.ask_for()).json["volume"]["volume_type"] == "mine"
        assert (await admin("DELETE", f"/default-types/{P1}")).status == 204
        assert (await admin("GET", f"/default-types/{P1}")).status == 404
        assert (await api("GET", "/default-types")).status == 403
        assert (await admin("POST", f"{path}/action", {"removeProjectAccess": {"project": P1}})).status == 202
        assert (await api.volume(volume["id"]))["volume_type"] == "mine"

    tell(story, tmp_path, kind)


def test_a_volume_is_given_another_type_where_its_pool_is_of_that_type(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host("h1", pool("fast"))
        await api.a_type("fast", extra_specs={"volume_backend_name": "fast"})
        await api.a_type("slow", extra_specs={"volume_backend_name": "slow"})
        await api.a_type("shared", extra_specs={"multiattach": "<is> True"})
        volume = await api.make(host)
        assert (await api.act(volume["id"], "os-retype", {"new_type": "fast"})).status == 202
        assert (await api.volume(volume["id"]))["volume_type"] == "fast"
        for name in ("fast", "slow"):
            assert (await api.act(volume["id"], "os-retype", {"new_type": name})).status == 400
        assert (await api.act(volume["id"], "os-retype", {"new_type": "none"})).status == 404
        assert (await api.act(volume["id"], "os-retype", {"new_type": "shared"})).status == 202
        assert (await api.volume(volume["id"]))["multiattach"] is True

    tell(story, tmp_path)
