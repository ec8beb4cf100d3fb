"""Groups that an identity provider gives for a time; what protocols and tokens say of providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud
from tests.api.identity.test_federation import AUTH, BASE, CLAIMS, come, corp, put, staff, tell
from tests.openid_provider import Provider

from pileus.services.identity.federation.claims import mapped_claims


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def test_a_list_of_groups_says_when_they_are_left(provider: Provider, tmp_path: Path, url: str):
    async def story(cloud: Cloud) -> None:
        group_id, _ = await staff(cloud)
        await corp(cloud, provider, authorization_ttl=120)
        user = (await come(cloud, provider.token(CLAIMS))).json["token"]["user"]["id"]
        lasting = await cloud.admin.make("group", name="lasting")
        assert (await cloud.admin("PUT", f"/v3/groups/{lasting['id']}/users/{user}")).status == 204
        found = (await cloud.admin("GET", f"/v3/users/{user}/groups")).json["groups"]
        ends = {one["id"]: one["membership_expires_at"] for one in found}
        assert ends.keys() == {group_id, lasting["id"]} and ends[lasting["id"]] is None
        assert ends[group_id].startswith(str(cloud.clock.now().date())[:4])
        one = (await cloud.admin("GET", f"/v3/users/{user}/groups?name=staff")).json["groups"]
        assert [each["id"] for each in one] == [group_id]
        page = (await cloud.admin("GET", f"/v3/users/{user}/groups?limit=1")).json
        assert len(page["groups"]) == 1 and page["truncated"]
        cloud.clock.advance(7300)
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": DEFAULT}}})
        found = (await cloud.admin("GET", f"/v3/users/{user}/groups")).json["groups"]
        assert [one["id"] for one in found] == [lasting["id"]], "the other one has ended"

    tell(provider, tmp_path, story, url)


def test_roles_by_such_a_group_can_be_passed_on_as_long_as_they_hold(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        _, project_id = await staff(cloud)
        await corp(cloud, provider)
        bob = await cloud.admin.make("user", name="bob", password=PASSWORD)
        came = await come(cloud, provider.token(CLAIMS))
        ann = Client(cloud.app, (await cloud.rescope(came.token, {"project": {"id": project_id}})).token)
        wanted = {
            "trustor_user_id": came.json["token"]["user"]["id"],
            "trustee_user_id": bob["id"],
            "project_id": project_id,
            "impersonation": True,
            "roles": [{"name": "reader"}],
        }
        made = await ann("POST", "/v3/OS-TRUST/trusts", {"trust": wanted})
        assert made.status == 201, made
        scope = {"OS-TRUST:trust": {"id": made.json["trust"]["id"]}}
        cloud.clock.advance(1800)
        answer = await cloud.login("bob", scope=scope)
        assert answer.status == 201, answer
        client = Client(cloud.app, answer.token)
        assert (await client("GET", "/v3/auth/catalog")).status == 200
        cloud.clock.advance(1801)
        assert (await client("GET", "/v3/auth/catalog")).status == 401, "the trustor has left the group"
        assert (await cloud.login("bob", scope=scope)).status == 403

    tell(provider, tmp_path, story)


def test_the_claim_that_a_protocol_names_has_to_be_a_remote_id(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await staff(cloud)
        await corp(cloud, provider)
        path = AUTH.removesuffix("/auth")
        for attribute, status, message in (
            ("HTTP_OIDC_ISS", 201, ""),
            ("HTTP_OIDC_NONE", 400, "Could not find Identity Provider identifier in environment"),
            ("HTTP_OIDC_SUB", 403, "not included among the accepted identifiers"),
        ):
            body = {"protocol": {"mapping_id": "corp", "remote_id_attribute": attribute}}
            assert (await cloud.admin("PATCH", path, body)).status == 200
            answer = await come(cloud, provider.token(CLAIMS))
            assert answer.status == status, attribute
            assert status == 201 or message in answer.message

    tell(provider, tmp_path, story)


def test_tokens_name_the_enabled_service_providers(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        assert "service_providers" not in (await cloud.login()).json["token"]
        urls = {"auth_url": "https://sp.example/auth", "sp_url": "https://sp.example/sp"}
        await put(cloud, "service_provider", "/service_providers/one", enabled=True, **urls)
        await put(cloud, "service_provider", "/service_providers/two", enabled=False, **urls)
        for scope in (None, "unscoped", {"system": {"all": True}}):
            made = await cloud.login(scope=scope)
            assert made.json["token"]["service_providers"] == [{"id": "one", **urls}]
            shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=made.token)
            assert shown.json["token"]["service_providers"] == [{"id": "one", **urls}]
        off = {"service_provider": {"enabled": False}}
        assert (await cloud.admin("PATCH", f"{BASE}/service_providers/one", off)).status == 200
        assert "service_providers" not in (await cloud.login()).json["token"]

    tell(provider, tmp_path, story)


def test_claims_that_share_a_name_do_not_stand_for_each_other():
    found = mapped_claims({"groups": ["staff"], "Groups": ["admins"], "GROUPS": "x"})
    assert found["HTTP_OIDC_GROUPS"] == ["staff"]
    assert (found["OIDC-groups"], found["OIDC-Groups"], found["OIDC-GROUPS"]) == (
        ["staff"],
        ["admins"],
        ["x"],
    )
    ambiguous = mapped_claims({"Given-Name": "a", "given-name": "b"})
    assert "HTTP_OIDC_GIVEN_NAME" not in ambiguous and ambiguous["OIDC-given-name"] == ["b"]
    assert mapped_claims({"Given-Name": "a"})["HTTP_OIDC_GIVEN_NAME"] == ["a"]
    assert mapped_claims({"given_name": "a", "given-name": "b"})["HTTP_OIDC_GIVEN_NAME"] == ["a"]
