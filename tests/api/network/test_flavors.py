"""Flavors, service profiles, and routers of a flavor."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, tell
from tests.api.network.test_routers import refused

SINGLE = "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_router_of_a_flavor(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        flavor = await admin.make("flavor", name="plain", service_type="l3_router_nat")
        assert flavor["service_type"] == "L3_ROUTER_NAT" and flavor["service_profiles"] == []
        body = {"router": {"flavor_id": flavor["id"]}}
        refused(await api("POST", "/v2.0/routers", body), 404, "FlavorServiceProfileBindingNotFound")
        made = await admin("POST", "/v2.0/service_profiles", {"service_profile": {"driver": SINGLE}})
        profile = made.json["service_profile"]
        assert made.status == 201 and profile["flavors"] == [] and profile["enabled"] is True
        path = f"/v2.0/flavors/{flavor['id']}/service_profiles"
        bind = {"service_profile": {"id": profile["id"]}}
        bound = await admin("POST", path, bind)
        assert bound.status == 201
        assert bound.json["service_profile"]["service_profiles"] == [profile["id"]]
        refused(await admin("POST", path, bind), 409, "FlavorServiceProfileBindingExists", profile["id"])
        assert (await api("GET", f"/v2.0/flavors?id={flavor['id']}")).json["flavors"][0]["name"] == "plain"
        found = (await api("GET", f"/v2.0/flavors/{flavor['id']}/next_providers")).json["next_providers"]
        assert found == [{"provider": "single_node", "driver": SINGLE}]
        shown = (await admin("GET", f"/v2.0/service_profiles/{profile['id']}")).json["service_profile"]
        assert shown["flavors"] == [flavor["id"]]

        router = await api.make("router", flavor_id=flavor["id"])
        assert router["flavor_id"] == flavor["id"]
        assert (await api.make("router"))["flavor_id"] is None
        asked = {"router": {"flavor_id": flavor["id"], "distributed": True}}
        assert (await admin("POST", "/v2.0/routers", asked)).status == 400
        unknown = {"router": {"flavor_id": "0" * 8 + flavor["id"][8:]}}
        refused(await api("POST", "/v2.0/routers", unknown), 404, "FlavorNotFound")
        down = {"router": {"admin_state_up": False, "ha": True}}
        other = await admin("PUT", f"/v2.0/routers/{router['id']}", down)
        assert other.status == 400 and "associated with a flavor is not supported" in str(other.json)
        refused(await admin("DELETE", f"/v2.0/flavors/{flavor['id']}"), 409, "FlavorInUse", flavor["id"])
        change = {"service_profile": {"enabled": False}}
        at = f"/v2.0/service_profiles/{profile['id']}"
        refused(await admin("PUT", at, change), 409, "ServiceProfileInUse")
        refused(await admin("DELETE", at), 409, "ServiceProfileInUse", profile["id"])
        await admin("PUT", f"/v2.0/flavors/{flavor['id']}", {"flavor": {"enabled": False}})
        refused(await api("POST", "/v2.0/routers", body), 503, "FlavorDisabled")

        assert (await admin("DELETE", f"{path}/{profile['id']}")).status == 204
        gone = await admin("DELETE", f"{path}/{profile['id']}")
        refused(gone, 404, "FlavorServiceProfileBindingNotFound")
        assert (await admin("DELETE", at)).status == 204
        assert (await api("DELETE", f"/v2.0/routers/{router['id']}")).status == 204
        assert (await admin("DELETE", f"/v2.0/flavors/{flavor['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def profile(**values: str) -> Answer:
            return await admin("POST", "/v2.0/service_profiles", {"service_profile": values})

        refused(await profile(driver="x"), 404, "ServiceProfileDriverNotFound", "driver x")
        refused(await profile(), 400, "ServiceProfileEmpty", "either a driver or metainfo")
        kept = await profile(metainfo='{"data": "value"}')
        assert kept.status == 201
        wrong = await admin("POST", "/v2.0/flavors", {"flavor": {"service_type": "x"}})
        refused(wrong, 400, "HTTPBadRequest", "Invalid service type: x")
        mine = {"flavor": {"service_type": "FLAVORS"}}
        refused(await api("POST", "/v2.0/flavors", mine), 403, "PolicyNotAuthorized")
        assert (await admin("GET", "/v2.0/flavors?id=33")).json == {"flavors": []}
        assert (await api("GET", "/v2.0/service_profiles")).json == {"service_profiles": []}
        providers = (await api("GET", "/v2.0/service-providers?name=single_node")).json["service_providers"]
        assert providers == [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": False}]

    tell(story, tmp_path)
