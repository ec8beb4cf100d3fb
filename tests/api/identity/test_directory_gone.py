"""Who leaves a directory, and who came from it by an earlier version: ids, looks into it, and the purge."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from tests.api.identity.cloud import Client, Cloud, run
from tests.api.identity.directory_world import PEOPLE, config, log_in, make_domain, person, team
from tests.ldap import PROGRAM, SUFFIX, Ldap
from tests.waiting import eventually

from pileus.core.context import system_context
from pileus.services.identity.directory.gone import Wanted, mapped_read
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.service import IdentitySettings
from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.users import users
from pileus.services.identity.users.inactive import users_disable_inactive
from pileus.store.tx import Tx

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="slapd is not installed"),
]

MAPPINGS = "/v3/OS-PILEUS-DIRECTORY/mappings"


@pytest.fixture(scope="module")
def running() -> Iterator[Ldap]:
    it = Ldap()
    try:
        it.add(PEOPLE)
        yield it
    finally:
        it.close()


@pytest.fixture
def server(running: Ldap) -> Iterator[Ldap]:
    """The server with Ann, Bob and Dan, and the groups ops (Ann) and dev (Ann, Dan)."""
    names = {"u1": "Ann", "u2": "Bob", "u4": "Dan"}
    running.add("".join(person(key, name) for key, name in names.items()))
    running.add(team("ops", "u1") + team("dev", "u1", "u4"))
    yield running
    for dn in (*(f"uid={key},ou=people" for key in names), "cn=ops,ou=teams", "cn=dev,ou=teams"):
        remove(running, dn, check=False)


def remove(server: Ldap, dn: str, *, check: bool = True) -> None:
    server.modify(f"dn: {dn},{SUFFIX}\nchangetype: delete\n", check=check)


async def everybody(cloud: Cloud, domain: str, kind: str = "user") -> dict[str, str]:
    """The ids of a domain's users or groups, by name, as their directory has them."""
    listed = (await cloud.admin("GET", f"/v3/{kind}s?domain_id={domain}")).json[f"{kind}s"]
    return {one["name"]: one["id"] for one in listed}


async def mapped(cloud: Cloud, query: str = "", *, look: Any = None) -> dict[str | None, Any]:
    """The mappings by their local ids."""
    if look is not None:
        answer = await cloud.admin("POST", f"{MAPPINGS}/look", {"look": look})
    else:
        answer = await cloud.admin("GET", f"{MAPPINGS}{query}")
    assert answer.status == 200, answer
    return {one["local_id"]: one for one in answer.json["mappings"]}


async def purge(cloud: Cloud, **wanted: Any) -> tuple[list[str | None], list[str | None]]:
    """The local ids of those who were purged, and of those who were kept."""
    answer = await cloud.admin("POST", f"{MAPPINGS}/purge", {"purge": wanted})
    assert answer.status == 200, answer
    return (
        [one["local_id"] for one in answer.json["purged"]],
        [one["local_id"] for one in answer.json["kept"]],
    )


async def web(cloud: Cloud, domain: str, user_id: str) -> dict[str, Any]:
    """The scope of a project in which a user is a member."""
    project = await cloud.admin.make("project", name="web", domain_id=domain)
    path = f"/v3/projects/{project['id']}/users/{user_id}/roles/{await cloud.role('member')}"
    assert (await cloud.admin("PUT", path)).status == 204
    return {"project": {"id": project["id"]}}


async def by_credential(cloud: Cloud, credential: dict[str, Any]) -> int:
    cloud.clock.advance(0.001)
    method = "application_credential"
    proof = {"id": credential["id"], "secret": credential["secret"]}
    auth = {"identity": {"methods": [method], method: proof}}
    return (await cloud.anyone("POST", "/v3/auth/tokens", {"auth": auth})).status


def test_who_is_gone_is_disabled_and_comes_back_as_he_was(tell, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        await everybody(cloud, domain, "group")
        scope = await web(cloud, domain, there["Ann"])
        ann = Client(cloud.app, (await log_in(cloud, domain, "Ann", "Ann-secret", scope)).token)
        path = f"/v3/users/{there['Ann']}/application_credentials"
        made = await ann("POST", path, {"application_credential": {"name": "backup"}})
        credential = made.json["application_credential"]
        assert await by_credential(cloud, credential) == 201
        found = await mapped(cloud, f"?domain_id={domain}&type=user")
        assert {key: one["public_id"] for key, one in found.items()} == {
            "u1": there["Ann"], "u2": there["Bob"], "u4": there["Dan"],
        }  # fmt: skip
        assert not any(one["gone_at"] for one in found.values())

        remove(server, "uid=u1,ou=people")
        remove(server, "cn=ops,ou=teams")
        assert (await ann("GET", "/v3/auth/projects")).status == 200, "nobody has looked"
        found = await mapped(cloud, look={"domain_id": domain})
        assert {key for key, one in found.items() if one["gone_at"]} == {"u1", "ops"}
        assert (await ann("GET", "/v3/auth/projects")).status == 401
        assert await by_credential(cloud, credential) == 401
        shown = (await cloud.admin("GET", f"/v3/users/{there['Ann']}")).json["user"]
        assert shown["enabled"] is False
        assert {one["id"] for one in (await cloud.admin("GET", f"{path}")).json["application_credentials"]}

        server.add(person("u1", "Ann"))
        assert not any(one["gone_at"] for one in (await mapped(cloud, look={"type": "user"})).values())
        again = await log_in(cloud, domain, "Ann", "Ann-secret", scope)
        assert again.status == 201 and again.json["token"]["user"]["id"] == there["Ann"]
        assert await by_credential(cloud, credential) == 201

    tell(story)


def test_a_look_takes_over_what_a_directory_has_changed(quick, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        assert (await log_in(cloud, domain, "Dan", "Dan-secret")).status == 201
        groups_of = f"/v3/users/{there['Dan']}/groups"
        assert [one["name"] for one in (await cloud.admin("GET", groups_of)).json["groups"]] == ["dev"]
        server.modify(
            f"dn: cn=dev,ou=teams,{SUFFIX}\nchangetype: modify\n"
            f"delete: member\nmember: uid=u4,ou=people,{SUFFIX}\n\n"
            f"dn: uid=u2,ou=people,{SUFFIX}\nchangetype: modify\n"
            "replace: cn\ncn: Robert\n-\nreplace: mail\nmail: rob@example.org\n"
        )
        await mapped(cloud, look={})
        assert (await cloud.admin("GET", groups_of)).json["groups"] == []
        bob = (await cloud.admin("GET", f"/v3/users/{there['Bob']}")).json["user"]
        assert (bob["name"], bob["email"]) == ("Robert", "rob@example.org")

    quick(story)


def test_other_attributes_are_taken_over_as_the_configuration_says(quick, server):
    async def story(cloud: Cloud) -> None:
        project = await cloud.admin.make("project", name="lab")
        change = f"dn: uid=u1,ou=people,{SUFFIX}\nchangetype: modify\nreplace: "
        server.modify(f"{change}roomNumber\nroomNumber: 12\n-\nreplace: o\no: {project['id']}\n")
        server.modify(f"dn: cn=ops,ou=teams,{SUFFIX}\nchangetype: modify\nreplace: o\no: Operations\n")
        domain = await make_domain(
            cloud,
            server,
            user_additional_attribute_mapping=["roomNumber:room", "sn:id", "nothing", 7, "sn:password"],
            group_additional_attribute_mapping="o:unit",
            user_default_project_id_attribute="o",
            user_attribute_ignore=["description"],
        )
        found = (await cloud.admin("GET", f"/v3/users?domain_id={domain}&name=Ann")).json["users"][0]
        assert (found["room"], found["default_project_id"]) == ("12", project["id"])
        assert len(found["id"]) == 64 and "password" not in found
        group = (await cloud.admin("GET", f"/v3/groups?domain_id={domain}&name=ops")).json["groups"][0]
        assert group["unit"] == "Operations"
        usual = await make_domain(cloud, server, "usual", user_default_project_id_attribute="o")
        other = (await cloud.admin("GET", f"/v3/users?domain_id={usual}&name=Ann")).json["users"][0]
        assert not other.get("default_project_id") and "room" not in other, "ignored by default"
        server.modify(f"{change}roomNumber\nroomNumber: 13\n-\nreplace: o\n")
        await mapped(cloud, look={})
        shown = (await cloud.admin("GET", f"/v3/users/{found['id']}")).json["user"]
        assert shown["room"] == "13" and not shown.get("default_project_id")
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201

    quick(story)


def test_a_purge_deletes_those_who_are_gone_and_nobody_else(tell, server):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        teams = await everybody(cloud, domain, "group")
        scope = await web(cloud, domain, there["Ann"])
        assert await purge(cloud, domain_id=domain) == ([], ["dev", "ops", "u1", "u2", "u4"])
        for refused, said in (
            ({}, "At least one option must be provided"),
            ({"all": False}, "At least one option must be provided"),
            ({"all": True, "type": "user"}, "--all option cannot be mixed with other options"),
            ({"type": "robot"}, "robot"),
        ):
            answer = await admin("POST", f"{MAPPINGS}/purge", {"purge": refused})
            assert answer.status == 400 and said in answer.message, answer
        for dn in ("uid=u1,ou=people", "uid=u2,ou=people", "cn=ops,ou=teams"):
            remove(server, dn)
        assert await purge(cloud, public_id=there["Dan"]) == ([], ["u4"])
        assert await purge(cloud, local_id="u2", domain_id=domain, type="user") == (["u2"], [])
        assert (await admin("GET", f"/v3/users/{there['Bob']}")).status == 404
        assert (await admin("GET", f"/v3/users/{there['Ann']}")).status == 200
        assert await purge(cloud, type="group") == (["ops"], ["dev"])
        assert (await admin("GET", f"/v3/groups/{teams['ops']}")).status == 404
        assert await purge(cloud, all=True) == (["u1"], ["dev", "u4"])
        roles = (await admin("GET", f"/v3/role_assignments?user.id={there['Ann']}")).json
        assert roles["role_assignments"] == [], "his roles went with him"

        # who comes again begins anew, with the same id
        server.add(person("u1", "Ann"))
        assert (await everybody(cloud, domain))["Ann"] == there["Ann"]
        assert (await log_in(cloud, domain, "Ann", "Ann-secret", scope)).status == 401
        assert await purge(cloud, local_id="u1", even_present=True) == (["u1"], [])

    tell(story)


def test_nobody_is_gone_because_a_directory_does_not_answer(quick, server):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        path = f"/v3/domains/{domain}/config/ldap"
        for broken in (
            {"url": "ldap://127.0.0.1:9"},
            {"url": server.url, "user_tree_dn": f"ou=nowhere,{SUFFIX}"},
            {"user_tree_dn": f"ou=people,{SUFFIX}", "password": "wrong"},
        ):
            assert (await admin("PATCH", path, {"config": {"ldap": broken}})).status == 200
            for verb in ("look", "purge"):
                answer = await admin("POST", f"{MAPPINGS}/{verb}", {verb: {"domain_id": domain}})
                assert answer.status == 503, (broken, answer)
            assert not any(one["gone_at"] for one in (await mapped(cloud)).values())
        # a domain without a directory has nobody to ask
        assert (await admin("DELETE", f"/v3/domains/{domain}/config")).status == 204
        assert await purge(cloud, domain_id=domain, type="user") == ([], ["u1", "u2", "u4"])
        assert await purge(cloud, public_id=there["Ann"], even_present=True) == (["u1"], [])
        stranger = await cloud.person("eve", "member")
        for method, where, body in (
            ("GET", MAPPINGS, None),
            ("POST", f"{MAPPINGS}/look", {"look": {}}),
            ("POST", f"{MAPPINGS}/purge", {"purge": {"all": True, "even_present": True}}),
        ):
            assert (await stranger(method, where, body)).status == 403
        assert len(await mapped(cloud)) == 2

    quick(story)


def test_directories_are_looked_into_by_themselves(quick, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        remove(server, "uid=u1,ou=people")
        directories = cloud.identity._directories
        directories.start(cloud.clock, 0.05)

        async def gone() -> bool:
            return (await mapped(cloud))["u1"]["gone_at"] is not None

        await eventually(gone)
        assert (await cloud.admin("GET", f"/v3/users/{there['Ann']}")).json["user"]["enabled"] is False

    quick(story)


def test_a_directory_says_itself_who_is_inactive(server, tmp_path):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
        cloud.clock.advance(11 * 86400)
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
        cloud.clock.advance(11 * 86400)
        context = system_context(cloud.clock.now())
        disabled = await cloud.store.write(users_disable_inactive, context, rules)
        theirs = {one.public_id for one in await cloud.store.read(mapped_read, Wanted(type="user"))}
        assert disabled and not theirs & set(disabled), "only people of this cloud's own"

    rules = Compliance(disable_user_account_days_inactive=10)
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, IdentitySettings(compliance=rules))


def earlier_ids(tx: Tx, domain: str, names: dict[str, str]) -> dict[str, str]:
    """Write rows as an earlier version has: ids of 32 digits, and no ids of the directory."""
    ids = {
        name: hashlib.sha256(f"{domain}user{key}".encode()).hexdigest()[:32] for name, key in names.items()
    }
    rows = [
        {
            "id": ids[name], "name": name, "domain_id": domain, "enabled": True,
            "tokens_after": dt.datetime(2026, 1, 1), "failed_auth_count": 0,
        }
        for name in names
    ]  # fmt: skip
    tx.insert(users, rows)
    group = hashlib.sha256(f"{domain}groupdev".encode()).hexdigest()[:32]
    tx.insert(groups, [{"id": group, "name": "dev", "domain_id": domain, "description": ""}])
    return {**ids, "dev": group}


def test_ids_of_earlier_versions_stay(tell, server):
    async def story(cloud: Cloud) -> None:
        domain = (await cloud.admin.make("domain", name="acme"))["id"]
        had = await cloud.store.write(earlier_ids, domain, {"Ann": "u1", "Zoe": "u9"})
        scope = await web(cloud, domain, had["Ann"])
        project = f"/v3/projects/{scope['project']['id']}"
        path = f"{project}/groups/{had['dev']}/roles/{await cloud.role('reader')}"
        assert (await cloud.admin("PUT", path)).status == 204
        put = await cloud.admin("PUT", f"/v3/domains/{domain}/config", {"config": config(server)})
        assert put.status == 201
        # a log-in and a look come before any list
        first = await log_in(cloud, domain, "Ann", "Ann-secret", scope)
        assert first.status == 201, first
        assert first.json["token"]["user"]["id"] == had["Ann"]
        assert {one["name"] for one in first.json["token"]["roles"]} == {"member", "reader"}
        assert (await cloud.login(password="Ann-secret", id=had["Ann"])).status == 201
        there = await everybody(cloud, domain)
        assert there["Ann"] == had["Ann"] and len(there["Bob"]) == 64
        assert (await everybody(cloud, domain, "group"))["dev"] == had["dev"]
        inside = (await cloud.admin("GET", f"/v3/groups/{had['dev']}/users")).json["users"]
        assert {one["id"] for one in inside} == {had["Ann"], there["Dan"]}
        # Zoe has left before the upgrade: nobody knows her id there
        found = await mapped(cloud, look={"domain_id": domain, "type": "user"})
        assert found[None]["public_id"] == had["Zoe"] and found[None]["gone_at"]
        assert await purge(cloud, public_id=had["Zoe"]) == ([None], [])

    tell(story)


def test_a_name_that_went_to_another_does_not_open_the_old_account(quick, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        there = await everybody(cloud, domain)
        remove(server, "uid=u1,ou=people")
        server.add(person("u7", "Ann"))
        try:
            assert (await cloud.login(password="Ann-secret", id=there["Ann"])).status == 401
            new = await log_in(cloud, domain, "Ann", "Ann-secret")
            assert new.status == 201 and new.json["token"]["user"]["id"] != there["Ann"]
        finally:
            remove(server, "uid=u7,ou=people")

    quick(story)


def test_rows_of_before_are_not_taken_for_anothers(quick, server):
    async def story(cloud: Cloud) -> None:
        """Local users of the domain stay as they are, whatever a look does not find."""
        domain = (await cloud.admin.make("domain", name="acme"))["id"]
        local = await cloud.admin.make("user", name="local", domain_id=domain, password="pass word")
        bare = await cloud.admin.make("user", name="bare", domain_id=domain)
        await cloud.admin("PUT", f"/v3/domains/{domain}/config", {"config": config(server)})
        await everybody(cloud, domain)

        def forget(tx: Tx) -> None:
            tx.execute(update(users).where(users.c.id == local["id"]).values(created_at=None))

        await cloud.store.write(forget)
        assert set(await mapped(cloud, look={"type": "user"})) == {"u1", "u2", "u4"}
        for one in (local, bare):
            assert (await cloud.admin("GET", f"/v3/users/{one['id']}")).json["user"]["enabled"] is True
        assert (await cloud.login(password="pass word", id=local["id"])).status == 201

    quick(story)
