"""Access rules of application credentials: kept once for a user, and kept to by every service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.identity.cloud import Answer, Client, Cloud
from tests.api.identity.test_application_credentials import owner
from tests.asgi import ask

from pileus.policy import Policies
from pileus.web.app import App, create_app
from pileus.web.dialects.keystone import KEYSTONE_API
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ANYBODY, NO_BODY, Route
from pileus.web.service import Service


def rule(path: str, method: str = "GET", service: str = "identity") -> dict[str, str]:
    return {"path": path, "method": method, "service": service}


PROJECTS = rule("/v3/auth/projects")


async def _nothing(request: Request) -> Reply:
    return Reply.empty()


def with_network(cloud: Cloud) -> App:
    """The cloud with another service beside identity."""
    methods = ("GET", "POST")
    paths = ("/v2.0/ports", "/v2.0/ports/{id}", "/v2.0/ports/{id}/bindings")
    routes = [
        Route(method, path, _nothing, rule=ANYBODY, status=204, body=NO_BODY, reply=NO_BODY)
        for method in methods
        for path in paths
    ]
    network = Service(
        name="neutron",
        type="network",
        dialect=KEYSTONE_API,
        nouns=(Noun(name="port", routes=routes),),
        prefix="/networking",
    )
    services = [cloud.identity.service, network]
    return create_app(
        services,
        store=cloud.store,
        authenticator=cloud.identity.authenticator,
        policy=Policies({service.type: service.rules for service in services}, {}),
        clock=cloud.clock,
    )


def test_they_are_made_shared_shown_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        made = await ann.make(access_rules=[PROJECTS, PROJECTS, rule("/v3/users/*", "PATCH")])
        shown = made["access_rules"]
        assert [{key: one[key] for key in PROJECTS} for one in shown] == [
            PROJECTS,
            rule("/v3/users/*", "PATCH"),
        ]
        assert (await ann.client("GET", f"{ann.path}/{made['id']}")).json["application_credential"][
            "access_rules"
        ] == shown
        again = await ann.make("again", access_rules=[PROJECTS, {"id": shown[1]["id"]}])
        assert again["access_rules"] == shown, "a rule that he has is not made anew"
        assert "access_rules" not in await ann.make("free", access_rules=[])

        path = f"/v3/users/{ann.id}/access_rules"
        listed = (await ann.client("GET", path)).json["access_rules"]
        assert sorted(one.pop("links")["self"].rsplit("/", 1)[1] for one in listed) == sorted(
            one["id"] for one in shown
        )
        assert sorted(listed, key=lambda one: one["path"]) == shown
        assert (
            len((await ann.client("GET", f"{path}?service=identity&method=PATCH")).json["access_rules"]) == 1
        )
        assert (await ann.client("GET", f"{path}?service=compute")).json["access_rules"] == []
        one = f"{path}/{shown[0]['id']}"
        found = (await ann.client("GET", one)).json["access_rule"]
        assert {key: found[key] for key in PROJECTS} == PROJECTS
        used = await ann.client("DELETE", one)
        assert (used.status, used.message) == (403, "May not delete access rule in use")
        for key in (made["id"], again["id"]):
            assert (await ann.client("DELETE", f"{ann.path}/{key}")).status == 204
        assert (await ann.client("DELETE", one)).status == 204
        gone = await ann.client("GET", one)
        assert (gone.status, gone.message) == (404, f"Could not find Access Rule: {shown[0]['id']}.")

    tell(story)


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({}, 400, "'service' is a required property"),
        ({"path": "/", "method": "GET"}, 400, "'service' is a required property"),
        (rule("/", "TRACE"), 400, "is not one of"),
        (rule("v3"), 400, "does not match"),
        (rule("/" + "a" * 225), 400, "is too long"),
        ({"id": "none"}, 404, "Could not find Access Rule: none."),
        ("GET /", 400, "is not of type 'object'"),
    ],
)
def test_what_is_no_rule_is_refused(quick, given, status, message):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        refused = await ann.try_make(access_rules=[given])
        assert (refused.status, message in refused.message) == (status, True), refused

    quick(story)


def test_nobody_uses_or_reaches_the_rules_of_another(quick):
    async def story(cloud: Cloud) -> None:
        ann, bob = await owner(cloud), await owner(cloud, "bob")
        key = (await ann.make(access_rules=[PROJECTS]))["access_rules"][0]["id"]
        assert (await bob.try_make(access_rules=[{"id": key}])).status == 404
        own = await bob.make(access_rules=[{"id": key, **PROJECTS}])
        assert own["access_rules"][0]["id"] != key
        for who in (ann, bob):
            for method in ("GET", "DELETE"):
                assert (await bob.client(method, f"/v3/users/{who.id}/access_rules/{key}")).status == 403
        assert (await bob.client("GET", f"/v3/users/{ann.id}/access_rules")).status == 403

    quick(story)


def test_many_at_once_make_each_rule_once(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        answers = await asyncio.gather(
            *(ann.try_make(f"app{number}", access_rules=[PROJECTS]) for number in range(6))
        )
        assert {answer.status for answer in answers} == {201}
        assert len((await ann.client("GET", f"/v3/users/{ann.id}/access_rules")).json["access_rules"]) == 1

    tell(story)


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_they_go_with_their_user(tell, change):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        made = await ann.make(access_rules=[PROJECTS])
        bounded = await ann.enter(made)
        path = f"/v3/users/{ann.id}"
        if change == "disable":
            assert (await cloud.admin("PATCH", path, {"user": {"enabled": False}})).status == 200
            system = await cloud.as_(scope={"system": {"all": True}})
            assert (await system("GET", f"{path}/access_rules")).json["access_rules"] == []
        else:
            assert (await cloud.admin("DELETE", path)).status == 204
        assert (await bounded("GET", "/v3/auth/projects")).status == 401

    tell(story)


def test_a_domain_goes_with_the_rules_of_its_users(tell):
    async def story(cloud: Cloud) -> None:
        domain = (await cloud.admin.make("domain", name="d"))["id"]
        user = await cloud.admin.make("user", name="u", password="correct horse", domain_id=domain)
        project = await cloud.admin.make("project", name="p")
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{await cloud.role('member')}"
        assert (await cloud.admin("PUT", path)).status == 204
        client = await cloud.as_(scope={"project": {"id": project["id"]}}, id=user["id"])
        body = {"application_credential": {"name": "a", "access_rules": [PROJECTS]}}
        assert (await client("POST", f"/v3/users/{user['id']}/application_credentials", body)).status == 201
        assert (
            await cloud.admin("PATCH", f"/v3/domains/{domain}", {"domain": {"enabled": False}})
        ).status == 200
        assert (await cloud.admin("DELETE", f"/v3/domains/{domain}")).status == 204

    tell(story)


def test_every_service_keeps_to_them_at_the_route(quick):
    async def story(cloud: Cloud) -> None:
        app = with_network(cloud)
        ann = await owner(cloud)
        rules = [
            PROJECTS,
            rule("/v2.0/ports/*", service="network"),
            rule("/v2.0/ports/{id}/bindings", "POST", "network"),
        ]
        token = (await ann.login(await ann.make(access_rules=rules))).token
        free = (await ann.login(await ann.make("free"))).token

        async def sent(method: str, path: str, text: str = token, **headers: str) -> Answer:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await ask(app, method, path, {"host": "cloud", "x-auth-token": text, **named}, [b""])

        for method, path, status in (
            ("GET", "/networking/v2.0/ports/x", 204),
            ("GET", "/networking/v2.0/ports//x/", 204),
            ("GET", "/networking/v2.0/ports", 401),
            ("GET", "/networking/v2.0/ports/x/bindings", 401),
            ("GET", "/networking/v2.0/ports/x%2Fbindings", 204),
            ("POST", "/networking/v2.0/ports/x/bindings", 204),
            ("POST", "/networking/v2.0/ports/x%2Fbindings", 401),
            ("POST", "/networking/v2.0/ports/x", 401),
            ("HEAD", "/networking/v2.0/ports/x", 401),
            ("GET", "/identity/v3/auth/projects", 200),
            ("GET", "/identity/v3/auth/domains", 401),
            ("GET", f"/identity{ann.path}", 401),
        ):
            answer = await sent(method, path)
            assert answer.status == status, (method, path, answer)
            assert (await sent(method, path, free)).status != 401
        bound = await ask(app, "GET", "/networking/v2.0/ports", {"x-auth-token": token}, [b""])
        assert bound.headers["www-authenticate"].startswith("Keystone")

        service = (await cloud.person("nova", "service")).token or ""
        ports = "/networking/v2.0/ports"
        assert (await sent("GET", ports, x_service_token=service)).status == 204
        for other in (free, "none", token):
            assert (await sent("GET", ports, x_service_token=other)).status == 401

    quick(story)


def test_a_token_shows_them_to_services_that_keep_to_them_alone(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        made = await ann.make(access_rules=[PROJECTS])
        answer = await ann.login(made)
        assert answer.json["token"]["application_credential"]["access_rules"] == made["access_rules"]
        bounded = Client(cloud.app, answer.token)
        nova = await cloud.person("nova", "service")

        async def shown(client: Client, **headers: Any) -> Answer:
            return await client("GET", "/v3/auth/tokens", x_subject_token=answer.token, **headers)

        for version in (
            {},
            {"openstack_identity_access_rules": "0.5"},
            {"openstack_identity_access_rules": "x"},
        ):
            refused = await shown(nova, **version)
            assert (refused.status, refused.message) == (404, "Failed to validate token")
        for client in (nova, bounded):
            found = await shown(client, openstack_identity_access_rules="1.0")
            assert found.json["token"]["application_credential"]["access_rules"] == made["access_rules"]
        again = await cloud.rescope(answer.token, None)
        assert again.status == 401 or "access_rules" in again.json["token"]["application_credential"]

    quick(story)
