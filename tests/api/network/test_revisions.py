"""Revision numbers: where they begin, what counts as a change, and ``If-Match`` in its forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, tell


async def revision(api: Cloud, path: str) -> int:
    (one,) = (await api.as_("admin")("GET", f"/v2.0/{path}")).json.values()
    number: int = one["revision_number"]
    return number


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_belongs_to_a_resource_is_a_change_of_it(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network = (await api.make("network", name="n"))["id"]
        assert await revision(api, f"networks/{network}") == 1

        async def grows(path: str, *steps: tuple[str, str, object]) -> None:
            for method, at, body in steps:
                before = await revision(api, path)
                answer = await admin(method, f"/v2.0/{at}", body)
                assert answer.status in (200, 201, 204), answer
                assert await revision(api, path) > before, (method, at)

        before = await revision(api, f"networks/{network}")
        subnet = (await api.make("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4))["id"]
        assert await revision(api, f"networks/{network}") > before
        await grows(
            f"networks/{network}",
            ("PUT", f"subnets/{subnet}", {"subnet": {"name": "other"}}),
            ("PUT", f"networks/{network}/tags/blue", None),
        )
        group = (await api.make("security_group", name="g"))["id"]
        rule = await api.make("security_group_rule", security_group_id=group, direction="ingress")
        assert await revision(api, f"security-groups/{group}") == 2 and rule["revision_number"] == 1
        await grows(
            f"security-groups/{group}",
            ("DELETE", f"security-group-rules/{rule['id']}", None),
        )
        router = (await api.make("router", name="r"))["id"]
        await grows(
            f"routers/{router}",
            ("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet}),
            ("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet}),
        )
        policy = (await admin.make("policy", name="p"))["id"]
        limits = f"qos/policies/{policy}/bandwidth_limit_rules"
        await grows(f"qos/policies/{policy}", ("POST", limits, {"bandwidth_limit_rule": {"max_kbps": 1000}}))
        (limit,) = (await admin("GET", f"/v2.0/{limits}")).json["bandwidth_limit_rules"]
        await grows(
            f"qos/policies/{policy}",
            ("PUT", f"{limits}/{limit['id']}", {"bandwidth_limit_rule": {"max_kbps": 2000}}),
            ("DELETE", f"{limits}/{limit['id']}", None),
        )
        port = (await api.make("port", network_id=network))["id"]
        slaac = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        automatic = {"subnet": {"network_id": network, "cidr": "fd00::/64", **slaac}}
        await grows(f"ports/{port}", ("POST", "subnets", automatic))
        (found,) = (await api("GET", "/v2.0/subnets?ip_version=6")).json["subnets"]
        await grows(f"ports/{port}", ("DELETE", f"subnets/{found['id']}", None))
        assert (await api("DELETE", f"/v2.0/ports/{port}")).status == 204
        await grows(f"networks/{network}", ("DELETE", f"subnets/{subnet}", None))

    tell(story, tmp_path, kind)


def test_a_status_is_a_change_of_the_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        network, _ = await api.a_network()
        port = await api.as_("admin").make("port", network_id=network, **{"binding:host_id": "h1"})
        await api.status("h1", up=(port["id"],))
        seen = await revision(api, f"ports/{port['id']}")
        assert seen > port["revision_number"]
        await api.status("h1", up=(port["id"],))
        assert await revision(api, f"ports/{port['id']}") == seen

    tell(story, tmp_path)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("revision_number={now}", 200),
        ('"revision_number={now}"', 200),
        ('"something", "revision_number={now}"', 200),
        ('W/"revision_number={other}"', 200),
        ('"something"', 200),
        ("*", 200),
        ("revision_number={other}", 412),
        ('"revision_number=0"', 412),
        ("revision_number=-1", 412),
        ("revision_number=+{other}", 412),
        ("revision_number=999999999999999999", 412),
        ("revision_number=", 400),
        ("revision_number=x", 400),
        ("revision_number=1.0", 400),
        ('"revision_number={now}", "revision_number={now}"', 400),
    ],
)
def test_if_match(header: str, status: int, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        router = await api.make("router", name="r")
        _, subnet = await api.a_network()
        path = f"/v2.0/routers/{router['id']}"
        for method, at, body in (
            ("PUT", path, {"router": {"name": "x"}}),
            ("PUT", f"{path}/add_router_interface", {"subnet_id": subnet}),
            ("PUT", f"{path}/remove_router_interface", {"subnet_id": subnet}),
            ("PUT", f"{path}/tags", {"tags": ["a"]}),
            ("DELETE", path, None),
        ):
            now = await revision(api, path[6:])
            sent = header.format(now=now, other=now + 7)
            answer = await api(method, at, body, {"if-match": sent})
            assert answer.status == (204 if method == "DELETE" and status == 200 else status), (at, answer)
            if status == 412:
                assert answer.error == "RevisionNumberConstraintFailed"
            if status != 200 and "add_router" in at:
                assert (await api(method, at, body)).status == 200

    tell(story, tmp_path)


def test_a_condition_on_what_has_no_revisions_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        scope = await api.make("address_scope", ip_version=4)
        path = f"/v2.0/address-scopes/{scope['id']}"
        change = {"address_scope": {"name": "x"}}
        answer = await api("PUT", path, change, {"if-match": "revision_number=1"})
        assert (answer.status, answer.error) == (400, "BadRequest")
        assert (await api("PUT", path, change)).status == 200

    tell(story, tmp_path)
