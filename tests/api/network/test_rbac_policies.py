"""Sharing with some and with all: who sees and uses what, and what can't be taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Answer, Cloud, tell

PATH = "/v2.0/rbac-policies"
OTHERS = "3" * 32


async def share(
    who: Cloud, object_type: str, object_id: str, target: str, action: str = "access_as_shared"
) -> Answer:
    body = {
        "object_type": object_type,
        "object_id": object_id,
        "action": action,
        "target_tenant": target,
    }
    return await who("POST", PATH, {"rbac_policy": body})


async def shared(who: Cloud, object_type: str, object_id: str, target: str, **more: str) -> str:
    answer = await share(who, object_type, object_id, target, **more)
    assert answer.status == 201, answer
    return str(answer.json["rbac_policy"]["id"])


def refused(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer


@pytest.mark.parametrize("database", databases.KINDS)
def test_the_life_of_a_policy(database: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        network, _ = await api.a_network()
        before = (await api("GET", f"/v2.0/networks/{network}")).json["network"]
        made = await share(api, "network", network, P2)
        policy = made.json["rbac_policy"]
        assert policy == {
            "id": policy["id"],
            "project_id": P1,
            "tenant_id": P1,
            "object_type": "network",
            "object_id": network,
            "action": "access_as_shared",
            "target_tenant": P2,
        }
        one = f"{PATH}/{policy['id']}"
        narrow = (await api("GET", f"{PATH}?fields=project_id&fields=target_tenant")).json["rbac_policies"]
        assert narrow == [{"project_id": P1, "target_tenant": P2}]
        assert (await api("GET", one)).json == {"rbac_policy": policy}
        assert (await api("GET", PATH)).json == {"rbac_policies": [policy]}
        assert (await bob("GET", PATH)).json == {"rbac_policies": []}
        refused(await bob("GET", one), 404, "RbacPolicyNotFound")
        refused(await share(api, "network", network, P2), 409, "DuplicateRbacPolicy")
        for query, found in (
            (f"target_tenant={P2}", 1),
            (f"object_id={network}&object_type=network", 1),
            ("action=access_as_external", 0),
            ("object_type=qos_policy", 0),
        ):
            assert len((await api("GET", f"{PATH}?{query}")).json["rbac_policies"]) == found, query
        seen = (await bob("GET", f"/v2.0/networks/{network}")).json["network"]
        assert seen["shared"] is True and seen["revision_number"] > before["revision_number"]
        assert (await api("GET", f"/v2.0/networks/{network}")).json["network"]["shared"] is False
        assert [n["id"] for n in (await bob("GET", "/v2.0/networks?shared=True")).json["networks"]] == [
            network
        ]
        assert (await bob("GET", "/v2.0/networks?shared=False")).json["networks"] == []
        assert (await api("GET", "/v2.0/networks?shared=True")).json["networks"] == []
        subnets = (await bob("GET", "/v2.0/subnets?shared=True")).json["subnets"]
        assert [one["network_id"] for one in subnets] == [network]

        changed = await api("PUT", one, {"rbac_policy": {"target_tenant": OTHERS}})
        assert changed.json["rbac_policy"] == {**policy, "target_tenant": OTHERS}
        assert (await bob("GET", f"/v2.0/networks/{network}")).status == 404
        refused(await api("PUT", one, {"rbac_policy": {"target_tenant": "*"}}), 403, "PolicyNotAuthorized")
        refused(await api("PUT", one, {"rbac_policy": {"action": "x"}}), 400, "HTTPBadRequest")
        assert (await admin("PUT", one, {"rbac_policy": {"target_tenant": "*"}})).status == 200
        assert (await api("GET", f"/v2.0/networks/{network}")).json["network"]["shared"] is True
        assert (await api("DELETE", one)).status == 204
        assert (await api("GET", f"/v2.0/networks/{network}")).json["network"]["shared"] is False
        await shared(api, "network", network, P2)
        assert (await api("DELETE", f"/v2.0/networks/{network}")).status == 204
        assert (await admin("GET", PATH)).json == {"rbac_policies": []}

    tell(story, tmp_path, database)


def test_who_may_share_what(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        network, _ = await api.a_network()
        hidden = (await bob.make("network"))["id"]
        refused(await share(api, "network", hidden, P1), 404, "NetworkNotFound")
        await shared(bob, "network", hidden, P1)
        refused(await share(api, "network", hidden, OTHERS), 400, "InvalidInput")
        refused(await share(api, "network", network, "*"), 403, "PolicyNotAuthorized")
        refused(await share(api, "network", network, P2, "access_as_owner"), 400, "InvalidActionForType")
        group = (await api.make("security_group", name="g"))["id"]
        refused(
            await share(api, "security_group", group, P2, "access_as_external"), 400, "InvalidActionForType"
        )
        refused(await share(api, "router", network, P2), 400, "InvalidInput")
        refused(await share(api, "qos_policy", network, P2), 404, "QosPolicyNotFound")
        for wrong in ("", "everybody", "1234" * 100):
            refused(await share(api, "network", network, wrong), 400, "InvalidInput")
        for missing in ("object_type", "object_id", "action"):
            body = {"object_type": "network", "object_id": network, "action": "access_as_shared"}
            del body[missing]
            answer = await api("POST", PATH, {"rbac_policy": {**body, "target_tenant": P2}})
            refused(answer, 400, "HTTPBadRequest")
        assert (await share(admin, "network", network, "*")).status == 201
        await admin("PUT", f"/v2.0/quotas/{P1}", {"quota": {"rbac_policy": 1}})
        await shared(api, "security_group", group, P2)
        refused(await share(api, "security_group", group, OTHERS), 409, "OverQuota")

    tell(story, tmp_path)


def test_a_port_keeps_a_network_shared(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        network, _ = await api.a_network()
        one = await shared(api, "network", network, P2)
        own = await shared(api, "network", network, P1)
        port = await bob.make("port", network_id=network)
        refused(await api("DELETE", f"{PATH}/{one}"), 409, "RbacPolicyInUse")
        moved = await api("PUT", f"{PATH}/{one}", {"rbac_policy": {"target_tenant": OTHERS}})
        refused(moved, 409, "RbacPolicyInUse")
        assert (await api("DELETE", f"{PATH}/{own}")).status == 204
        every = await shared(admin, "network", network, "*")
        assert (await api("DELETE", f"{PATH}/{one}")).status == 204
        refused(await admin("DELETE", f"{PATH}/{every}"), 409, "RbacPolicyInUse")
        unshared = await admin("PUT", f"/v2.0/networks/{network}", {"network": {"shared": False}})
        refused(unshared, 409, "InvalidSharedSetting")
        narrowed = await admin("PUT", f"{PATH}/{every}", {"rbac_policy": {"target_tenant": P2}})
        refused(narrowed, 409, "RbacPolicyInUse")
        again = await shared(api, "network", network, P2)
        widened = await admin("PUT", f"{PATH}/{every}", {"rbac_policy": {"target_tenant": OTHERS}})
        assert widened.status == 200
        refused(await api("DELETE", f"{PATH}/{again}"), 409, "RbacPolicyInUse")
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        assert (await api("DELETE", f"{PATH}/{again}")).status == 204
        assert (await bob("POST", "/v2.0/ports", {"port": {"network_id": network}})).status == 404

    tell(story, tmp_path)


def test_fields_and_policies_say_the_same(tmp_path: Path) -> None:
    """``shared`` and ``router:external`` make policies for everybody, and take them away."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def policies() -> dict[str, str]:
            listed = (await admin("GET", PATH)).json["rbac_policies"]
            assert all(one["target_tenant"] == "*" for one in listed)
            return {f"{one['object_type']} {one['action']}": one["object_id"] for one in listed}

        network = (await admin.make("network", shared=True, **{"router:external": True}))["id"]
        policy = (await admin.make("policy", shared=True))["id"]
        scope = (await admin.make("address_scope", name="s", ip_version=4, shared=True))["id"]
        pool = (await admin.make("subnetpool", name="p", prefixes=["10.0.0.0/8"], shared=True))["id"]
        everything = {
            "network access_as_shared": network,
            "network access_as_external": network,
            "qos_policy access_as_shared": policy,
            "address_scope access_as_shared": scope,
            "subnetpool access_as_shared": pool,
        }
        assert await policies() == everything
        off = {"network": {"shared": False, "router:external": False}}
        assert (await admin("PUT", f"/v2.0/networks/{network}", off)).json["network"]["shared"] is False
        off = {"policy": {"shared": False}}
        assert (await admin("PUT", f"/v2.0/qos/policies/{policy}", off)).json["policy"]["shared"] is False
        assert await policies() == {
            name: key for name, key in everything.items() if name.startswith(("address", "subnetpool"))
        }
        assert (await api("GET", f"/v2.0/qos/policies/{policy}")).status == 404
        on = {"network": {"shared": True}}
        assert (await admin("PUT", f"/v2.0/networks/{network}", on)).status == 200
        assert (await policies())["network access_as_shared"] == network
        await admin("DELETE", f"/v2.0/subnetpools/{pool}")
        await admin("DELETE", f"/v2.0/address-scopes/{scope}")
        await admin("DELETE", f"/v2.0/networks/{network}")
        assert await policies() == {}

    tell(story, tmp_path)


def test_networks_that_are_external_for_some(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        network = (await admin.make("network", name="outside", project_id=OTHERS))["id"]
        outer = {"network_id": network, "project_id": OTHERS}
        await admin.make("subnet", **outer, cidr="203.0.113.0/24", ip_version=4)
        one = await shared(admin, "network", network, P1, action="access_as_external")

        async def external(who: Cloud) -> bool | None:
            answer = await who("GET", f"/v2.0/networks/{network}")
            return answer.json["network"]["router:external"] if answer.status == 200 else None

        assert (await external(admin), await external(api), await external(bob)) == (True, True, None)
        assert len((await api("GET", "/v2.0/subnets")).json["subnets"]) == 1
        assert (await bob("GET", "/v2.0/subnets")).json["subnets"] == []
        refused(
            await api("POST", "/v2.0/ports", {"port": {"network_id": network}}), 403, "PolicyNotAuthorized"
        )
        info = {"external_gateway_info": {"network_id": network}}
        refused(await bob("POST", "/v2.0/routers", {"router": info}), 404, "NetworkNotFound")
        router = await api.make("router", **info)
        floating = await api.make("floatingip", floating_network_id=network)
        refused(
            await bob("POST", "/v2.0/floatingips", {"floatingip": {"floating_network_id": network}}),
            404,
            "NetworkNotFound",
        )
        refused(await admin("DELETE", f"{PATH}/{one}"), 409, "RbacPolicyInUse")
        every = await shared(admin, "network", network, "*", action="access_as_external")
        assert await external(bob) is True
        assert (await admin("DELETE", f"{PATH}/{one}")).status == 204
        refused(await admin("DELETE", f"{PATH}/{every}"), 409, "RbacPolicyInUse")
        narrowed = {"rbac_policy": {"target_tenant": P1}}
        assert (await admin("PUT", f"{PATH}/{every}", narrowed)).status == 200
        assert (await external(api), await external(bob)) == (True, None)
        await api("DELETE", f"/v2.0/floatingips/{floating['id']}")
        await api("DELETE", f"/v2.0/routers/{router['id']}")
        assert (await admin("DELETE", f"{PATH}/{every}")).status == 204
        assert (await external(admin), await external(api)) == (False, None)

        default = (await admin.make("network", is_default=True, **{"router:external": True}))["id"]
        listed = (await admin("GET", f"{PATH}?object_id={default}")).json["rbac_policies"]
        answer = await admin("DELETE", f"{PATH}/{listed[0]['id']}")
        refused(answer, 409, "RbacPolicyInUse")
        assert (
            "Default external networks must be shared to everyone." in answer.json["NeutronError"]["message"]
        )

    tell(story, tmp_path)


def test_what_is_shared_may_be_used(tmp_path: Path) -> None:
    """Each kind: invisible, then shared with one project, seen and used by it, and kept by the use."""

    async def story(api: Cloud) -> None:
        bob, manager = api.as_("bob"), api.as_("manager")
        network = (await bob.make("network"))["id"]
        group = await api.make("security_group", name="g")
        policy = (await manager.make("policy"))["id"]
        scope = (await api.make("address_scope", name="s", ip_version=4))["id"]
        pool = await api.make("subnetpool", name="p", prefixes=["10.0.0.0/8"], default_prefixlen=26)
        prefixes = (await api.make("address_group", name="a", addresses=["192.0.2.0/24"]))["id"]

        async def use(kind: str) -> Answer:
            bodies: dict[str, tuple[str, dict[str, Any]]] = {
                "security_group": (
                    "ports", {"port": {"network_id": network, "security_groups": [group["id"]]}}
                ),
                "qos_policy": ("ports", {"port": {"network_id": network, "qos_policy_id": policy}}),
                "address_scope": (
                    "subnetpools",
                    {"subnetpool": {"name": "b", "prefixes": ["172.16.0.0/16"], "address_scope_id": scope}},
                ),
                "subnetpool": (
                    "subnets",
                    {"subnet": {"network_id": network, "ip_version": 4, "subnetpool_id": pool["id"]}},
                ),
                "address_group": (
                    "security-group-rules",
                    {
                        "security_group_rule": {
                            "security_group_id": own,
                            "direction": "ingress",
                            "remote_address_group_id": prefixes,
                        }
                    },
                ),
            }  # fmt: skip
            path, body = bodies[kind]
            return await bob("POST", f"/v2.0/{path}", body)

        own = (await bob.make("security_group", name="own"))["id"]
        things = {
            "security_group": ("security-groups", group["id"]),
            "qos_policy": ("qos/policies", policy),
            "address_scope": ("address-scopes", scope),
            "subnetpool": ("subnetpools", pool["id"]),
            "address_group": ("address-groups", prefixes),
        }
        used_in = {
            "security_group": "ports",
            "qos_policy": "ports",
            "address_scope": "subnetpools",
            "subnetpool": "subnets",
            "address_group": "security-group-rules",
        }
        for kind, (path, key) in things.items():
            one = f"/v2.0/{path}/{key}"
            assert (await bob("GET", one)).status == 404, kind
            assert (await use(kind)).status == 404, kind
            owner = manager if kind == "qos_policy" else api
            policy_id = await shared(owner, kind, key, P2)
            (seen,) = (await bob("GET", one)).json.values()
            assert kind == "address_group" or seen["shared"] is True
            listed = next(iter((await bob("GET", f"/v2.0/{path}")).json.values()))
            assert key in [one["id"] for one in listed], kind
            # of an address group that is shared Neutron says nothing to those who would change it
            forbidden = 404 if kind == "address_group" else 403
            assert (await bob("DELETE", one)).status == forbidden, kind
            used = await use(kind)
            assert used.status == 201, used
            refused(await owner("DELETE", f"{PATH}/{policy_id}"), 409, "RbacPolicyInUse")
            (made,) = used.json.values()
            assert (await bob("DELETE", f"/v2.0/{used_in[kind]}/{made['id']}")).status == 204
            assert (await owner("DELETE", f"{PATH}/{policy_id}")).status == 204
            assert (await bob("GET", one)).status == 404, kind

    tell(story, tmp_path)


def test_a_pool_is_not_shared_without_its_scope(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        scope = (await api.make("address_scope", name="s", ip_version=4))["id"]
        pool = await api.make("subnetpool", name="p", prefixes=["10.0.0.0/8"], address_scope_id=scope)
        refused(await share(api, "subnetpool", pool["id"], P2), 400, "RbacPolicyInitError")
        await shared(api, "address_scope", scope, P2)
        await shared(api, "subnetpool", pool["id"], P2)
        assert (await bob("GET", f"/v2.0/subnetpools/{pool['id']}")).status == 200

    tell(story, tmp_path)
