"""``/v3/OS-REVOKE/events``: tokens and users whose tokens ended."""

from __future__ import annotations

from urllib.parse import quote

from tests.api.identity.cloud import PASSWORD, Cloud

EVENTS = "/v3/OS-REVOKE/events"


def test_what_ended_is_told_as_long_as_it_would_have_lived(tell):
    async def story(cloud: Cloud) -> None:
        assert (await cloud.admin("GET", EVENTS)).json["events"] == []
        ann = await cloud.admin.make("user", name="ann", password=PASSWORD)
        assert (await cloud.admin("GET", EVENTS)).json["events"] == [], "a new user has no token"
        token = await cloud.login("ann")
        revoked = await cloud.admin("DELETE", "/v3/auth/tokens", x_subject_token=token.token)
        assert revoked.status == 204
        cloud.clock.advance(60)
        moment = cloud.clock.now().isoformat() + "Z"
        off = {"user": {"enabled": False}}
        assert (await cloud.admin("PATCH", f"/v3/users/{ann['id']}", off)).status == 200
        answer = (await cloud.admin("GET", EVENTS)).json
        first, second = answer["events"]
        assert first["audit_id"] == token.json["token"]["audit_ids"][0]
        assert second["user_id"] == ann["id"] and second["issued_before"] == second["revoked_at"]
        assert answer["links"]["self"].endswith(EVENTS)
        since = (await cloud.admin("GET", f"{EVENTS}?since={quote(moment)}")).json["events"]
        assert since == [second]
        wrong = await cloud.admin("GET", f"{EVENTS}?since=yesterday")
        assert wrong.status == 400 and "invalidate date format yesterday" in wrong.message
        cloud.clock.advance(3550)
        cloud.admin = await cloud.as_(scope={"project": {"name": "admin", "domain": {"id": "default"}}})
        assert (await cloud.admin("GET", EVENTS)).json["events"] == [second]

    tell(story)
