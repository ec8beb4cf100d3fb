"""Policies, and the endpoints, services and regions that have one."""

from __future__ import annotations

from typing import Any

from tests.api.identity.cloud import Cloud


async def _policy(cloud: Cloud, kind: str) -> dict[str, Any]:
    made = await cloud.admin(
        "POST", "/v3/policies", {"policy": {"type": kind, "blob": "{}", "colour": "red"}}
    )
    assert made.status == 201, made
    found: dict[str, Any] = made.json["policy"]
    return found


def test_policies_are_made_found_changed_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        made = await _policy(cloud, "application/json")
        path = f"/v3/policies/{made['id']}"
        assert made == {
            "id": made["id"], "type": "application/json", "blob": "{}", "colour": "red",
            "links": {"self": f"http://cloud:5000/identity{path}"},
        }  # fmt: skip
        assert (await admin("GET", path)).json == {"policy": made}
        assert (await admin("GET", "/v3/policies?type=application/json")).json["policies"] == [made]
        assert (await admin("GET", "/v3/policies?type=text")).json["policies"] == []
        changed = await admin("PATCH", path, {"policy": {"blob": "[]"}})
        assert changed.json["policy"] == {**made, "blob": "[]"}
        for body in (
            {"type": "x"},
            {"blob": "x"},
            {"type": "x" * 256, "blob": ""},
            {"type": "x", "blob": {}},
        ):
            assert (await admin("POST", "/v3/policies", {"policy": body})).status == 400, body
        member = await cloud.person("ann", "member")
        for method, at in (
            ("GET", "/v3/policies"),
            ("GET", path),
            ("DELETE", path),
            ("GET", "/v3/policies/x"),
        ):
            assert (await member(method, at)).status == 403
        assert (await admin("DELETE", path)).status == 204
        gone = await admin("GET", path)
        assert gone.status == 404 and gone.message == f"Could not find policy: {made['id']}."

    tell(story)


def test_the_nearest_policy_is_that_of_an_endpoint(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        await admin.make("region", id="north")
        await admin.make("region", id="fjord", parent_region_id="north")
        service = await admin.make("service", type="dns", name="designate")
        endpoint = await admin.make(
            "endpoint", service_id=service["id"], interface="public", url="http://x", region_id="fjord"
        )
        places = [
            f"services/{service['id']}",
            f"services/{service['id']}/regions/north",
            f"services/{service['id']}/regions/fjord",
            f"endpoints/{endpoint['id']}",
        ]
        own = f"/v3/endpoints/{endpoint['id']}/OS-ENDPOINT-POLICY/policy"
        none = await admin("GET", own)
        assert (
            none.status == 404 and none.message == f"No policy is associated with endpoint {endpoint['id']}."
        )
        policies = []
        for place in places:
            policy = await _policy(cloud, place)
            at = f"/v3/policies/{policy['id']}/OS-ENDPOINT-POLICY/{place}"
            missing = await admin("GET", at)
            assert missing.status == 404 and missing.message == "Could not find policy association."
            assert (await admin("PUT", at)).status == 204 == (await admin("PUT", at)).status
            assert (await admin("GET", at)).status == 204 == (await admin("HEAD", at)).status
            assert (await admin("GET", own)).json["policy"] == policy, place
            listed = await admin("GET", f"/v3/policies/{policy['id']}/OS-ENDPOINT-POLICY/endpoints")
            assert [one["id"] for one in listed.json["endpoints"]] == [endpoint["id"]], place
            policies.append(policy)
        # another policy of the same place takes the first one's stead
        other = await _policy(cloud, "other")
        assert (
            await admin("PUT", f"/v3/policies/{other['id']}/OS-ENDPOINT-POLICY/{places[3]}")
        ).status == 204
        assert (await admin("GET", own)).json["policy"] == other
        old = f"/v3/policies/{policies[3]['id']}/OS-ENDPOINT-POLICY/{places[3]}"
        assert (await admin("GET", old)).status == 404 and (await admin("DELETE", old)).status == 204
        assert (await admin("GET", own)).json["policy"] == other
        assert (await admin("DELETE", f"/v3/policies/{other['id']}")).status == 204
        assert (await admin("GET", own)).json["policy"] == policies[2]
        at = f"/v3/policies/{policies[2]['id']}/OS-ENDPOINT-POLICY/{places[2]}"
        assert (await admin("DELETE", at)).status == 204
        assert (await admin("GET", own)).json["policy"] == policies[1]
        assert (await admin("DELETE", f"/v3/services/{service['id']}")).status == 204
        listed = await admin("GET", f"/v3/policies/{policies[1]['id']}/OS-ENDPOINT-POLICY/endpoints")
        assert listed.json["endpoints"] == []

    tell(story)


def test_what_is_not_there_and_what_is_not_allowed(quick):
    async def story(cloud: Cloud) -> None:
        policy = await _policy(cloud, "x")
        base = f"/v3/policies/{policy['id']}/OS-ENDPOINT-POLICY"
        for path, missing in (
            (f"{base}/endpoints/none", "endpoint"),
            (f"{base}/services/none", "service"),
            ("/v3/policies/none/OS-ENDPOINT-POLICY/services/none", "policy"),
        ):
            for method in ("PUT", "GET", "DELETE"):
                answer = await cloud.admin(method, path)
                assert answer.status == 404 and answer.message == f"Could not find {missing}: none.", path
        member = await cloud.person("ann", "member")
        for method, path in (("PUT", f"{base}/services/none"), ("GET", f"{base}/endpoints")):
            assert (await member(method, path)).status == 403

    quick(story)
