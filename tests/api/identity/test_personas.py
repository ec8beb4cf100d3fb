"""Every operation of identity by every persona: the table is ``persona_table.py``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.api.identity.cloud import PASSWORD, Answer, Client, Cloud
from tests.api.identity.persona_delegation import DELEGATION_ROWS
from tests.api.identity.persona_extensions import EXTENSION_ROWS
from tests.api.identity.persona_table import PERSONAS, ROWS, Row

from pileus.services.identity.credentials.resource import ec2_id

ALL_ROWS = (*ROWS, *DELEGATION_ROWS, *EXTENSION_ROWS)
_ROLES = {"A": "admin", "G": "manager", "M": "member", "R": "reader"}
_PLACES = ("own", "other")


class Stage:
    """Two domains, the personas in one of them, and things that a row names and are made when it does."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.clients: dict[str, Client] = {}
        self.ids: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"n{self._count}"

    async def build(self) -> None:
        admin = self.cloud.admin
        for place in _PLACES:
            self.known[place] = (await admin.make("domain", name=place))["id"]
        self.known["home"] = (await admin.make("project", name="home", domain_id=self.known["own"]))["id"]
        for role in (*_ROLES.values(),):
            self.known[role] = await self.cloud.role(role)
        for persona in PERSONAS:
            await self._persona(persona)
        for place in _PLACES:
            await self._owner(place)

    async def _persona(self, persona: str) -> None:
        """Each has the role where his scope is, and is at home in no other."""
        user = await self.cloud.admin.make(
            "user", name=persona, password=PASSWORD, domain_id=self.known["own"]
        )
        scope, where = {
            "S": ({"system": {"all": True}}, "system"),
            "D": ({"domain": {"id": self.known["own"]}}, f"domains/{self.known['own']}"),
            "P": ({"project": {"id": self.known["home"]}}, f"projects/{self.known['home']}"),
        }[persona[0]]
        path = f"/v3/{where}/users/{user['id']}/roles/{self.known[_ROLES[persona[1]]]}"
        assert (await self.cloud.admin("PUT", path)).status == 204
        self.ids[persona] = user["id"]
        self.clients[persona] = await self.cloud.as_(scope=scope, id=user["id"])

    async def _owner(self, place: str) -> None:
        """Somebody of a domain with an application credential and EC2 keys to be got at."""
        admin, domain = self.cloud.admin, self.known[place]
        user = await admin.make("user", name="owner", password=PASSWORD, domain_id=domain)
        project = await admin.make("project", name="owner's", domain_id=domain)
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{self.known['member']}"
        assert (await admin("PUT", path)).status == 204
        self.known[f"{place}.owner"] = user["id"]
        self.clients[place] = await self.cloud.as_(scope={"project": {"id": project["id"]}}, id=user["id"])
        self.known[f"{place}.owner's"] = project["id"]

    async def find(self, name: str, persona: str) -> str:
        """The id behind a name of the table, fresh unless it stays as it is."""
        if name == "new":
            return self.new()
        if name == "me":
            return self.ids.get(persona, self.known["own.owner"])
        if name in self.known:
            return self.known[name]
        place, _, kind = name.rpartition(".")
        return await self._make(place, kind)

    async def _make(self, place: str, kind: str) -> str:
        admin = self.cloud.admin
        home = {"domain_id": self.known[place]} if place else {}
        values: dict[str, Any] = {"name": self.new(), **home}
        match kind:
            case "app":
                path = f"/v3/users/{self.known[f'{place}.owner']}/application_credentials"
                body: dict[str, Any] = {"application_credential": {"name": self.new(), "secret": "s"}}
                return str(
                    (await self.clients[place]("POST", path, body)).json["application_credential"]["id"]
                )
            case "access_rule":
                path = f"/v3/users/{self.known[f'{place}.owner']}/application_credentials"
                rule = {"service": "identity", "method": "GET", "path": "/"}
                body = {"application_credential": {"name": self.new(), "access_rules": [rule]}}
                made = await self.clients[place]("POST", path, body)
                return str(made.json["application_credential"]["access_rules"][0]["id"])
            case "policy":
                values = {"blob": "{}", "type": "application/json"}
                made = await admin("POST", "/v3/policies", {"policy": values})
                return str(made.json["policy"]["id"])
            case "endpoint_group":
                values = {"name": self.new(), "filters": {"interface": "public"}}
                made = await admin("POST", "/v3/OS-EP-FILTER/endpoint_groups", {"endpoint_group": values})
                return str(made.json["endpoint_group"]["id"])
            case "limited" | "registered_limit":
                service = await self._make("", "service")
                values = {"service_id": service, "resource_name": "cores", "default_limit": 5}
                made = await admin("POST", "/v3/registered_limits", {"registered_limits": [values]})
                return service if kind == "limited" else str(made.json["registered_limits"][0]["id"])
            case "limit":
                values = {
                    "service_id": await self._make("", "limited"),
                    "resource_name": "cores",
                    "resource_limit": 3,
                    "project_id": await self._make(place, "project"),
                }
                made = await admin("POST", "/v3/limits", {"limits": [values]})
                return str(made.json["limits"][0]["id"])
            case "consumer":
                made = await admin("POST", "/v3/OS-OAUTH1/consumers", {"consumer": {}})
                return str(made.json["consumer"]["id"])
            case "trust":
                body = {
                    "trustor_user_id": self.known[f"{place}.owner"],
                    "trustee_user_id": await self._make(place, "user"),
                    "impersonation": False,
                    "project_id": self.known[f"{place}.owner's"],
                    "roles": [{"name": "member"}],
                }
                made = await self.clients[place]("POST", "/v3/OS-TRUST/trusts", {"trust": body})
                return str(made.json["trust"]["id"])
            case "keys" | "keys_id":
                path = f"/v3/users/{self.known[f'{place}.owner']}/credentials/OS-EC2"
                body = {"tenant_id": self.known[f"{place}.owner's"]}
                access = str((await admin("POST", path, body)).json["credential"]["access"])
                return access if kind == "keys" else ec2_id(access)
            case "credential":
                owner = self.known[f"{place}.owner"]
                return str((await admin.make(kind, type="cert", blob="x", user_id=owner))["id"])
            case "region":
                values = {}
            case "service":
                values = {"type": "x"}
            case "endpoint":
                service = await self._make("", "service")
                values = {"service_id": service, "interface": "public", "url": "http://x"}
        return str((await admin.make(kind, **values))["id"])

    async def ask(self, row: Row, persona: str) -> Answer:
        text = row.call if row.body is None else f"{row.call} {json.dumps(row.body)}"
        for name in dict.fromkeys(re.findall(r"\{([a-z_.]+)\}", text)):
            text = text.replace(f"{{{name}}}", await self.find(name, persona))
        method, path, *body = text.split(" ", 2)
        headers = {}
        if path == "/v3/auth/tokens":
            subject = await self.cloud.as_(id=self.known["other.owner"])
            headers["x_subject_token"] = subject.token or ""
        client = self.clients.get(persona, self.cloud.anyone)
        content = json.loads(body[0]) if body else None
        return await client(method, path, content, **headers)


def _expected(row: Row, persona: str) -> int:
    if persona == "nobody":
        return 401
    return row.status if persona in row.who.split() else row.otherwise


@pytest.mark.parametrize("part", range(4))
def test_who_may_do_what(quick, part):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        wrong = []
        for row in ALL_ROWS[part::4]:
            for persona in (*PERSONAS, "nobody"):
                answer = await stage.ask(row, persona)
                right = _expected(row, persona)
                if answer.status != right:
                    wrong.append(f"{persona} {row.call}: {answer.status} is not {right} {answer.body!r}")
        assert not wrong, "\n".join(wrong)

    quick(story)


def test_the_table_has_every_rule(quick):
    async def story(cloud: Cloud) -> None:
        names = {rule.name for rule in cloud.identity.service.rules}
        rules = {name.removeprefix("identity:") for name in names if name.startswith("identity:")}
        assert rules == {row.rule for row in ALL_ROWS}

    quick(story)


def test_a_domains_token_sees_of_each_list_what_is_in_its_domain(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        own, other = stage.known["own"], stage.known["other"]
        group, user = await stage.find("own.group", ""), await stage.find("own.user", "")
        foreign_group, foreign = await stage.find("other.group", ""), await stage.find("other.user", "")
        for pair in ((group, user), (group, foreign), (foreign_group, user)):
            assert (await cloud.admin("PUT", "/v3/groups/{}/users/{}".format(*pair))).status == 204
        elsewhere = await stage.find("other.project", "")
        for persona in ("DA", "DG", "DM", "DR"):
            client = stage.clients[persona]

            async def listed(path: str, kind: str, client: Client = client) -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = (await client("GET", path)).json[kind]
                return found

            assert [one["id"] for one in await listed("/v3/domains", "domains")] == [own]
            for kind in ("users", "groups", "projects"):
                assert {one["domain_id"] for one in await listed(f"/v3/{kind}", kind)} == {own}
                assert await listed(f"/v3/{kind}?domain_id={other}", kind) == []
                marker = await stage.find(f"other.{kind.removesuffix('s')}", "")
                answers = [
                    await client("GET", f"/v3/{kind}?limit=1&marker={one}") for one in (marker, "0" * 32)
                ]
                said = [answer.body.decode().replace(marker, "0" * 32) for answer in answers]
                assert said[0] == said[1] and answers[0].status >= 400
            assert await listed("/v3/projects?is_domain=true", "projects") == []
            assert [one["id"] for one in await listed(f"/v3/groups/{group}/users", "users")] == [user]
            assert [one["id"] for one in await listed(f"/v3/users/{user}/groups", "groups")] == [group]
            scopes = [one["scope"] for one in await listed("/v3/role_assignments", "role_assignments")]
            assert {"domain": {"id": own}} in scopes and {"project": {"id": stage.known["home"]}} in scopes
            assert all("system" not in scope for scope in scopes)
            assert stage.known["other.owner's"] not in json.dumps(scopes)
            for query in ("scope.system=all", f"scope.domain.id={other}", f"scope.project.id={elsewhere}"):
                assert await listed(f"/v3/role_assignments?{query}", "role_assignments") == []

    quick(story)


def test_a_domains_token_lists_no_ec2_keys_but_its_owners(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        for place in _PLACES:
            await stage.find(f"{place}.keys", "")
        for persona in ("DA", "DG", "DM", "DR"):
            path = f"/v3/users/{stage.ids[persona]}/credentials/OS-EC2"
            made = await cloud.admin("POST", path, {"tenant_id": stage.known["home"]})
            access = made.json["credential"]["access"]
            listed = (await stage.clients[persona]("GET", "/v3/credentials?type=ec2")).json["credentials"]
            assert [json.loads(one["blob"])["access"] for one in listed] == [access], persona

    quick(story)
