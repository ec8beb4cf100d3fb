"""Users and groups of a real LDAP server, as a domain's configuration names it."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.identity.cloud import PASSWORD, Cloud
from tests.api.identity.directory_world import PEOPLE, log_in, make_domain, person, team
from tests.ldap import PROGRAM, SUFFIX, Ldap

from pileus.services.identity.rules.directory import Options, filter_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="slapd is not installed"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Ldap]:
    it = Ldap()
    try:
        it.add(
            PEOPLE
            + "\n"
            + person("u1", "Ann")
            + person("u2", "Bob", employeeType="FALSE")
            + person("u3", "anna*")
        )
        it.add(team("ops", "u1") + team("dev", "u1", "u3"))
        yield it
    finally:
        it.close()


def test_people_are_listed_by_filters_and_have_stable_ids(tell, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)

        async def names(query: str = "", kind: str = "users") -> list[str]:
            answer = await cloud.admin("GET", f"/v3/{kind}?domain_id={domain}{query}&sort_key=name")
            assert answer.status == 200, answer
            return [one["name"] for one in answer.json[kind]]

        assert await names() == ["Ann", "Bob", "anna*"]
        assert await names("&name=Ann") == ["Ann"]
        assert await names("&name=ann") == []
        assert await names("&name__icontains=ANN") == ["Ann", "anna*"]
        assert await names("&name__endswith=*") == ["anna*"], "a star of the query is only a star"
        assert await names("&name=*") == [] == await names("&name=Ann)(cn=*")
        assert await names("&enabled=false") == ["Bob"]
        assert await names("&limit=1") == ["Ann"]
        assert await names(kind="groups") == ["dev", "ops"]
        listed = (await cloud.admin("GET", f"/v3/users?domain_id={domain}&name=Ann")).json["users"][0]
        assert listed["id"] == hashlib.sha256(f"{domain}useru1".encode()).hexdigest()
        assert listed["email"] == "u1@example.org" and listed["enabled"] is True
        assert (await cloud.admin("GET", f"/v3/users/{listed['id']}")).json["user"] == listed
        server.add(person("u4", "Dan"))
        try:
            assert await names("&name=Dan") == ["Dan"]
        finally:
            server.modify(f"dn: uid=u4,ou=people,{SUFFIX}\nchangetype: delete\n")
        assert await names("&name=Dan") == [], "who is gone there is in no list here"

    tell(story)


def test_logging_in_with_roles_of_users_and_groups(tell, server):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        domain = await make_domain(cloud, server)
        assert (await log_in(cloud, domain, "Ann", "wrong")).status == 401
        assert (await log_in(cloud, domain, "Ann", "")).status == 401, "a bind without password is anybody's"
        assert (await log_in(cloud, domain, "nobody", "x")).status == 401
        assert (await log_in(cloud, domain, "anna*", "anna*-secret")).status == 201
        assert (await log_in(cloud, domain, "*", "Ann-secret")).status == 401
        first = await log_in(cloud, domain, "Ann", "Ann-secret")
        assert first.status == 201, first
        user = first.json["token"]["user"]
        assert user["name"] == "Ann" and user["domain"]["id"] == domain
        by_id = await cloud.login(password="Ann-secret", id=user["id"])
        assert by_id.status == 201

        project = await admin.make("project", name="web", domain_id=domain)
        member, reader = await cloud.role("member"), await cloud.role("reader")
        path = f"/v3/projects/{project['id']}"
        assert (await admin("PUT", f"{path}/users/{user['id']}/roles/{reader}")).status == 204
        ops = (await admin("GET", f"/v3/groups?domain_id={domain}&name=ops")).json["groups"][0]
        assert (await admin("PUT", f"{path}/groups/{ops['id']}/roles/{member}")).status == 204
        scope = {"project": {"id": project["id"]}}
        scoped = await log_in(cloud, domain, "Ann", "Ann-secret", scope)
        assert {one["name"] for one in scoped.json["token"]["roles"]} == {"member", "reader"}
        mine = (await admin("GET", f"/v3/users/{user['id']}/groups")).json["groups"]
        assert {one["name"] for one in mine} == {"dev", "ops"}
        # who leaves a group there loses its roles with the next log-in
        server.modify(
            f"dn: cn=ops,ou=teams,{SUFFIX}\nchangetype: modify\n"
            f"add: member\nmember: uid=u3,ou=people,{SUFFIX}\n-\n"
            f"delete: member\nmember: uid=u1,ou=people,{SUFFIX}\n"
        )
        try:
            again = await log_in(cloud, domain, "Ann", "Ann-secret", scope)
            assert {one["name"] for one in again.json["token"]["roles"]} == {"reader"}
        finally:
            server.modify(
                f"dn: cn=ops,ou=teams,{SUFFIX}\nchangetype: modify\nreplace: member\n"
                f"member: uid=u1,ou=people,{SUFFIX}\n"
            )
        disabled = await log_in(cloud, domain, "Bob", "Bob-secret")
        assert disabled.status == 401
        # the local domains are as before
        assert (await cloud.login("admin")).status == 201 and (await cloud.login("admin", "x")).status == 401

    tell(story)


def test_a_directory_is_not_written_to(quick, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        user = (await cloud.admin("GET", f"/v3/users?domain_id={domain}&name=Ann")).json["users"][0]
        group = (await cloud.admin("GET", f"/v3/groups?domain_id={domain}&name=ops")).json["groups"][0]
        member = f"/v3/groups/{group['id']}/users/{user['id']}"
        for method, path, body in (
            ("POST", "/v3/users", {"user": {"name": "x", "domain_id": domain}}),
            ("PATCH", f"/v3/users/{user['id']}", {"user": {"name": "x"}}),
            ("DELETE", f"/v3/users/{user['id']}", None),
            ("POST", "/v3/groups", {"group": {"name": "x", "domain_id": domain}}),
            ("DELETE", f"/v3/groups/{group['id']}", None),
            ("PUT", member, None),
            ("DELETE", member, None),
        ):
            refused = await cloud.admin(method, path, body)
            assert refused.status == 403 and "LDAP does not support write" in refused.message, (method, path)
        stranger = await cloud.person("eve", "member")
        assert (await stranger("GET", f"/v3/users?domain_id={domain}")).status == 403
        # without its configuration it is a domain like others
        assert (await cloud.admin("DELETE", f"/v3/domains/{domain}/config")).status == 204
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 401
        made = await cloud.admin.make("user", name="x", domain_id=domain, password=PASSWORD)
        assert (await cloud.login(id=made["id"])).status == 201

    quick(story)


def test_a_dead_server_is_told_and_stops_no_othermake_domain(quick, server):
    async def story(cloud: Cloud) -> None:
        with socket.socket() as silent:  # accepts connections, and says nothing
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            port = silent.getsockname()[1]
            dumb = await make_domain(cloud, server, "dumb", url=f"ldap://127.0.0.1:{port}")
            gone = await make_domain(cloud, server, "gone", url="ldap://127.0.0.1:9")
            wrong = await make_domain(cloud, server, "wrong", password="not it")
            acme = await make_domain(cloud, server)
            waiting = [asyncio.ensure_future(log_in(cloud, dumb, "Ann", "x")) for _ in range(8)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            assert (await log_in(cloud, acme, "Ann", "Ann-secret")).status == 201
            assert (await cloud.login("admin")).status == 201
            for domain in (gone, wrong):
                refused = await log_in(cloud, domain, "Ann", "Ann-secret")
                assert refused.status == 503, refused
                assert "Unable to establish a connection to LDAP Server" in refused.message
                listed = await cloud.admin("GET", f"/v3/users?domain_id={domain}")
                assert listed.status == 503
            assert time.monotonic() - began < 8, "nobody waited for the server that is silent"
            for answer in await asyncio.gather(*waiting):
                assert answer.status == 503

    quick(story)


def test_members_of_a_group_are_those_of_the_directory(quick, server):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server)
        dev = (await cloud.admin("GET", f"/v3/groups?domain_id={domain}&name=dev")).json["groups"][0]

        async def names() -> list[str]:
            answer = await cloud.admin("GET", f"/v3/groups/{dev['id']}/users?sort_key=name")
            assert answer.status == 200, answer
            return [one["name"] for one in answer.json["users"]]

        assert await names() == ["Ann", "anna*"], "none of them has logged in"
        group = f"dn: cn=dev,ou=teams,{SUFFIX}\nchangetype: modify\n"
        server.modify(f"{group}replace: member\nmember: uid=u2,ou=people,{SUFFIX}\n")
        try:
            assert await names() == ["Bob"]
        finally:
            members = "".join(f"member: uid={key},ou=people,{SUFFIX}\n" for key in ("u1", "u3"))
            server.modify(f"{group}replace: member\n{members}")
        assert await names() == ["Ann", "anna*"]
        stranger = await cloud.person("eve", "member")
        assert (await stranger("GET", f"/v3/groups/{dev['id']}/users")).status == 403

    quick(story)


def test_a_bit_of_a_number_disables_a_user_as_in_active_directory(quick, server):
    async def story(cloud: Cloud) -> None:
        for key, name, number in (("m1", "Max", "512"), ("m2", "Mia", "514")):
            server.add(person(key, name, employeeNumber=number))
        try:
            mask: dict[str, Any] = {
                "user_enabled_attribute": "employeeNumber",
                "user_enabled_mask": 2,
                "user_enabled_default": "512",
            }
            domain = await make_domain(cloud, server, **mask)
            listed = (await cloud.admin("GET", f"/v3/users?domain_id={domain}")).json["users"]
            enabled = {one["name"]: one["enabled"] for one in listed}
            assert enabled == {"Ann": True, "Bob": True, "anna*": True, "Max": True, "Mia": False}
            assert (await log_in(cloud, domain, "Max", "Max-secret")).status == 201
            assert (await log_in(cloud, domain, "Mia", "Mia-secret")).status == 401
        finally:
            for key in ("m1", "m2"):
                server.modify(f"dn: uid={key},ou=people,{SUFFIX}\nchangetype: delete\n")

        # the attribute says who is locked
        locked = {"user_enabled_attribute": "employeeType", "user_enabled_invert": True}
        other = await make_domain(cloud, server, "inverted", **locked, user_enabled_default="False")
        listed = (await cloud.admin("GET", f"/v3/users?domain_id={other}")).json["users"]
        assert all(one["enabled"] for one in listed) and len(listed) == 3

    quick(story)


@pytest.mark.parametrize("way", ["ldaps", "starttls"])
def test_a_directory_behind_tls(quick, way):
    async def story(cloud: Cloud) -> None:
        ways: dict[str, dict[str, Any]] = {
            "ldaps": {"url": it.tls_url},
            "starttls": {"url": it.url, "use_tls": True},
        }
        secure = ways[way]
        domain = await make_domain(cloud, it, **{**secure, "tls_cacertfile": str(it.authority)})
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
        assert (await log_in(cloud, domain, "Ann", "wrong")).status == 401
        listed = await cloud.admin("GET", f"/v3/users?domain_id={domain}")
        assert [one["name"] for one in listed.json["users"]] == ["Ann"]
        strange = await make_domain(cloud, it, "strange", **secure)
        refused = await log_in(cloud, strange, "Ann", "Ann-secret")
        assert refused.status == 503, "its certificate is signed by nobody who is known"
        blind = await make_domain(cloud, it, "blind", **{**secure, "tls_req_cert": "never"})
        assert (await log_in(cloud, blind, "Ann", "Ann-secret")).status == 201

    it = Ldap(tls=True)
    try:
        it.add(PEOPLE + "\n" + person("u1", "Ann"))
        quick(story)
    finally:
        it.close()


def test_groups_in_groups_are_asked_for_by_active_directorys_rule():
    options = Options("d", "D", {"group_ad_nesting": True, "group_objectclass": "group"})
    name = options.chained(options.attribute("group", "member"))
    text = filter_of(options, "group", str, [(name, "equals", "cn=ann")])
    assert text == "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:=cn=ann))"
    assert Options("d", "D", {}).chained("member") == "member"
