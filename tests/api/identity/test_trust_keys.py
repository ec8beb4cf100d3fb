"""EC2 keys that are made with a trust: bound to it, and worth nothing to others."""

from __future__ import annotations

import json

from tests.api.identity.cloud import Cloud
from tests.api.identity.test_credentials import ask, signed_keys
from tests.api.identity.test_trusts import TRUSTS, _id, pair


def test_ec2_keys_made_with_a_trust_are_bound_to_it(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        acting = await two.enter(trust)
        path = f"/v3/users/{two.ann_id}/credentials/OS-EC2"
        own = (await two.ann("POST", path, {"tenant_id": two.project_id})).json["credential"]
        made = await acting("POST", path, {"tenant_id": two.project_id})
        assert made.status == 201 and made.json["credential"]["trust_id"] == trust["id"]
        listed = (await acting("GET", path)).json["credentials"]
        assert [one["access"] for one in listed] == [made.json["credential"]["access"]]
        assert (await acting("GET", f"{path}/{own['access']}")).status == 403
        blobs = (await acting("GET", "/v3/credentials?type=ec2")).json["credentials"]
        assert [json.loads(one["blob"])["trust_id"] for one in blobs] == [trust["id"]]

        keys = made.json["credential"]
        token = (await ask(cloud, signed_keys(cloud, keys))).json["token"]
        assert token["OS-TRUST:trust"]["id"] == trust["id"] and token["user"]["id"] == two.ann_id
        assert token["methods"] == ["ec2credential"]
        cloud.clock.advance(1)
        assert (await two.ann("DELETE", f"{TRUSTS}/{trust['id']}")).status == 204
        assert (await ask(cloud, signed_keys(cloud, keys))).status == 401

    quick(story)


def test_keys_that_name_a_trust_of_others_open_nothing(quick):
    """Its id is no secret: whom it was passed on to with less reads it in his own."""

    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        acting = await two.enter(trust)
        path = f"/v3/users/{two.ann_id}/credentials/OS-EC2"
        made = (await acting("POST", path, {"tenant_id": two.project_id})).json["credential"]
        answer = await ask(cloud, signed_keys(cloud, made))
        assert answer.status == 200 and answer.json["token"]["user"]["id"] == two.ann_id

        mallory = await cloud.person("mallory", "member")
        mallory_id, _ = await _id(mallory)
        plain = await two.make(impersonation=False)
        for number, one in enumerate((trust, plain)):
            keys = {"access": f"key{number}", "secret": "secret", "trust_id": one["id"]}
            credential = {
                "type": "ec2",
                "user_id": mallory_id,
                "project_id": two.project_id,
                "blob": json.dumps(keys),
            }
            kept = await mallory("POST", "/v3/credentials", {"credential": credential})
            assert kept.status == 201
            assert (await ask(cloud, signed_keys(cloud, keys))).status == 401

    quick(story)
