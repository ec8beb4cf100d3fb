"""Who may have and do what: QoS policies, service types, default groups and their quotas, floating IPs."""

from __future__ import annotations

from pathlib import Path

from tests.api.network.cloud import P1, P2, Answer, Cloud, tell

FRESH = "f" * 32


def refused(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer


def test_a_policy_that_is_not_ones_own_is_neither_taken_nor_taken_off(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        theirs = await admin.make("policy", name="theirs", project_id=P2)
        shared = await admin.make("policy", name="shared", shared=True)
        mine = await admin.make("policy", name="mine", project_id=P1)
        network_id, _ = await api.a_network()
        port = await api.make("port", network_id=network_id, qos_policy_id=shared["id"])
        for kind, path in (("port", f"ports/{port['id']}"), ("network", f"networks/{network_id}")):

            async def put(who: Cloud, policy: str | None, kind: str = kind, path: str = path) -> Answer:
                return await who("PUT", f"/v2.0/{path}", {kind: {"qos_policy_id": policy}})

            refused(await put(api, theirs["id"]), 404, "QosPolicyNotFound")
            for policy in (mine["id"], shared["id"], None, shared["id"]):
                assert (await put(api, policy)).json[kind]["qos_policy_id"] == policy
            assert (await put(admin, theirs["id"])).status == 200
            # what an administrator has put on stays on; and may be written back as it was read
            for policy in (None, mine["id"]):
                refused(await put(api, policy), 403, "PolicyRemoveAuthorizationError")
            assert (await put(api, theirs["id"])).status == 200
            assert (await put(admin, None)).status == 200

    tell(story, tmp_path)


def test_a_projects_default_policy_is_its_new_networks(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        assert (await api.make("network"))["qos_policy_id"] is None
        default = await admin.make("policy", name="usual", is_default=True, project_id=P1)
        other = await admin.make("policy", name="other", project_id=P1)
        body = {"policy": {"name": "second", "is_default": True, "project_id": P1}}
        refused(await admin("POST", "/v2.0/qos/policies", body), 409, "QoSPolicyDefaultAlreadyExists")
        path = f"/v2.0/qos/policies/{other['id']}"
        refused(
            await admin("PUT", path, {"policy": {"is_default": True}}), 409, "QoSPolicyDefaultAlreadyExists"
        )
        assert (await api.make("network"))["qos_policy_id"] == default["id"]
        assert (await api.make("network", qos_policy_id=other["id"]))["qos_policy_id"] == other["id"]
        assert (await admin.make("network", project_id=P1))["qos_policy_id"] == default["id"]
        assert (await admin.make("network"))["qos_policy_id"] is None
        same = await admin("PUT", f"/v2.0/qos/policies/{default['id']}", {"policy": {"is_default": True}})
        assert same.status == 200
        off = await admin("PUT", f"/v2.0/qos/policies/{default['id']}", {"policy": {"is_default": False}})
        assert off.status == 200
        assert (await admin("PUT", path, {"policy": {"is_default": True}})).status == 200
        assert (await api.make("network"))["qos_policy_id"] == other["id"]

    tell(story, tmp_path)


def test_an_owner_sets_the_service_types_of_his_subnets(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.make("network")
        subnet = await api.make(
            "subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, service_types=["compute:"]
        )
        assert subnet["service_types"] == ["compute:"]
        path = f"/v2.0/subnets/{subnet['id']}"
        changed = await api("PUT", path, {"subnet": {"service_types": ["network:floatingip"]}})
        assert changed.json["subnet"]["service_types"] == ["network:floatingip"]
        reader = await api.as_("reader")("PUT", path, {"subnet": {"service_types": []}})
        refused(reader, 403, "PolicyNotAuthorized")

    tell(story, tmp_path)


def test_a_floating_ip_and_a_port_of_another_project(tmp_path: Path) -> None:
    """Who sees the port is told that it is another's; who does not is told that there is none."""

    async def story(api: Cloud) -> None:
        bob, admin = api.as_("bob"), api.as_("admin")
        outside_id, _ = await admin.an_outside()
        network_id, subnet_id = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside_id})
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet_id})).status == 200
        await admin("PUT", f"/v2.0/networks/{network_id}", {"network": {"shared": True}})
        theirs = await bob.make("port", network_id=network_id)
        mine = await api.make("port", network_id=network_id)
        assert (await api("GET", f"/v2.0/ports/{theirs['id']}")).status == 200
        floating = await api.make("floatingip", floating_network_id=outside_id)
        path = f"/v2.0/floatingips/{floating['id']}"
        refused(await api("PUT", path, {"floatingip": {"port_id": theirs["id"]}}), 400, "BadRequest")
        his = await bob.make("floatingip", floating_network_id=outside_id)
        refused(
            await bob("PUT", f"/v2.0/floatingips/{his['id']}", {"floatingip": {"port_id": mine["id"]}}),
            404,
            "PortNotFound",
        )
        assert (await api("PUT", path, {"floatingip": {"port_id": mine["id"]}})).status == 200

    tell(story, tmp_path)


def test_a_routers_interface_is_a_port_of_its_project(tmp_path: Path) -> None:
    """The owner of a network sees others' ports on it, which does not make them his router's."""

    async def story(api: Cloud) -> None:
        network_id, _ = await api.a_network()
        await api.as_("admin")("PUT", f"/v2.0/networks/{network_id}", {"network": {"shared": True}})
        theirs = await api.as_("bob").make("port", network_id=network_id)
        router = await api.make("router")
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        refused(await api("PUT", path, {"port_id": theirs["id"]}), 400, "BadRequest")
        mine = await api.make("port", network_id=network_id)
        assert (await api("PUT", path, {"port_id": mine["id"]})).status == 200

    tell(story, tmp_path)


def test_an_administrators_list_makes_the_default_group_of_the_project_asked_for(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for name in ("project_id", "tenant_id"):
            project_id = name[0].translate({ord("p"): "a", ord("t"): "b"}) * 32
            (group,) = (await admin("GET", f"/v2.0/security-groups?{name}={project_id}")).json[
                "security_groups"
            ]
            assert (group["name"], group["project_id"]) == ("default", project_id)
        # nobody else makes groups for others, and what is no project's id makes none
        assert (await api("GET", f"/v2.0/security-groups?project_id={FRESH}")).json["security_groups"] == []
        for odd in ("", "x" * 300, "%25", "-" * 36):
            assert (await admin("GET", f"/v2.0/security-groups?project_id={odd}")).status == 200
        everything = (await admin("GET", "/v2.0/security-groups")).json["security_groups"]
        assert FRESH not in {one["project_id"] for one in everything}
        rules = await admin("GET", f"/v2.0/security-group-rules?project_id={FRESH}")
        assert len(rules.json["security_group_rules"]) == 4

    tell(story, tmp_path)


def test_the_rules_that_a_group_begins_with_count(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        # the default group, which everybody has, is there with its four rules
        assert (await api("GET", "/v2.0/security-groups")).status == 200
        quota = f"/v2.0/quotas/{P1}"
        assert (await admin("PUT", quota, {"quota": {"security_group_rule": 5}})).status == 200
        refused(
            await api("POST", "/v2.0/security-groups", {"security_group": {"name": "g"}}), 409, "OverQuota"
        )
        assert (await admin("PUT", quota, {"quota": {"security_group_rule": 8}})).status == 200
        several = {"security_groups": [{"name": "g"}, {"name": "h"}, {"name": "i"}]}
        refused(await api("POST", "/v2.0/security-groups", several), 409, "OverQuota")
        await api.make("security_group", name="g")
        await api.make("security_group", name="h")

    tell(story, tmp_path)


def test_the_policy_says_for_whom_ownership_does_not_matter(tmp_path: Path) -> None:
    """No role is compared in the service: whom an operator's rule names may do what administrators may."""

    async def story(api: Cloud) -> None:
        for person, other, status in (("manager", "alice", 204), ("bob", "admin", 409)):
            (group,) = (await api.as_(person)("GET", "/v2.0/security-groups")).json["security_groups"]
            path = f"/v2.0/security-groups/{group['id']}"
            assert (await api.as_(other)("DELETE", path)).error == "SecurityGroupCannotRemoveDefault"
            assert (await api.as_(person)("DELETE", path)).status == status

    tell(story, tmp_path, rules={"context_is_admin": "role:manager"})


def test_tags_have_rules_of_their_own(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.make("network", name="n")
        tags = f"/v2.0/networks/{network['id']}/tags"
        assert (await api("PUT", tags, {"tags": ["a"]})).status == 200
        assert (await api("PUT", f"/v2.0/networks/{network['id']}", {"network": {"name": "m"}})).status == 200
        assert (await api("POST", tags, {"tags": ["b"]})).status == 403
        assert (await api("DELETE", f"{tags}/a")).status == 403
        assert (await api("GET", tags)).json == {"tags": ["a"]}

    tell(story, tmp_path, rules={"create_network:tags": "!", "delete_network:tags": "role:admin"})
