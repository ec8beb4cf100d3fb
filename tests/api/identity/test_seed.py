"""What a cloud begins with, and what a second start leaves alone."""

from __future__ import annotations

from tests.api.identity.cloud import PASSWORD, Cloud

from pileus.core.context import system_context
from pileus.services.identity.service import EndpointSeed, Seed


def test_a_start_seeds_and_the_next_one_only_moves_endpoints(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        names = {role["name"] for role in (await admin("GET", "/v3/roles")).json["roles"]}
        assert names >= {"admin", "manager", "member", "reader", "service"}
        assert names >= {"itsec", "projectmanager", "netadmin", "developer"}
        assert (await admin("GET", "/v3/domains/default")).json["domain"]["name"] == "Default"
        assert (await admin("GET", "/v3/regions/RegionOne")).status == 200
        assert (await cloud.login(scope={"system": {"all": True}})).status == 201

        member, reader = await cloud.role("member"), await cloud.role("reader")
        await admin("DELETE", f"/v3/roles/{member}/implies/{reader}")
        own = await admin.make("service", type="dns", name="designate")
        await admin.make(
            "endpoint", service_id=own["id"], interface="public", url="http://own", region="RegionOne"
        )
        services = (await admin("GET", "/v3/services?type=network")).json["services"]
        await admin("PATCH", f"/v3/services/{services[0]['id']}", {"service": {"name": "mine"}})
        user = (await admin("GET", "/v3/users?name=admin")).json["users"][0]
        cloud.clock.advance(1)
        await admin("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "changed"}})
        assert (await cloud.login()).status == 401

        moved = Seed(
            endpoints=(
                EndpointSeed("network", "neutron", "https://new/networking"),
                EndpointSeed("image", "glance", "https://new/image"),
            ),
            password_hash=await cloud.identity.passwords.hash(PASSWORD),
        )
        statements = cloud.store.statements
        assert await cloud.identity.seed(system_context(cloud.clock.now()), moved) is False
        assert cloud.store.statements - statements < 20
        assert (await cloud.login()).status == 401
        answer = await cloud.login(password="changed", scope={"system": {"all": True}})
        catalog = {service["name"]: service for service in answer.json["token"]["catalog"]}
        assert {one["url"] for one in catalog["mine"]["endpoints"]} == {"https://new/networking"}
        assert {one["url"] for one in catalog["glance"]["endpoints"]} == {"https://new/image"}
        assert [one["url"] for one in catalog["designate"]["endpoints"]] == ["http://own"]
        rules = answer.json["token"]["roles"]
        assert "reader" not in {role["name"] for role in rules}  # the implication stays removed

    tell(story)


def test_a_new_cloud_has_the_roles_that_services_know_immutable(tell):
    async def story(cloud: Cloud) -> None:
        async def options() -> dict[str, object]:
            roles = (await cloud.admin("GET", "/v3/roles")).json["roles"]
            return {role["name"]: role["options"] for role in roles}

        known = {name: {"immutable": True} for name in ("admin", "manager", "member", "reader", "service")}
        own: dict[str, object] = {name: {} for name in ("itsec", "projectmanager", "netadmin", "developer")}
        assert await options() == {**known, **own}
        reader = f"/v3/roles/{await cloud.role('reader')}"
        assert (await cloud.admin("DELETE", reader)).status == 403
        assert (await cloud.admin("PATCH", reader, {"role": {"name": "other"}})).status == 403
        free = {"role": {"options": {"immutable": None}}}
        for name in ("reader", "member"):
            path = f"/v3/roles/{await cloud.role(name)}"
            assert (await cloud.admin("PATCH", path, free)).status == 200
        assert (await cloud.admin("DELETE", reader)).status == 204

        # the next start leaves them as their owners made them
        again = Seed(endpoints=(), password_hash=None)
        await cloud.identity.seed(system_context(cloud.clock.now()), again)
        assert await options() == {**known, **own, "member": {}, "reader": {}}

    tell(story)


def test_an_administrator_without_a_password_can_not_log_in(quick):
    async def story(cloud: Cloud) -> None:
        seed = Seed(endpoints=(), password_hash=None, user_name="second", project_name="second")
        assert await cloud.identity.seed(system_context(cloud.clock.now()), seed) is True
        assert (await cloud.login("second")).status == 401

    quick(story)


def test_versions_are_shown_to_everybody(quick):
    async def story(cloud: Cloud) -> None:
        every = await cloud.anyone("GET", "/")
        assert every.status == 300
        version = every.json["versions"]["values"][0]
        assert {"id", "links", "media-types", "status", "updated"} <= version.keys()
        assert version["links"] == [{"rel": "self", "href": "http://cloud:5000/identity/v3/"}]
        assert (await cloud.anyone("GET", "/v3")).json["version"] == version

    quick(story)
