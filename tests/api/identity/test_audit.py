"""The audit log: each change and each log-in, for its readers, without secrets."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.identity import test_federation as federated
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud, run
from tests.api.identity.test_credentials import ask, keys_of, owner, signed_keys
from tests.api.identity.test_federation_browser import back_from_provider
from tests.api.identity.test_oauth2 import CLIENT, basic, credential, grant
from tests.openid_provider import Provider

from pileus.services.identity.audit.book import AuditBook
from pileus.services.identity.audit.logins import LOGINS
from pileus.services.identity.audit.work import Bounds, audit_trim
from pileus.services.identity.auth.view import TOKEN_REPLY
from pileus.services.identity.rules.cadf import Record
from pileus.services.identity.service import IdentitySettings
from pileus.store import Store

EVENTS = "/v3/OS-PILEUS-AUDIT/events"


async def _log(
    cloud: Cloud, query: str = "", client: Client | None = None, least: int = 1
) -> list[dict[str, Any]]:
    """The log, as soon as so many lines are there: on database servers events are placed after the commit."""
    book = cloud.identity.audit
    async with asyncio.timeout(20):
        while True:
            book._collect = True
            await book.flush()
            answer = await (client or cloud.admin)("GET", f"{EVENTS}?{query}")
            assert answer.status == 200, answer
            found: list[dict[str, Any]] = answer.json["events"]
            if len(found) >= least:
                return found
            await asyncio.sleep(0.01)


def test_changes_and_logins_are_kept_with_who_and_what(tell):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=cloud.admin.token or "")
        me = shown.json["token"]["user"]["id"]
        cloud.clock.advance(1)
        user = await cloud.admin.make("user", name="ann", password=PASSWORD, email="a@example.org")
        group = await cloud.admin.make("group", name="staff")
        await cloud.admin("PUT", f"/v3/groups/{group['id']}/users/{user['id']}")
        of_user = await _log(cloud, f"target_id={user['id']}")
        assert [one["event_type"] for one in of_user] == ["identity.user.created"]
        made = of_user[0]
        assert made["outcome"] == "success" and made["action"] == "created.user"
        assert (made["initiator_id"], made["initiator_name"]) == (me, "admin")
        assert made["request_id"].startswith("req-") and made["details"]["name"] == "ann"
        assert made["links"]["self"].endswith(f"{EVENTS}/{made['id']}")
        assert (await cloud.admin("GET", f"{EVENTS}/{made['id']}")).json == {"audit_event": made}
        of_group = await _log(cloud, f"target_id={group['id']}", least=2)
        types = {one["event_type"] for one in of_group}
        assert types == {"identity.group.created", "identity.group.added_to"}

        assert (await cloud.login("ann")).status == 201
        assert (await cloud.login("ann", "wrong")).status == 401
        assert (await cloud.login("nobody-with-a-secret-name", "wrong")).status == 401
        assert (await cloud.login("ann", PASSWORD, {"project": {"id": "none"}})).status == 401
        logins = await _log(cloud, "event_type=identity.authenticate&outcome=success")
        assert logins[0]["initiator_id"] == user["id"] and logins[0]["initiator_name"] == "ann"
        assert logins[0]["details"] == {"methods": ["password"]}
        failed = await _log(cloud, "outcome=failure", least=3)
        assert [one["initiator_id"] for one in failed] == [user["id"], None, user["id"]]
        assert {one["reason"] for one in failed} == {"Unauthorized"}
        whole = str(await _log(cloud))
        for secret in (PASSWORD, "wrong", "argon2", "nobody-with-a-secret-name"):
            assert secret not in whole

    tell(story)


def _told(login: dict[str, Any]) -> tuple[Any, ...]:
    return (login["outcome"], login["initiator_name"], login["details"]["methods"], login["reason"])


LOGIN = "event_type=identity.authenticate"


def test_signatures_and_programs_log_in_too(tell):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        bob = await owner(cloud, "bob")
        keys = await keys_of(bob)
        key, secret = await credential(cloud)
        cloud.clock.advance(1)
        since = f"{LOGIN}&since={quote(cloud.clock.now().isoformat() + 'Z')}"
        ec2 = ["ec2credential"]
        for signed, status in (
            (signed_keys(cloud, keys), 200),
            (signed_keys(cloud, {**keys, "secret": "other"}), 401),
            ({**signed_keys(cloud, keys), "access": "a-typed-secret"}, 404),
        ):
            cloud.clock.advance(0.01)
            assert (await ask(cloud, signed)).status == status
        found = await _log(cloud, since, least=3)
        assert [_told(one) for one in found] == [
            ("failure", None, ec2, "AccessKeyNotFound"),
            ("failure", "bob", ec2, "Unauthorized"),
            ("success", "bob", ec2, None),
        ]
        assert found[-1]["project_id"] == bob.project

        cloud.clock.advance(1)
        since = f"{LOGIN}&since={quote(cloud.clock.now().isoformat() + 'Z')}"
        program = ["application_credential"]
        for form, given, status in (
            (CLIENT, basic(key, secret), 200),
            (CLIENT, basic(key, "wrong"), 401),
            ({**CLIENT, "client_id": key, "client_secret": "wrong"}, basic("", ""), 401),
            ({"grant_type": "other", "client_id": "a-typed-secret"}, "", 400),
        ):
            assert (await grant(cloud, form, authorization=given)).status == status
        body = {"methods": program, "application_credential": {"id": key, "secret": "wrong"}}
        cloud.clock.advance(0.01)
        refused = await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": body}})
        assert refused.status == 401
        found = await _log(cloud, since, least=5)
        assert [_told(one) for one in found] == [
            ("failure", "ann", program, "Unauthorized"),
            ("failure", None, program, "unsupported_grant_type"),
            ("failure", None, program, "invalid_client"),
            ("failure", "ann", program, "invalid_client"),
            ("success", "ann", program, None),
        ]
        whole = str(await _log(cloud))
        for typed in ("a-typed-secret", secret, keys["secret"], keys["access"]):
            assert typed not in whole

    tell(story)


def test_users_of_identity_providers_log_in_too(tmp_path):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        await federated.corp(cloud, provider)
        cloud.clock.advance(1)
        since = f"{LOGIN}&since={quote(cloud.clock.now().isoformat() + 'Z')}"
        assert (await federated.come(cloud, provider.token(federated.CLAIMS))).status == 201
        assert (await federated.come(cloud, "none")).status == 401
        path, cookie = await back_from_provider(cloud, provider)
        for sent, status in (({}, 401), ({"cookie": cookie}, 200)):
            cloud.clock.advance(0.01)
            assert (await cloud.anyone("GET", path, **sent)).status == status
        found = await _log(cloud, since, least=4)
        assert [_told(one) for one in found] == [
            ("success", "ann", ["openid"], None),
            ("failure", None, [], "Unauthorized"),
            ("failure", None, ["openid"], "Unauthorized"),
            ("success", "ann", ["openid"], None),
        ]

    with Provider() as provider:
        federated.tell(provider, tmp_path, story)


def test_no_route_gives_tokens_unnoticed(quick):
    async def story(cloud: Cloud) -> None:
        routes = [route for noun in cloud.identity.service.nouns for route in noun.routes]
        given = {
            (route.method, route.path)
            for route in routes
            if route.reply is TOKEN_REPLY and (route.method, route.path) != ("GET", "/v3/auth/tokens")
        }
        assert given and given <= LOGINS.keys() <= {(route.method, route.path) for route in routes}

    quick(story)


def test_the_log_is_paged_and_bounded_by_time(tell):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        await cloud.identity.audit.flush()
        cloud.clock.advance(10)
        begin = cloud.clock.now()
        for number in range(5):
            cloud.clock.advance(1)
            await cloud.admin.make("group", name=f"g{number}")
        since = quote((begin + dt.timedelta(seconds=0.5)).isoformat() + "Z")
        until = quote((begin + dt.timedelta(seconds=3.5)).isoformat() + "Z")
        names = [one["details"]["name"] for one in await _log(cloud, f"since={since}", least=5)]
        assert names == ["g4", "g3", "g2", "g1", "g0"], "the newest first"
        assert len(await _log(cloud, f"since={since}&until={until}")) == 3
        page = (await cloud.admin("GET", f"{EVENTS}?since={since}&limit=2")).json
        assert page["truncated"] is True
        following = page["links"]["next"].removeprefix("http://cloud:5000/identity")
        rest = (await cloud.admin("GET", following)).json["events"]
        assert [one["details"]["name"] for one in rest] == ["g2", "g1"]
        assert (await cloud.admin("GET", f"{EVENTS}?since=yesterday")).status == 400

        # what is old goes, in batches
        bounds = Bounds(1000, 1000)
        assert await cloud.store.write(audit_trim, begin + dt.timedelta(seconds=3.5), bounds) >= 3
        assert [one["details"]["name"] for one in await _log(cloud, f"since={since}")] == ["g4", "g3"]

    tell(story)


def test_refused_attempts_of_nobody_are_counted_and_not_listed(tell):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        ann = await cloud.admin.make("user", name="ann", password=PASSWORD)
        for number in range(5):
            assert (await cloud.login(f"nobody {number}", "wrong")).status == 401
            broken = {"methods": ["password", f"m{number}"], "password": {"user": {"id": ann["id"]}}}
            assert (await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": broken}})).status in (
                400,
                401,
            )
            await cloud.identity.audit.flush()
        for _ in range(2):
            assert (await cloud.login("ann", "wrong")).status == 401
        found = await _log(cloud, "outcome=failure", least=4)
        told = [(one["initiator_id"], one["reason"], one["details"].get("attempts", 1)) for one in found]
        of_ann = [one for one in told if one[0] == ann["id"] and one[1] == "Unauthorized"]
        assert of_ann == [(ann["id"], "Unauthorized", 1)] * 2, "each wrong password of a user is a line"
        assert (None, "Unauthorized", 5) in told and (ann["id"], "MalformedAuth", 5) in told
        assert len(told) == 4
        cloud.clock.advance(3600)
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})
        assert (await cloud.login("nobody", "wrong")).status == 401
        assert len(await _log(cloud, "outcome=failure", least=5)) == 5, "an hour is over"

    tell(story)


def test_the_log_is_bounded_by_number_and_refusals_drive_no_change_out(tell):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        group = await cloud.admin.make("group", name="first")
        await _log(cloud, f"target_id={group['id']}")
        for number in range(6):
            assert (await cloud.login("admin", f"wrong {number}")).status == 401
        await _log(cloud, "outcome=failure", least=6)
        trim = dt.datetime(2000, 1, 1)
        while await cloud.store.write(audit_trim, trim, Bounds(1000, 2)):
            pass
        assert len(await _log(cloud, "outcome=failure")) == 2
        assert len(await _log(cloud, f"target_id={group['id']}")) == 1
        while await cloud.store.write(audit_trim, trim, Bounds(1, 2)):
            pass
        left = (await cloud.admin("GET", EVENTS)).json["events"]
        assert [one["outcome"] for one in left] == ["failure"], "the newest line"

    tell(story)


def test_each_query_narrows_the_list(quick):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        ann = await cloud.person("ann", "member")
        group = await cloud.admin.make("group", name="one")
        assert (await cloud.login("ann", "wrong")).status == 401
        every = await _log(cloud, least=8)
        for name in (
            "event_type",
            "action",
            "outcome",
            "target_type",
            "initiator_id",
            "initiator_name",
            "project_id",
            "target_id",
            "request_id",
        ):
            values = {one[name] for one in every if one[name]}
            assert values, name
            for value in values:
                found = await _log(cloud, f"{name}={quote(value)}&limit=1000")
                wanted = {one["id"] for one in every if one[name] == value}
                assert wanted <= {one["id"] for one in found}, (name, value)
                assert {one[name] for one in found} == {value}
        assert await _log(cloud, f"target_id={group['id']}&outcome=failure", least=0) == []
        assert ann.token

    quick(story)


def test_a_name_that_no_database_takes_keeps_nothing_from_the_log(tell):
    async def story(cloud: Cloud) -> None:
        who = {"name": "a\x00b", "domain": {"id": "\x00"}, "password": "x"}
        body = {"auth": {"identity": {"methods": ["none"], "password": {"user": who}}}}
        assert (await cloud.anyone("POST", "/v3/auth/tokens", body)).status == 400
        await cloud.identity.audit.flush()
        found = (await cloud.admin("GET", "/v3/OS-PILEUS-AUDIT/events?outcome=failure")).json["events"]
        assert [one["reason"] for one in found] == ["SchemaValidationError"]

    tell(story)


def test_only_its_readers_read_it(quick):
    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        person = await cloud.person("ann", "manager")
        assert (await person("GET", EVENTS)).status == 403
        assert (await person("GET", f"{EVENTS}/none")).status == 403
        assert (await cloud.anyone("GET", EVENTS)).status == 401
        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=cloud.admin.token or "")
        me = shown.json["token"]["user"]["id"]
        reader, admin = await cloud.role("reader"), await cloud.role("admin")
        bob = await cloud.admin.make("user", name="bob", password=PASSWORD)
        assert (await cloud.admin("PUT", f"/v3/system/users/{bob['id']}/roles/{reader}")).status == 204
        of_system = await cloud.as_("bob", scope={"system": {"all": True}})
        assert await _log(cloud, client=of_system)
        assert (await cloud.admin("PUT", f"/v3/domains/{DEFAULT}/users/{me}/roles/{admin}")).status == 204
        of_domain = await cloud.as_("admin", scope={"domain": {"id": DEFAULT}})
        assert (await of_domain("GET", EVENTS)).status == 403, "it tells of all domains"
        for method in ("POST", "PATCH", "DELETE"):
            path = EVENTS if method == "POST" else f"{EVENTS}/none"
            assert (await cloud.admin(method, path, {})).status == 405

    quick(story)


def test_each_change_is_taken_once_by_one_of_several_servers(url, tell):
    async def story(cloud: Cloud) -> None:
        told: list[list[Record]] = [[], []]
        other = await Store.open(url, poll_s=0.2) if not url.startswith("sqlite") else cloud.store
        books = [AuditBook(store, told[at].append) for at, store in enumerate((cloud.store, other))]
        await cloud.admin.make("group", name="one")
        while not any(record.event_type == "identity.group.created" for some in told for record in some):
            await asyncio.gather(*(book.flush() for book in books))
            for book in books:
                book._collect = True
        types = [record.event_type for records in told for record in records]
        assert types.count("identity.group.created") == 1
        if other is not cloud.store:
            await other.close()

    tell(story)


@pytest.mark.parametrize("form", ["cadf", "basic"])
def test_notifications_are_told_unless_somebody_opted_out(tmp_path, form):
    told: list[tuple[str, dict[str, Any]]] = []
    settings = IdentitySettings(
        notification_format=form, notification_opt_out=("identity.authenticate.success",)
    )

    async def story(cloud: Cloud) -> None:
        identity = cloud.identity
        identity._notify = lambda event_type, payload, at: told.append((event_type, payload))
        identity.audit._told = identity._told
        await identity.start(cloud.store)
        group = await cloud.admin.make("group", name="one")
        await cloud.login("admin", "wrong")
        await cloud.login("admin")
        await identity.audit.flush()
        payloads = dict(told)
        assert payloads["identity.group.created"]["resource_info"] == group["id"]
        assert ("typeURI" in payloads["identity.group.created"]) is (form == "cadf")
        logins = [payload for event_type, payload in told if event_type == "identity.authenticate"]
        assert [one["outcome"] for one in logins] == ["failure"]

    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_a_book_that_can_not_write_keeps_what_was_noted(quick):
    async def story(cloud: Cloud) -> None:
        book = cloud.identity.audit
        await cloud.login("admin", "wrong")
        write, book._store = book._store, None  # type: ignore[assignment]
        with pytest.raises(AttributeError):
            await book.flush()
        book._store = write
        failed = await _log(cloud, "outcome=failure")
        assert len(failed) == 1

    quick(story)
