"""Rules about passwords and accounts: expiry, history, age, first use, inactivity, and a user's options."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from tests.api.identity.cloud import PASSWORD, Cloud, run

from pileus.core.context import system_context
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.rules.passwords import Lockout
from pileus.services.identity.service import IdentitySettings
from pileus.services.identity.users.inactive import users_disable_inactive

DAY_S = 86400


async def change(cloud: Cloud, user: dict[str, Any], old: str, new: str) -> Any:
    """Change one's own password, a moment later."""
    cloud.clock.advance(0.001)
    body = {"user": {"password": new, "original_password": old}}
    return await cloud.anyone("POST", f"/v3/users/{user['id']}/password", body)


async def options_of(cloud: Cloud, user: dict[str, Any], **options: Any) -> Any:
    """Set options, and return them all."""
    answer = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"options": options}})
    assert answer.status == 200, answer
    shown = (await cloud.admin("GET", f"/v3/users/{user['id']}")).json["user"]["options"]
    assert answer.json["user"]["options"] == shown
    return shown


def under(tmp_path: Path, story: Any, lockout: Lockout | None = None, **rules: Any) -> None:
    settings = IdentitySettings(compliance=Compliance(**rules), lockout=lockout or Lockout())
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_nothing_is_asked_for_by_default(tell):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        assert user["password_expires_at"] is None and user["options"] == {}
        assert (await change(cloud, user, PASSWORD, PASSWORD)).status == 204
        assert (await change(cloud, user, PASSWORD, "next")).status == 204
        assert (await change(cloud, user, "next", PASSWORD)).status == 204
        cloud.clock.advance(4000 * DAY_S)
        made = await cloud.login("ann")
        assert made.status == 201 and made.json["token"]["user"]["password_expires_at"] is None

    tell(story)


def test_options_are_set_changed_and_taken_away(tell):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make(
            "user",
            name="ann",
            password=PASSWORD,
            options={"lock_password": True, "ignore_password_expiry": None},
        )
        assert user["options"] == {"lock_password": True}
        rules = [["password", "totp"], ["application_credential"]]
        assert await options_of(cloud, user, multi_factor_auth_rules=rules, ignore_user_inactivity=False) == {
            "lock_password": True,
            "multi_factor_auth_rules": rules,
            "ignore_user_inactivity": False,
        }
        assert await options_of(cloud, user, multi_factor_auth_rules=None, lock_password=None) == {
            "ignore_user_inactivity": False
        }
        listed = (await cloud.admin("GET", "/v3/users?name=ann")).json["users"][0]
        assert listed["options"] == {"ignore_user_inactivity": False}

    tell(story)


def test_options_that_are_none_are_refused(quick):
    async def story(cloud: Cloud) -> None:
        bad: list[Any] = [
            {"unknown": True},
            {"lock_password": "yes"},
            {"multi_factor_auth_rules": ["password"]},
            {"multi_factor_auth_rules": [[]]},
            {"multi_factor_auth_rules": [["password", "password"]]},
            {"multi_factor_auth_rules": [["password"], ["password"]]},
            {"multi_factor_auth_rules": [[1]]},
            [],
        ]
        for options in bad:
            refused = await cloud.admin("POST", "/v3/users", {"user": {"name": "ann", "options": options}})
            assert refused.status == 400, options

    quick(story)


def test_a_password_expires_and_is_changed_by_its_owner(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        exempt = await cloud.admin.make(
            "user", name="bob", password=PASSWORD, options={"ignore_password_expiry": True}
        )
        expected = (cloud.clock.now() + dt.timedelta(days=30)).replace(microsecond=0)
        shown = dt.datetime.fromisoformat(user["password_expires_at"])
        assert abs(shown - expected) < dt.timedelta(seconds=5) and shown.microsecond == 0
        assert exempt["password_expires_at"] is None
        token = (await cloud.login("ann")).json["token"]
        assert token["user"]["password_expires_at"] == user["password_expires_at"]
        cloud.clock.advance(31 * DAY_S)
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": "default"}}})
        refused = await cloud.login("ann")
        assert refused.status == 401
        assert refused.message == (f"The password is expired and needs to be changed for user: {user['id']}.")
        wrong = await cloud.login("ann", "wrong")
        assert "expired" not in wrong.message, "only who knows the password is told"
        assert (await cloud.login("bob")).status == 201
        assert (await change(cloud, user, PASSWORD, "another one")).status == 204
        assert (await cloud.login("ann", "another one")).status == 201
        cloud.clock.advance(31 * DAY_S)
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": "default"}}})
        assert (await cloud.login("ann", "another one")).status == 401
        await options_of(cloud, user, ignore_password_expiry=True)
        assert (await cloud.login("ann", "another one")).status == 201

    under(tmp_path, story, password_expires_days=30)


def test_a_disabled_user_is_not_told_that_the_password_has_ended(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await cloud.admin.make("user", name="ann", password=PASSWORD, enabled=False)
        cloud.clock.advance(31 * DAY_S)
        refused = await cloud.login("ann")
        assert refused.status == 401 and "expired" not in refused.message

    under(tmp_path, story, password_expires_days=30)


def test_lists_are_filtered_by_when_passwords_expire(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        first = await cloud.admin.make("user", name="ann", password=PASSWORD)
        group = await cloud.admin.make("group", name="g")
        cloud.clock.advance(DAY_S / 48)
        second = await cloud.admin.make("user", name="bob", password=PASSWORD)
        for user in (first, second):
            path = f"/v3/groups/{group['id']}/users/{user['id']}"
            assert (await cloud.admin("PUT", path)).status == 204
        at = first["password_expires_at"].partition(".")[0] + "Z"

        async def names(query: str, path: str = "/v3/users") -> set[str]:
            answer = await cloud.admin("GET", f"{path}?password_expires_at={query}")
            assert answer.status == 200, answer
            return {one["name"] for one in answer.json["users"]}

        for path in ("/v3/users", f"/v3/groups/{group['id']}/users"):
            assert await names(f"lt:{at}", path) == set()
            assert await names(f"lte:{at}", path) == {"ann"}
            assert await names(f"eq:{at}", path) == {"ann"}
            assert await names(at, path) == {"ann"}
            assert await names(f"neq:{at}", path) == {"bob"}
            assert await names(f"gt:{at}", path) == {"bob"}
            assert await names(f"gte:{at}", path) == {"ann", "bob"}
        for query, text in (
            ("x:2016-12-08T22:02:00Z", "The given operator x is not valid."),
            ("lt:yesterday", "Timestamp not in expected format."),
            ("", "Timestamp not in expected format."),
        ):
            refused = await cloud.admin("GET", f"/v3/users?password_expires_at={query}")
            assert refused.status == 400 and refused.message.startswith(text), refused

    under(tmp_path, story, password_expires_days=30)


def test_none_of_the_last_passwords_is_chosen_again(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password="one")
        wanted = (
            "The new password cannot be identical to a previous password. The total number which includes "
            "the new password must be unique is 3."
        )
        assert (await change(cloud, user, "one", "two")).status == 204
        assert (await change(cloud, user, "two", "three")).status == 204
        for again in ("one", "two", "three"):
            refused = await change(cloud, user, "three", again)
            assert refused.status == 400 and refused.message == wanted
        assert (await change(cloud, user, "three", "four")).status == 204
        assert (await change(cloud, user, "four", "two")).status == 400
        assert (await change(cloud, user, "four", "one")).status == 204, "four passwords ago"
        reset = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "four"}})
        assert reset.status == 200, "an administrator may"
        assert (await change(cloud, user, "four", "one")).status == 400

    under(tmp_path, story, unique_last_password_count=3)


def test_a_password_that_was_just_chosen_stays(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password="one")
        assert (await change(cloud, user, "one", "two")).status == 204, "that was the administrator's"
        cloud.clock.advance(DAY_S)
        refused = await change(cloud, user, "two", "three")
        assert refused.status == 400 and refused.message == (
            "You cannot change your password at this time due to the minimum password age. Once you change "
            "your password, it must be used for 2 day(s) before it can be changed. Please try again in 0 "
            "day(s) or contact your administrator to reset your password."
        )
        assert (await change(cloud, user, "wrong", "three")).status == 401
        cloud.clock.advance(DAY_S)
        assert (await change(cloud, user, "two", "three")).status == 204
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": "default"}}})
        reset = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "four"}})
        assert reset.status == 200
        assert (await change(cloud, user, "four", "five")).status == 204

    under(tmp_path, story, minimum_password_age=2)


def test_who_has_a_locked_password_can_not_change_it(quick):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD, options={"lock_password": True})
        refused = await change(cloud, user, PASSWORD, "other")
        assert refused.status == 400 and "disallowing password changes" in refused.message
        await options_of(cloud, user, lock_password=None)
        assert (await change(cloud, user, PASSWORD, "other")).status == 204

    quick(story)


def test_a_password_is_changed_upon_its_first_use(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        free = await cloud.admin.make(
            "user", name="bob", password=PASSWORD, options={"ignore_change_password_upon_first_use": True}
        )
        assert user["password_expires_at"] is not None and free["password_expires_at"] is None
        assert "needs to be changed" in (await cloud.login("ann")).message
        assert (await cloud.login("bob")).status == 201
        assert (await change(cloud, user, PASSWORD, "mine")).status == 204
        assert (await cloud.login("ann", "mine")).status == 201
        for changed, ended in ((user, True), (free, False)):
            body = {"user": {"password": "reset"}}
            reset = await cloud.admin("PATCH", f"/v3/users/{changed['id']}", body)
            assert (reset.json["user"]["password_expires_at"] is not None) is ended
            assert ((await cloud.login(changed["name"], "reset")).status == 401) is ended
        both = {"user": {"password": "reset", "options": {"ignore_change_password_upon_first_use": True}}}
        assert (await cloud.admin("PATCH", f"/v3/users/{user['id']}", both)).status == 200
        assert (await cloud.login("ann", "reset")).status == 201

    under(tmp_path, story, change_password_upon_first_use=True)


def test_who_is_inactive_is_disabled(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        users = {
            name: await cloud.admin.make("user", name=name, password=PASSWORD) for name in ("ann", "bob")
        }
        await cloud.admin.make(
            "user", name="eve", password=PASSWORD, options={"ignore_user_inactivity": True}
        )
        cloud.clock.advance(6 * DAY_S)
        assert (await cloud.login("bob")).status == 201
        cloud.clock.advance(4 * DAY_S)
        assert [(await cloud.login(name)).status for name in ("ann", "bob", "eve")] == [401, 201, 201]
        assert (await change(cloud, users["ann"], PASSWORD, "other")).status == 401
        # the administrator himself was away for ten days
        disabled = await cloud.store.write(
            users_disable_inactive,
            system_context(cloud.clock.now()),
            Compliance(disable_user_account_days_inactive=10),
        )
        assert users["ann"]["id"] in disabled and users["bob"]["id"] not in disabled

    under(tmp_path, story, disable_user_account_days_inactive=10)


def test_enabling_begins_anew_and_log_ins_are_noted_once_a_day(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        rules = Compliance(disable_user_account_days_inactive=10)
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        for _ in range(9):
            cloud.clock.advance(DAY_S)
            await cloud.login("admin", scope={"project": {"name": "admin", "domain": {"id": "default"}}})
        cloud.clock.advance(DAY_S)
        cloud.admin = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"id": "default"}}})
        now = system_context(cloud.clock.now())
        assert await cloud.store.write(users_disable_inactive, now, rules) == [user["id"]]
        shown = (await cloud.admin("GET", f"/v3/users/{user['id']}")).json["user"]
        assert shown["enabled"] is False
        assert (await cloud.admin("GET", "/v3/users?enabled=false")).json["users"][0]["name"] == "ann"
        enabled = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": True}})
        assert enabled.status == 200
        assert (await cloud.login("ann")).status == 201
        assert await cloud.store.write(users_disable_inactive, now, rules) == []

    under(tmp_path, story, disable_user_account_days_inactive=10)


def test_failures_of_some_are_ignored(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make(
            "user", name="ann", password=PASSWORD, options={"ignore_lockout_failure_attempts": True}
        )
        for _ in range(4):
            assert (await cloud.login("ann", "wrong")).status == 401
        assert (await cloud.login("ann")).status == 201
        await options_of(cloud, user, ignore_lockout_failure_attempts=None)
        for _ in range(2):
            assert (await cloud.login("ann", "wrong")).status == 401
        assert (await cloud.login("ann")).status == 401
        await options_of(cloud, user, ignore_lockout_failure_attempts=True)
        assert (await cloud.login("ann")).status == 201

    under(tmp_path, story, Lockout(2))


def test_anybody_reads_what_passwords_have_to_be(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        ann = await cloud.person("ann")
        path = "/v3/domains/default/config/security_compliance"
        wanted = {"password_regex": ".{7,}", "password_regex_description": "seven characters"}
        assert (await ann("GET", path)).json == {"config": {"security_compliance": wanted}}
        for name, value in wanted.items():
            assert (await ann("GET", f"{path}/{name}")).json == {"config": {name: value}}
        assert (await cloud.anyone("GET", path)).status == 401
        refused = await ann("GET", f"{path}/lockout_duration")
        assert refused.status == 403 and refused.message == (
            "Invalid domain specific configuration: Reading security compliance values other than "
            "password_regex and password_regex_description is not allowed.."
        )
        other = await ann("GET", "/v3/domains/other/config/security_compliance")
        assert other.status == 403 and "any domain other than the default domain" in other.message

    settings = IdentitySettings(password_regex=".{7,}", password_regex_description="seven characters")
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_what_passwords_have_to_be_is_changed_by_a_file_only(quick):
    async def story(cloud: Cloud) -> None:
        ann = await cloud.person("ann", "member")
        path = "/v3/domains/default/config/security_compliance"
        for one in (path, f"{path}/password_regex"):
            for method in ("PATCH", "DELETE"):
                body = (
                    {"config": {"security_compliance": {"password_regex": "x"}}}
                    if method == "PATCH"
                    else None
                )
                refused = await cloud.admin(method, one, body)
                assert refused.status == 403 and "Invalid domain specific configuration" in refused.message
                hidden = await ann(method, one, body)
                assert hidden.status == 403 and "Invalid domain" not in hidden.message

    quick(story)
