"""Users of an OpenID Connect provider, what their claims give, and the API of OS-FEDERATION."""

from __future__ import annotations

import base64
import datetime as dt
import inspect
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud, run
from tests.asgi import Answer
from tests.openid_provider import Provider

from pileus.services.identity.federation.auth import FederationSettings
from pileus.services.identity.federation.openid import OpenIdSettings
from pileus.services.identity.service import IdentitySettings

BASE = "/v3/OS-FEDERATION"
IDP = f"{BASE}/identity_providers/corp"
AUTH = f"{IDP}/protocols/openid/auth"
DASHBOARD = "https://dashboard.example/auth/websso/"
RULES: list[dict[str, Any]] = [
    {
        "local": [
            {"user": {"name": "{0}", "id": "{1}", "email": "{2}"}},
            {"groups": "{3}", "domain": {"id": DEFAULT}},
        ],
        "remote": [
            {"type": "HTTP_OIDC_PREFERRED_USERNAME"},
            {"type": "HTTP_OIDC_SUB"},
            {"type": "OIDC-email"},
            {"type": "OIDC-groups", "whitelist": ["staff", "admins"]},
        ],
    }
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def tell(provider: Provider, tmp_path: Path, story: Any, url: str = "", **federation: Any) -> None:
    """Tell a story on SQLite, or on the database of ``url``."""
    settings = IdentitySettings(
        federation=FederationSettings(trusted_dashboards=(DASHBOARD,), **federation),
        openid=OpenIdSettings(
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            plain_issuers=(provider.issuer,),
        ),
    )

    async def whole(cloud: Cloud) -> None:
        real = dt.datetime.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)
        cloud.clock.advance((real - cloud.clock.now()).total_seconds())
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": DEFAULT}}})
        await story(cloud)

    run(url or f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, whole, settings)


async def put(cloud: Cloud, kind: str, path: str, **values: Any) -> dict[str, Any]:
    made = await cloud.admin("PUT", BASE + path, {kind: values})
    assert made.status == 201, made
    found: dict[str, Any] = made.json[kind]
    return found


async def corp(cloud: Cloud, provider: Provider, rules: Any = RULES, **more: Any) -> None:
    """An identity provider, a mapping and a protocol."""
    version = more.pop("schema_version", "1.0")
    idp = {"enabled": True, "remote_ids": [provider.issuer], "domain_id": DEFAULT, **more}
    await put(cloud, "identity_provider", "/identity_providers/corp", **idp)
    await put(cloud, "mapping", "/mappings/corp", rules=rules, schema_version=version)
    await put(cloud, "protocol", "/identity_providers/corp/protocols/openid", mapping_id="corp")


async def come(cloud: Cloud, token: str) -> Answer:
    cloud.clock.advance(0.001)
    return await cloud.anyone("GET", AUTH, authorization=f"Bearer {token}")


CLAIMS: dict[str, Any] = {
    "sub": "42",
    "preferred_username": "ann",
    "email": "ann@corp.example",
    "groups": ["staff", "other"],
}


async def staff(cloud: Cloud) -> tuple[str, str]:
    """A group ``staff`` that may read a project: their ids."""
    group = await cloud.admin.make("group", name="staff")
    project = await cloud.admin.make("project", name="lab")
    path = f"/v3/projects/{project['id']}/groups/{group['id']}/roles/{await cloud.role('reader')}"
    assert (await cloud.admin("PUT", path)).status == 204
    return group["id"], project["id"]


def test_a_user_comes_in_by_a_token_and_goes_on_to_a_project(provider: Provider, tmp_path: Path, url: str):
    async def story(cloud: Cloud) -> None:
        group_id, project_id = await staff(cloud)
        await corp(cloud, provider)
        made = await come(cloud, provider.token(CLAIMS))
        assert made.status == 201, made
        token = made.json["token"]
        assert token["methods"] == ["openid"] and "project" not in token and "roles" not in token
        assert token["user"]["name"] == "ann" and token["user"]["domain"]["id"] == DEFAULT
        assert "password_expires_at" not in token["user"]
        assert token["user"]["OS-FEDERATION"] == {
            "groups": [{"id": group_id}],
            "identity_provider": {"id": "corp"},
            "protocol": {"id": "openid"},
        }
        client = Client(cloud.app, made.token)
        for path in ("/v3/auth/projects", f"{BASE}/projects"):
            assert [one["id"] for one in (await client("GET", path)).json["projects"]] == [project_id]
        assert (await client("GET", f"{BASE}/domains")).json["domains"] == []
        scoped = await cloud.rescope(made.token, {"project": {"id": project_id}})
        assert scoped.status == 201
        token = scoped.json["token"]
        assert token["user"]["OS-FEDERATION"]["protocol"] == {"id": "openid"}
        assert sorted(token["methods"]) == ["openid", "token"]
        assert [role["name"] for role in token["roles"]] == ["reader"]
        assert token["expires_at"] == made.json["token"]["expires_at"]
        again = await come(cloud, provider.token({**CLAIMS, "preferred_username": "anna"}))
        assert again.json["token"]["user"]["id"] == token["user"]["id"]
        assert again.json["token"]["user"]["name"] == "anna", "the name follows"
        shown = (await cloud.admin("GET", f"/v3/users/{token['user']['id']}")).json["user"]
        assert shown["email"] == "ann@corp.example" and shown["name"] == "anna"
        for query in ("idp_id=corp", "protocol_id=openid", "unique_id=42"):
            found = (await cloud.admin("GET", f"/v3/users?{query}")).json["users"]
            assert [one["id"] for one in found] == [shown["id"]]
        assert (await cloud.admin("GET", "/v3/users?idp_id=none")).json["users"] == []

    tell(provider, tmp_path, story, url)


def test_a_name_may_be_that_of_a_local_user(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        local = await cloud.admin.make("user", name="ann", password=PASSWORD)
        await corp(
            cloud, provider, [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-sub"}]}]
        )
        made = await come(cloud, provider.token({**CLAIMS, "sub": "ann"}))
        assert made.status == 201 and made.json["token"]["user"]["id"] != local["id"]
        login = await cloud.login("ann")
        assert login.json["token"]["user"]["id"] == local["id"]
        twice = await cloud.admin("POST", "/v3/users", {"user": {"name": "ann"}})
        assert twice.status == 409

    tell(provider, tmp_path, story)


def test_groups_that_claims_no_longer_name_are_left(provider: Provider, tmp_path: Path, url: str):
    async def story(cloud: Cloud) -> None:
        _, project_id = await staff(cloud)
        await corp(cloud, provider)
        first = await come(cloud, provider.token(CLAIMS))
        scope = {"project": {"id": project_id}}
        scoped = await cloud.rescope(first.token, scope)
        assert scoped.status == 201
        second = await come(cloud, provider.token({**CLAIMS, "groups": ["other"]}))
        assert second.json["token"]["user"]["OS-FEDERATION"]["groups"] == []
        assert (await cloud.rescope(second.token, scope)).status == 401
        assert (await Client(cloud.app, scoped.token)("GET", "/v3/auth/projects")).status == 401

    tell(provider, tmp_path, story, url)


@pytest.mark.parametrize("ttl", [0, 120])
def test_groups_hold_as_long_as_the_provider_says(provider: Provider, tmp_path: Path, ttl: int):
    async def story(cloud: Cloud) -> None:
        _, project_id = await staff(cloud)
        await corp(cloud, provider, authorization_ttl=ttl)
        made = await come(cloud, provider.token(CLAIMS))
        scoped = Client(cloud.app, (await cloud.rescope(made.token, {"project": {"id": project_id}})).token)
        user_id = made.json["token"]["user"]["id"]
        body = {"application_credential": {"name": "a"}}
        given = await scoped("POST", f"/v3/users/{user_id}/application_credentials", body)
        assert given.status == 201
        credential = {key: given.json["application_credential"][key] for key in ("id", "secret")}
        identity = {"methods": ["application_credential"], "application_credential": credential}

        async def program() -> int:
            return (await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": identity}})).status

        assert await program() == 201
        cloud.clock.advance(3700)
        assert await program() == (201 if ttl else 401)
        cloud.clock.advance(3700)
        assert await program() == 401

    tell(provider, tmp_path, story)


def test_bad_tokens_are_refused(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await corp(cloud, provider)
        now = int(time.time())
        strange = Provider().key
        bad = {
            "expired": provider.token({**CLAIMS, "exp": now - 100}),
            "without an end": provider.token({**CLAIMS, "exp": None}),
            "an end that is no number": provider.token({**CLAIMS, "exp": "never"}),
            "of the future": provider.token({**CLAIMS, "nbf": now + 3600}),
            "of another issuer": provider.token({**CLAIMS, "iss": "https://evil.example"}),
            "without an issuer": provider.token({**CLAIMS, "iss": None}),
            "for another client": provider.token({**CLAIMS, "aud": "somebody"}),
            "for nobody": provider.token({**CLAIMS, "aud": None}),
            "of nobody": provider.token({**CLAIMS, "sub": None}),
            "of another key": provider.token(CLAIMS, key=strange),
            "changed": provider.token(CLAIMS)[:-8] + "AAAAAAAA",
            "no token": "x",
            "dots": "a.b.c",
            "long": "a" * 20000,
        }
        _, body, _ = provider.token(CLAIMS).split(".")
        unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        bad["unsigned"] = f"{unsigned}.{body}."
        bad["signed with the public key"] = _with_public_key(provider)
        for what, text in bad.items():
            refused = await come(cloud, text)
            assert refused.status == 401, (what, refused)
            assert "x-subject-token" not in refused.headers
        assert (await cloud.anyone("GET", AUTH)).status == 401
        assert (await cloud.anyone("GET", AUTH, authorization="Basic eA==")).status == 401
        assert (await come(cloud, provider.token({**CLAIMS, "aud": ["x", "pileus"]}))).status == 201
        assert (
            await come(cloud, provider.token({**CLAIMS, "aud": "account", "azp": "pileus"}))
        ).status == 201

    tell(provider, tmp_path, story)


def _with_public_key(provider: Provider) -> str:
    """A token signed by HMAC with what everybody knows."""
    import hashlib
    import hmac

    pem = provider.key.as_pem(is_private=False)
    _, body, _ = provider.token(CLAIMS).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256"}).encode()).rstrip(b"=").decode()
    mac = hmac.digest(pem, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_keys_are_kept_and_looked_for_anew(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await corp(cloud, provider)
        provider.asked.clear()
        for _ in range(3):
            assert (await come(cloud, provider.token(CLAIMS))).status == 201
        assert provider.asked == ["configuration", "jwks"]
        openid = _openid(cloud)
        provider.rotate()
        assert (await come(cloud, provider.token(CLAIMS))).status == 401, "it was asked a moment ago"
        openid._known[provider.issuer].at -= 40
        assert (await come(cloud, provider.token(CLAIMS))).status == 201
        assert provider.asked == ["configuration", "jwks"] * 2

    tell(provider, tmp_path, story)


def _openid(cloud: Cloud) -> Any:
    noun = next(one for one in cloud.identity.service.nouns if one.name == "federation")
    handler: Any = noun.routes[0].handler
    return inspect.unwrap(handler).__self__._openid


@pytest.mark.filterwarnings("error:BasicAuth:DeprecationWarning")
def test_opaque_tokens_are_asked_about(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await corp(cloud, provider)
        ends = int(time.time()) + 600
        provider.opaque["good"] = {"active": True, "exp": ends, "client_id": "pileus", **CLAIMS}
        provider.opaque["foreign"] = {"active": True, "exp": ends, "client_id": "other", **CLAIMS}
        assert (await come(cloud, "good")).status == 201
        assert (await come(cloud, "foreign")).status == 401
        assert (await come(cloud, "unknown")).status == 401

    tell(provider, tmp_path, story)


def test_a_provider_that_is_off_and_what_is_missing(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        token = provider.token(CLAIMS)
        missing = await come(cloud, token)
        assert missing.status == 404 and missing.message == "Could not find Identity Provider: corp."
        await corp(cloud, provider)
        path = f"{IDP}/protocols/saml/auth"
        none = await cloud.anyone("GET", path, authorization=f"Bearer {token}")
        assert none.status == 404 and "Could not find federated protocol saml" in none.message
        made = await come(cloud, token)
        client = Client(cloud.app, made.token)
        assert (await client("GET", "/v3/auth/projects")).status == 200
        off = await cloud.admin("PATCH", IDP, {"identity_provider": {"enabled": False}})
        assert off.status == 200
        assert (await come(cloud, token)).status == 403
        assert (await client("GET", "/v3/auth/projects")).status == 401, "nor are its tokens good"
        await cloud.admin("PATCH", IDP, {"identity_provider": {"enabled": True, "remote_ids": []}})
        assert (await come(cloud, token)).status == 401, "nobody is trusted who was not named"
        user_id = made.json["token"]["user"]["id"]
        assert (await cloud.admin("DELETE", IDP)).status == 204
        assert (await cloud.admin("GET", f"/v3/users/{user_id}")).status == 404

    tell(provider, tmp_path, story)


def test_who_has_no_user_in_the_mapping_stays_out(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await corp(cloud, provider, [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-x"}]}])
        assert (await come(cloud, provider.token(CLAIMS))).status == 401
        rules = [{"local": [{"group": {"id": "nowhere"}}], "remote": [{"type": "OIDC-sub"}]}]
        await cloud.admin("PATCH", f"{BASE}/mappings/corp", {"mapping": {"rules": rules}})
        assert (await come(cloud, provider.token(CLAIMS))).status == 401
        assert (await cloud.admin("GET", "/v3/users?idp_id=corp")).json["users"] == []

    tell(provider, tmp_path, story)


def test_local_users_come_in_as_themselves(provider: Provider, tmp_path: Path, url: str):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        local = {"user": {"name": "{0}", "type": "local", "domain": {"id": DEFAULT}}}
        await corp(cloud, provider, [{"local": [local], "remote": [{"type": "OIDC-preferred_username"}]}])
        made = await come(cloud, provider.token(CLAIMS))
        assert made.status == 201 and made.json["token"]["user"]["id"] == user["id"]
        assert "OS-FEDERATION" not in made.json["token"]["user"]
        stranger = provider.token({**CLAIMS, "preferred_username": "bob"})
        assert (await come(cloud, stranger)).status == 401
        rules = {"options": {"multi_factor_auth_rules": [["password", "totp"]]}}
        assert (await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": rules})).status == 200
        part = await come(cloud, provider.token(CLAIMS))
        assert part.status == 401, "who has to show more shows it here too"

    tell(provider, tmp_path, story, url)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_projects_are_made_and_roles_follow(provider: Provider, tmp_path: Path, version: str):
    async def story(cloud: Cloud) -> None:
        def rules(*roles: str) -> Any:
            project = {"name": "{0}'s", "roles": [{"name": role} for role in roles]}
            local = {"user": {"name": "{0}"}, "projects": [project], "domain": {"id": DEFAULT}}
            return [{"local": [local], "remote": [{"type": "OIDC-preferred_username"}]}]

        await corp(cloud, provider, rules("member", "reader"), schema_version=version)
        made = await come(cloud, provider.token(CLAIMS))
        assert made.status == 201, made
        project = (await cloud.admin("GET", "/v3/projects?name=ann's")).json["projects"][0]
        assert project["domain_id"] == DEFAULT
        scope = {"project": {"id": project["id"]}}

        async def names() -> list[str]:
            token = (await come(cloud, provider.token(CLAIMS))).token
            scoped = await cloud.rescope(token, scope)
            return sorted(role["name"] for role in scoped.json["token"]["roles"])

        assert await names() == ["member", "reader"]
        change = {"mapping": {"rules": rules("reader"), "schema_version": version}}
        assert (await cloud.admin("PATCH", f"{BASE}/mappings/corp", change)).status == 200
        assert await names() == (["reader"] if version == "3.0" else ["member", "reader"])
        change = {"mapping": {"rules": rules("nothing"), "schema_version": version}}
        assert (await cloud.admin("PATCH", f"{BASE}/mappings/corp", change)).status == 200
        assert (await come(cloud, provider.token(CLAIMS))).status == 401

    tell(provider, tmp_path, story)


def test_the_api_of_identity_providers_and_their_kin(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        made = await put(cloud, "identity_provider", "/identity_providers/acme", remote_ids=["b", "a"])
        assert made["enabled"] is False and sorted(made["remote_ids"]) == ["a", "b"]
        assert made["links"]["self"].endswith("/v3/OS-FEDERATION/identity_providers/acme")
        domain = (await cloud.admin("GET", f"/v3/domains/{made['domain_id']}")).json["domain"]
        assert domain["description"] == "Auto generated federated domain for Identity Provider: acme"
        path = f"{BASE}/identity_providers/acme"
        assert (await cloud.admin("PUT", path, {"identity_provider": {}})).status == 409
        other = await cloud.admin("PUT", f"{path}-2", {"identity_provider": {"remote_ids": ["a"]}})
        assert other.status == 409
        assert (await cloud.admin("GET", f"{path}-2")).status == 404, "nothing half-made stays"
        changed = await cloud.admin("PATCH", path, {"identity_provider": {"remote_ids": ["c"]}})
        assert changed.json["identity_provider"]["remote_ids"] == ["c"]
        fixed = await cloud.admin("PATCH", path, {"identity_provider": {"domain_id": "x"}})
        assert fixed.status == 400
        listed = (await cloud.admin("GET", f"{BASE}/identity_providers?enabled=false")).json
        assert [one["id"] for one in listed["identity_providers"]] == ["acme"]
        rule = {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}
        mapping = await put(cloud, "mapping", "/mappings/m", rules=[rule])
        assert mapping["rules"] == [rule] and mapping["schema_version"] == "1.0"
        for bad in ([], [{}], [{**rule, "remote": []}], [{**rule, "more": 1}], "x"):
            refused = await cloud.admin("PUT", f"{BASE}/mappings/bad", {"mapping": {"rules": bad}})
            assert refused.status == 400, bad
        wrong = {"mapping": {"rules": [rule], "schema_version": "9"}}
        assert (await cloud.admin("PUT", f"{BASE}/mappings/bad", wrong)).status == 400
        protocols = f"{path}/protocols"
        missing = await cloud.admin("PUT", f"{protocols}/openid", {"protocol": {"mapping_id": "none"}})
        assert missing.status == 400 and missing.message == "Invalid mapping id: none"
        protocol = {"protocol": {"mapping_id": "m"}}
        assert (await cloud.admin("PUT", f"{protocols}/openid", protocol)).status == 201
        assert (await cloud.admin("PUT", f"{protocols}/openid", protocol)).status == 409
        shown = (await cloud.admin("GET", protocols)).json["protocols"]
        assert [(one["id"], one["mapping_id"]) for one in shown] == [("openid", "m")]
        assert (await cloud.admin("PATCH", f"{protocols}/openid", protocol)).status == 200
        assert (await cloud.admin("GET", f"{protocols}/none")).status == 404
        assert (await cloud.admin("DELETE", f"{protocols}/openid")).status == 204
        assert (await cloud.admin("DELETE", f"{BASE}/mappings/m")).status == 204
        assert (await cloud.admin("DELETE", path)).status == 204
        urls = {"auth_url": "https://sp.example/v3", "sp_url": "https://sp.example/sso"}
        sp = await put(cloud, "service_provider", "/service_providers/sp", **urls)
        assert sp["relay_state_prefix"] == "ss:mem:" and sp["enabled"] is False
        change = {"service_provider": {"enabled": True}}
        assert (await cloud.admin("PATCH", f"{BASE}/service_providers/sp", change)).status == 200
        assert len((await cloud.admin("GET", f"{BASE}/service_providers")).json["service_providers"]) == 1
        assert (await cloud.admin("DELETE", f"{BASE}/service_providers/sp")).status == 204
        ann = await cloud.person("ann", "member")
        assert (await ann("GET", f"{BASE}/identity_providers")).status == 403
        assert (await ann("PUT", f"{BASE}/mappings/x", {"mapping": {"rules": [rule]}})).status == 403

    tell(provider, tmp_path, story)


def test_saml_is_told_to_be_absent(provider: Provider, tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        for method, path in (
            ("GET", f"{BASE}/saml2/metadata"),
            ("POST", "/v3/auth/OS-FEDERATION/saml2"),
            ("POST", "/v3/auth/OS-FEDERATION/saml2/ecp"),
        ):
            answer = await cloud.anyone(method, path)
            assert answer.status == 404 and answer.message.startswith("SAML 2.0 is not served")

    tell(provider, tmp_path, story)
