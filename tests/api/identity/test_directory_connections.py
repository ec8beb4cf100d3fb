"""Connections to a directory: kept, bounded, made anew after a restart; and groups in groups."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.identity.cloud import Cloud
from tests.api.identity.directory_world import PEOPLE, config, log_in, make_domain, person, team
from tests.ldap import PROGRAM, SUFFIX, Ldap
from tests.ldap_proxy import LdapProxy

from pileus.services.identity.directory.connections import Connections
from pileus.services.identity.directory.errors import DirectoryUnavailable
from pileus.services.identity.rules.directory import Options

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="slapd is not installed"),
]

NAMES = {"u1": "Ann", "u2": "Bob", "u3": "Cid"}


@pytest.fixture(scope="module")
def server() -> Iterator[Ldap]:
    it = Ldap()
    try:
        it.add(PEOPLE + "\n" + "".join(person(key, name) for key, name in NAMES.items()))
        it.add(team("ops", "u1") + team("dev", "u2"))
        everyone = team("all", "u3").rstrip()
        it.add(f"{everyone}\nmember: cn=ops,ou=teams,{SUFFIX}\nmember: cn=dev,ou=teams,{SUFFIX}\n")
        yield it
    finally:
        it.close()


@pytest.fixture
def proxy(server: Ldap) -> Iterator[LdapProxy]:
    with LdapProxy(server) as it:
        yield it


async def names(cloud: Cloud, domain: str, kind: str = "users", query: str = "") -> list[str]:
    answer = await cloud.admin("GET", f"/v3/{kind}?domain_id={domain}&sort_key=name{query}")
    assert answer.status == 200, answer
    return [one["name"] for one in answer.json[kind]]


def test_connections_are_kept_and_passwords_are_not(quick, server, proxy):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server, url=proxy.url)
        for _ in range(3):
            assert await names(cloud, domain) == ["Ann", "Bob", "Cid"]
            assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
            assert (await log_in(cloud, domain, "Ann", "wrong")).status == 401
        assert proxy.made == 2, "one to search with, and one to check passwords"
        assert (await log_in(cloud, domain, "Bob", "Ann-secret")).status == 401
        change = f"dn: uid=u1,ou=people,{SUFFIX}\nchangetype: modify\nreplace: userPassword\nuserPassword: "
        server.modify(f"{change}another\n")
        try:
            assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 401
            assert (await log_in(cloud, domain, "Ann", "another")).status == 201
        finally:
            server.modify(f"{change}Ann-secret\n")
        assert proxy.made == 2

        # without pools each call has a connection of its own
        assert (await cloud.admin("DELETE", f"/v3/domains/{domain}/config")).status == 204
        alone = {"url": proxy.url, "use_pool": False, "use_auth_pool": False}
        put = await cloud.admin("PUT", f"/v3/domains/{domain}/config", {"config": config(server, **alone)})
        assert put.status == 201
        before = proxy.made
        assert await names(cloud, domain) == ["Ann", "Bob", "Cid"] == await names(cloud, domain)
        assert proxy.made == before + 2
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
        assert proxy.made == before + 5, "the user, his password, and his groups"

    quick(story)


def test_a_restart_of_the_server_is_not_noticed(quick, server, proxy):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server, url=proxy.url)
        await asyncio.gather(*(names(cloud, domain) for _ in range(6)))
        assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
        for first in (names, log_in):
            server.stop()
            assert (await cloud.admin("GET", f"/v3/users?domain_id={domain}")).status == 503
            server.start()
            if first is names:
                assert await names(cloud, domain) == ["Ann", "Bob", "Cid"]
            assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
            assert (await log_in(cloud, domain, "Ann", "wrong")).status == 401
            assert await names(cloud, domain) == ["Ann", "Bob", "Cid"]
        # started anew while nobody asked: the connections that are kept have ended
        server.stop()
        server.start()
        assert await asyncio.gather(*(names(cloud, domain) for _ in range(6))) == [["Ann", "Bob", "Cid"]] * 6
        assert (await log_in(cloud, domain, "Bob", "Bob-secret")).status == 201

    quick(story)


def test_a_password_is_never_sent_in_the_clear_after_a_restart(quick):
    async def story(cloud: Cloud) -> None:
        with LdapProxy(it) as proxy:
            secure: dict[str, Any] = {"url": proxy.url, "use_tls": True, "tls_cacertfile": str(it.authority)}
            domain = await make_domain(cloud, it, **secure)
            for _ in range(2):
                assert (await log_in(cloud, domain, "Ann", "Ann-secret")).status == 201
                assert await names(cloud, domain) == ["Ann"]
                it.stop()
                it.start()
            assert proxy.made == 4 and proxy.said
            for secret in (b"Ann-secret", b"bind secret", b"cn=admin"):
                assert secret not in proxy.said

    it = Ldap(tls=True)
    try:
        it.add(PEOPLE + "\n" + person("u1", "Ann"))
        quick(story)
    finally:
        it.close()


def test_as_many_connections_at_once_as_the_pool_has(quick, server, proxy):
    async def story(cloud: Cloud) -> None:
        domain = await make_domain(cloud, server, url=proxy.url, pool_size=2, use_auth_pool=False)
        found = await asyncio.gather(*(names(cloud, domain) for _ in range(12)))
        assert found == [["Ann", "Bob", "Cid"]] * 12
        assert proxy.made == proxy.most <= 2

    quick(story)


def options(server: Ldap, **more: Any) -> Options:
    return Options("d", "D", config(server, **more)["ldap"])


def test_tries_and_lifetimes_are_those_of_the_configuration(server, proxy):
    now = 0.0
    known = options(server, url=proxy.url, pool_retry_max=3, pool_retry_delay=0.001)
    kept = Connections(known, clock=lambda: now)
    proxy.drops = 2
    assert kept.search(lambda connection: connection.bound) is True
    assert proxy.made == 3
    now = 599.0
    kept.search(lambda connection: None)
    assert proxy.made == 3
    now = 600.0
    kept.search(lambda connection: None)
    assert proxy.made == 4, "pool_connection_lifetime"
    assert kept.binds(f"uid=u1,ou=people,{SUFFIX}", "Ann-secret")
    now = 659.0
    assert not kept.binds(f"uid=u1,ou=people,{SUFFIX}", "wrong")
    assert proxy.made == 5
    now = 660.0
    assert kept.binds(f"uid=u1,ou=people,{SUFFIX}", "Ann-secret")
    assert proxy.made == 6, "auth_pool_connection_lifetime"
    kept.close()
    proxy.drops = 3
    with pytest.raises(DirectoryUnavailable):
        kept.search(lambda connection: None)
    assert proxy.made == 9
    once = Connections(options(server, url=proxy.url, pool_retry_max=1))
    proxy.drops = 1
    with pytest.raises(DirectoryUnavailable):
        once.search(lambda connection: None)
    once.close()


@pytest.mark.parametrize("value", ["three", None, [1], {"a": 1}, "nan", "1e999"])
def test_a_number_that_is_none_is_the_default(value):
    strange = Options("d", "D", {"pool_size": value, "pool_retry_delay": value, "page_size": value})
    assert strange.number("pool_size") == 10
    assert strange.seconds("pool_retry_delay") == 0.1
    assert strange.number("page_size") == 0
    assert Options("d", "D", {"pool_connection_timeout": "-1"}).seconds("pool_connection_timeout") > 1e9
    assert not Options("d", "D", {"use_pool": "false"}).flag("use_pool")


def test_groups_in_groups_count_as_in_active_directory(tell, server):
    """The server does not know the rule: what comes to it by the rule is worked out before it."""

    async def story(cloud: Cloud) -> None:
        with LdapProxy(server, nesting=True) as proxy:
            nested = await make_domain(cloud, server, url=proxy.url, group_ad_nesting=True)
            plain = await make_domain(cloud, server, "plain", url=proxy.url)
            for domain, groups in ((nested, {"ops", "all"}), (plain, {"ops"})):
                logged_in = await log_in(cloud, domain, "Ann", "Ann-secret")
                user = logged_in.json["token"]["user"]["id"]
                listed = (await cloud.admin("GET", f"/v3/users/{user}/groups")).json["groups"]
                assert {one["name"] for one in listed} == groups
            for domain, members in ((nested, ["Ann", "Bob", "Cid"]), (plain, ["Cid"])):
                group = (await cloud.admin("GET", f"/v3/groups?domain_id={domain}&name=all")).json["groups"]
                found = await cloud.admin("GET", f"/v3/groups/{group[0]['id']}/users?sort_key=name")
                assert [one["name"] for one in found.json["users"]] == members
            rule = ":1.2.840.113556.1.4.1941:="
            asked = [one for one in proxy.filters if rule in one]
            assert f"(&(objectClass=groupOfNames)(member{rule}uid=u1,ou=people,{SUFFIX}))" in asked
            assert f"(&(objectClass=inetOrgPerson)(memberOf{rule}cn=all,ou=teams,{SUFFIX}))" in asked

            # who leaves an inner group leaves the outer one, for a look too
            change = f"dn: cn=ops,ou=teams,{SUFFIX}\nchangetype: modify\nreplace: member\nmember: "
            server.modify(f"{change}uid=u3,ou=people,{SUFFIX}\n")
            try:
                looked = await cloud.admin("POST", "/v3/OS-PILEUS-DIRECTORY/mappings/look", {"look": {}})
                assert looked.status == 200, looked
                ann = (await cloud.admin("GET", f"/v3/users?domain_id={nested}&name=Ann")).json["users"][0]
                assert (await cloud.admin("GET", f"/v3/users/{ann['id']}/groups")).json["groups"] == []
            finally:
                server.modify(f"{change}uid=u1,ou=people,{SUFFIX}\n")

    tell(story)
