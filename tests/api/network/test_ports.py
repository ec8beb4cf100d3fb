"""Ports: addresses by subnet, by address and by luck; security; lists; refusals."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests import databases
from tests.api.network.cloud import P1, P2, PEOPLE, Cloud, tell

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.network.service import NetworkConfig, new_port, port_create
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store import Tx

CLIENTS = 32


@pytest.mark.parametrize("kind", databases.KINDS)
def test_thirty_two_clients_on_one_slash_24(kind: str, tmp_path: Path) -> None:
    """No address twice, no 500, the subnet's last address given, and the quota exact."""

    async def story(api: Cloud) -> None:
        network, _ = await api.a_network("10.0.0.0/24")

        async def client(asked: int) -> list[tuple[int, str]]:
            said = []
            for _ in range(asked):
                answer = await api("POST", "/v2.0/ports", {"port": {"network_id": network}})
                said.append((answer.status, "" if answer.status == 201 else answer.error))
            return said

        # 253 addresses without the gateway's; 32 times 9 ports are 288.
        answers = [one for many in await asyncio.gather(*(client(9) for _ in range(CLIENTS))) for one in many]
        assert Counter(answers) == {(201, ""): 253, (409, "IpAddressGenerationFailure"): 35}
        given = await api.store.read(_addresses)
        assert len(given) == len(set(given)) == 253

        admin = api.as_("admin")
        assert (await admin("PUT", f"/v2.0/quotas/{P1}", {"quota": {"port": 300}})).status == 200
        wide, _ = await api.a_network("10.1.0.0/16")

        async def other() -> list[int]:
            body = {"port": {"network_id": wide}}
            return [(await api("POST", "/v2.0/ports", body)).status for _ in range(3)]

        statuses = [one for many in await asyncio.gather(*(other() for _ in range(CLIENTS))) for one in many]
        assert Counter(statuses) == {201: 47, 409: 49}
        details = await admin("GET", f"/v2.0/quotas/{P1}/details.json")
        assert details.json["quota"]["port"] == {"limit": 300, "used": 300, "reserved": 0}

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_two_projects_on_one_shared_network_draw_apart(kind: str, tmp_path: Path) -> None:
    """Without a common quota lock only the key stands between two drawers of one address."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network = (await admin.make("network", shared=True))["id"]
        await admin.make("subnet", network_id=network, ip_version=4, cidr="10.0.0.0/26")

        async def client(person: Cloud) -> list[tuple[int, str]]:
            said = []
            for _ in range(5):
                answer = await person("POST", "/v2.0/ports", {"port": {"network_id": network}})
                said.append((answer.status, "" if answer.status == 201 else answer.error))
            return said

        people = [api.as_(name) for name in ("alice", "bob") for _ in range(8)]
        answers = [one for many in await asyncio.gather(*map(client, people)) for one in many]
        assert Counter(answers) == {(201, ""): 61, (409, "IpAddressGenerationFailure"): 19}
        given = await api.store.read(_addresses)
        assert len(given) == len(set(given)) == 61

    tell(story, tmp_path, kind)


def _addresses(tx: Tx) -> list[str]:
    return [row[0] for row in tx.rows(select(ip_allocations.c.ip_address))]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_hundred_ports_cost_as_many_statements_as_one(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network("10.0.0.0/22")
        # The rows of a quota's locks are made once.
        assert (await api("POST", "/v2.0/ports", {"ports": [{"network_id": network}] * 2})).status == 201
        context = PEOPLE["alice"]

        async def cost(count: int) -> int:
            specs = [new_port(context, network_id=network) for _ in range(count)]
            return await api.store.write(_statements_of_create, context, specs, api.config)

        one, many = await cost(1), await cost(100)
        assert one == many <= 13
        if kind != "sqlite":
            return  # the relay of events works beside a request there, and would be counted

        before = api.store.statements
        listed = await api("GET", "/v2.0/ports")
        assert len(listed.json["ports"]) == 103
        assert api.store.statements - before <= 4

    tell(story, tmp_path, kind)


def _statements_of_create(tx: Tx, context: Context, specs: list[Values], config: NetworkConfig) -> int:
    port_create(tx, context, specs, config=config)
    return tx.statements


def test_fixed_ips(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        pools = [{"start": "10.0.0.2", "end": "10.0.0.8"}]
        network, subnet = await api.a_network("10.0.0.0/28", allocation_pools=pools)
        six = await api.make(
            "subnet",
            network_id=network,
            ip_version=6,
            cidr="2001:db8::/64",
            ipv6_address_mode="slaac",
            ipv6_ra_mode="slaac",
        )

        async def refused(status: int, error: str, *wishes: dict[str, str]) -> None:
            answer = await api("POST", "/v2.0/ports", {"port": {"network_id": network, "fixed_ips": wishes}})
            assert answer.status == status and error in (answer.error, answer.json["NeutronError"]["message"])

        usual = await api.make("port", network_id=network, mac_address="FA:16:3E:00:00:01")
        assert usual["mac_address"] == "fa:16:3e:00:00:01"
        assert usual["fixed_ips"][1] == {
            "subnet_id": six["id"],
            "ip_address": "2001:db8::f816:3eff:fe00:1",
        }
        named = await api.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.9"}])
        assert named["fixed_ips"][0] == {"subnet_id": subnet, "ip_address": "10.0.0.9"}
        both = await api.make(
            "port", network_id=network, fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}]
        )
        assert len({ip["ip_address"] for ip in both["fixed_ips"]}) == 3
        bare = await api.make("port", network_id=network, fixed_ips=[])
        assert bare["fixed_ips"] == []

        await refused(409, "IpAddressAlreadyAllocated", {"ip_address": "10.0.0.9"})
        await refused(400, "InvalidIpForNetwork", {"ip_address": "10.0.1.9"})
        await refused(400, "InvalidIpForSubnet", {"subnet_id": subnet, "ip_address": "10.0.1.9"})
        await refused(400, "InvalidIpForSubnet", {"subnet_id": subnet, "ip_address": "10.0.0.0"})
        await refused(400, "InvalidInput", {"subnet_id": "11111111-2222-3333-4444-555555555555"})
        await refused(400, "InvalidInput", {"subnet_id": six["id"], "ip_address": "2001:db8::5"})
        await refused(400, "InvalidInput", *({"subnet_id": subnet} for _ in range(6)))
        await refused(400, "HTTPBadRequest", {"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.5"})
        same_mac = await api(
            "POST", "/v2.0/ports", {"port": {"network_id": network, "mac_address": usual["mac_address"]}}
        )
        assert (same_mac.status, same_mac.error) == (409, "MacAddressInUse")

        path = f"/v2.0/ports/{named['id']}"
        kept = await api("PUT", path, {"port": {"fixed_ips": [{"subnet_id": subnet}]}})
        assert kept.json["port"]["fixed_ips"][0]["ip_address"] == "10.0.0.9"
        moved = await api("PUT", path, {"port": {"fixed_ips": [{"ip_address": "10.0.0.10"}]}})
        assert moved.json["port"]["fixed_ips"][0]["ip_address"] == "10.0.0.10"
        again = await api.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.9"}])
        clash = await api("PUT", path, {"port": {"fixed_ips": [{"ip_address": "10.0.0.9"}]}})
        assert (clash.status, clash.error) == (409, "IpAddressAlreadyAllocated")
        assert (await api("DELETE", f"/v2.0/ports/{again['id']}")).status == 204
        back = await api("PUT", path, {"port": {"fixed_ips": [{"ip_address": "10.0.0.9"}]}})
        assert back.json["port"]["fixed_ips"][0]["ip_address"] == "10.0.0.9"

    tell(story, tmp_path)


def test_port_security(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        group = await api.make("security_group", name="web")
        open_port = await api.make("port", network_id=network, port_security_enabled=False)
        assert open_port["security_groups"] == []
        pairs = [
            {"ip_address": "10.0.0.100"},
            {"ip_address": "10.1.0.0/16", "mac_address": "fa:16:3e:00:00:09"},
        ]
        port = await api.make(
            "port", network_id=network, security_groups=[group["id"]], allowed_address_pairs=pairs
        )
        assert port["allowed_address_pairs"][0] == {
            "ip_address": "10.0.0.100",
            "mac_address": port["mac_address"],
        }
        path = f"/v2.0/ports/{port['id']}"

        async def refused(status: int, error: str, method: str, at: str, **values: object) -> None:
            answer = await api(method, at, {"port": values})
            assert (answer.status, answer.error) == (status, error)

        await refused(409, "PortSecurityPortHasSecurityGroup", "PUT", path, port_security_enabled=False)
        await refused(
            400,
            "PortSecurityAndIPRequiredForSecurityGroups",
            "POST",
            "/v2.0/ports",
            network_id=network,
            port_security_enabled=False,
            security_groups=[group["id"]],
        )
        await refused(
            409,
            "AddressPairAndPortSecurityRequired",
            "POST",
            "/v2.0/ports",
            network_id=network,
            port_security_enabled=False,
            allowed_address_pairs=pairs,
        )
        await refused(
            400, "DuplicateAddressPairInRequest", "PUT", path, allowed_address_pairs=[pairs[0], pairs[0]]
        )
        await refused(
            404,
            "SecurityGroupNotFound",
            "PUT",
            path,
            security_groups=["11111111-2222-3333-4444-555555555555"],
        )
        off = {"port_security_enabled": False, "security_groups": [], "allowed_address_pairs": []}
        assert (await api("PUT", path, {"port": off})).json["port"]["security_groups"] == []
        used = await api("DELETE", f"/v2.0/security-groups/{group['id']}")
        assert used.status == 204

    tell(story, tmp_path)


def test_extra_dhcp_options_and_qos_are_kept(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        options = [
            {"opt_name": "bootfile-name", "opt_value": "pxe"},
            {"opt_name": "mtu", "opt_value": "9000"},
        ]
        port = await api.make("port", network_id=network, extra_dhcp_opts=options)
        assert port["extra_dhcp_opts"] == [{**one, "ip_version": 4} for one in options]
        change = {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}
        changed = (await api("PUT", f"/v2.0/ports/{port['id']}", {"port": change})).json["port"]
        assert [one["opt_name"] for one in changed["extra_dhcp_opts"]] == ["bootfile-name"]
        missing = {"qos_policy_id": "11111111-2222-3333-4444-555555555555"}
        answer = await api("PUT", f"/v2.0/ports/{port['id']}", {"port": missing})
        assert (answer.status, answer.error) == (404, "QosPolicyNotFound")

    tell(story, tmp_path)


def test_what_a_thing_keeps_is_bounded(tmp_path: Path) -> None:
    """Lists that are stored are read again with every request about their network, and by nodes."""

    async def story(api: Cloud) -> None:
        network, subnet = await api.a_network()
        body: Any
        options = [{"opt_name": f"o{number}", "opt_value": "x"} for number in range(129)]
        port = await api.make("port", network_id=network, extra_dhcp_opts=options[:128])
        for body in (
            {"network_id": network, "extra_dhcp_opts": options},
            {"network_id": network, "extra_dhcp_opts": options * 7},
        ):
            answer = await api("POST", "/v2.0/ports", {"port": body})
            assert (answer.status, answer.error) == (400, "DhcpOptionsExhausted"), answer
        path = f"/v2.0/ports/{port['id']}"
        one_more = await api("PUT", path, {"port": {"extra_dhcp_opts": options[128:]}})
        assert (one_more.status, one_more.error) == (400, "DhcpOptionsExhausted"), one_more
        instead = [*options[128:], {"opt_name": "o0", "opt_value": None}]
        assert (await api("PUT", path, {"port": {"extra_dhcp_opts": instead}})).status == 200
        pools = [
            {"start": f"11.{n >> 8}.{n & 255}.2", "end": f"11.{n >> 8}.{n & 255}.3"} for n in range(1001)
        ]
        prefixes = [f"11.{n >> 8}.{n & 255}.0/26" for n in range(1001)]
        many = {
            "allocation_pools": pools,
            "service_types": [f"compute:{n}" for n in range(1001)],
        }
        for name, values in many.items():
            body = {"network_id": network, "cidr": "11.0.0.0/8", "ip_version": 4, name: values}
            answer = await api("POST", "/v2.0/subnets", {"subnet": body})
            assert answer.status == 400 and "exceeds maximum length of 1000" in str(answer.json), answer
            body = {"subnet": {name: values}}
            assert (await api("PUT", f"/v2.0/subnets/{subnet}", body)).status == 400
        answer = await api("POST", "/v2.0/subnetpools", {"subnetpool": {"name": "p", "prefixes": prefixes}})
        assert answer.status == 400 and "exceeds maximum length of 1000" in str(answer.json), answer
        hints = {"network": {"availability_zone_hints": prefixes}}
        assert (await api("POST", "/v2.0/networks", hints)).status == 400

    tell(story, tmp_path)


def test_the_list_language(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, subnet = await api.a_network()
        names = ["c", "a", "b", "d"]
        ports = {name: await api.make("port", network_id=network, name=name) for name in names}

        async def listed(query: str) -> list[str]:
            answer = await api("GET", f"/v2.0/ports?{query}")
            assert answer.status == 200, answer
            return [port["name"] for port in answer.json["ports"]]

        assert await listed("sort_key=name&sort_dir=asc") == ["a", "b", "c", "d"]
        assert await listed("sort_key=name&sort_dir=desc&limit=2") == ["d", "c"]
        assert await listed(f"sort_key=name&sort_dir=asc&limit=2&marker={ports['b']['id']}") == ["c", "d"]
        page = (await api("GET", "/v2.0/ports?sort_key=name&sort_dir=asc&limit=2")).json
        assert "marker=" + ports["b"]["id"] in page["ports_links"][0]["href"]
        address = ports["a"]["fixed_ips"][0]["ip_address"]
        assert await listed(f"fixed_ips=ip_address%3D{address}") == ["a"]
        assert sorted(await listed(f"fixed_ips=subnet_id%3D{subnet}")) == ["a", "b", "c", "d"]
        group = ports["a"]["security_groups"][0]
        assert sorted(await listed(f"security_groups={group}")) == ["a", "b", "c", "d"]
        assert sorted(await listed("name=a&name=b&fields=name")) == ["a", "b"]
        only = (await api("GET", f"/v2.0/ports?fields=id&mac_address={ports['a']['mac_address']}")).json
        assert only == {"ports": [{"id": ports["a"]["id"]}]}
        assert (await api("GET", "/v2.0/ports?colour=red")).status == 400
        assert (await api.as_("bob")("GET", "/v2.0/ports")).json == {"ports": []}
        assert await listed("tenant_id=" + P2) == []
        assert (await api("PUT", f"/v2.0/ports/{ports['a']['id']}/tags/blue")).status == 201
        assert await listed("tags=blue") == ["a"]

    tell(story, tmp_path)


def test_who_may(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        bob, reader, admin = api.as_("bob"), api.as_("reader"), api.as_("admin")
        port = await api.make("port", network_id=network)
        path = f"/v2.0/ports/{port['id']}"
        body = {"port": {"network_id": network}}
        assert (await bob("POST", "/v2.0/ports", body)).status == 404
        assert (await reader("POST", "/v2.0/ports", body)).status == 403
        assert (await reader("GET", path)).status == 200
        assert (await reader("DELETE", path)).status == 403
        assert (await bob("GET", path)).status == 404
        host = {"port": {"binding:host_id": "h1"}}
        assert (await api("PUT", path, host)).status == 403
        failed = await admin("PUT", path, host)
        assert failed.json["port"]["binding:vif_type"] == "binding_failed"
        mine = {"port": {"network_id": network, "project_id": P2}}
        assert (await api("POST", "/v2.0/ports", mine)).status in (400, 403)
        assert (await api("GET", path, None, {"x-auth-token": "nobody"})).status == 401
        stale = await api("PUT", path, {"port": {"name": "x"}}, {"if-match": "revision_number=0"})
        assert (stale.status, stale.error) == (412, "RevisionNumberConstraintFailed")

    tell(story, tmp_path)


@pytest.mark.parametrize(
    "port",
    [
        {},
        {"network_id": "not-an-id"},
        {"network_id": "11111111-2222-3333-4444-555555555555"},
        {"mac_address": "zz"},
        {"mac_address": 5},
        {"fixed_ips": {}},
        {"fixed_ips": [5]},
        {"fixed_ips": [{"ip_address": "10.0.0.400"}]},
        {"fixed_ips": [{}]},
        {"device_id": 5},
        {"name": "x" * 256},
        {"name": "\x00"},
        {"admin_state_up": "perhaps"},
        {"security_groups": "all"},
        {"allowed_address_pairs": [{}]},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.0/99"}]},
        {"extra_dhcp_opts": [{"opt_name": "x"}]},
        {"extra_dhcp_opts": [{"opt_name": "x y", "opt_value": "z"}]},
        {"extra_dhcp_opts": [{"opt_name": "x,tag:y", "opt_value": "z"}]},
        {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1\ndhcp-option=3"}]},
        {"allowed_address_pairs": [{"ip_address": "fe80::1%a b\n"}]},
        {"fixed_ips": [{"ip_address": "10.0.0.5%x"}]},
        {"binding:vnic_type": "quantum"},
        {"status": "ACTIVE"},
        {"colour": "red"},
        {"project_id": "x" * 300},
        {"tags": [5]},
    ],
)
def test_what_is_no_port(port: dict[str, object], tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        body = {"network_id": network, **port} if port else {}
        answer = await api.as_("admin")("POST", "/v2.0/ports", {"port": body})
        assert 400 <= answer.status < 500, answer
        assert answer.json["NeutronError"]["message"]

    tell(story, tmp_path)


def test_a_unit_that_is_run_again_decides_anew(tmp_path: Path) -> None:
    """After a deadlock a unit starts over with what it was handed; what it drew then is no wish."""

    async def story(api: Cloud) -> None:
        network, _ = await api.a_network("10.0.0.0/24")
        specs = [new_port(PEOPLE["alice"], network_id=network) for _ in range(2)]
        before = [dict(spec) for spec in specs]

        def twice(tx: Tx) -> tuple[Any, Any]:
            first: Any = None
            with contextlib.suppress(Lost), tx.savepoint():
                first = port_create(tx, PEOPLE["alice"], specs, config=api.config)
                raise Lost
            return first, port_create(tx, PEOPLE["alice"], specs, config=api.config)

        first, second = await api.store.write(twice)
        assert [dict(spec) for spec in specs] == before
        assert [port["id"] for port in first] == [port["id"] for port in second]
        assert {port["mac_address"] for port in first} != {port["mac_address"] for port in second}

    tell(story, tmp_path)


class Lost(Exception):
    """The transaction is gone."""


def test_one_hardware_address_on_two_networks(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        one, two = (await api.a_network())[0], (await api.a_network())[0]
        mac = "fa:16:3e:00:00:07"
        body = {"ports": [{"network_id": network, "mac_address": mac} for network in (one, two)]}
        assert (await api("POST", "/v2.0/ports", body)).status == 201
        again = await api("POST", "/v2.0/ports", body)
        assert (again.status, again.error) == (409, "MacAddressInUse")

    tell(story, tmp_path)


def test_address_pairs_are_no_addresses_of_many(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        for pair in (
            {"ip_address": "224.0.0.5"},
            {"ip_address": "ff02::1"},
            {"ip_address": "224.0.0.0/8"},
            {"ip_address": "192.0.0.0/2"},
            {"ip_address": "::/0"},
        ):
            body = {"port": {"network_id": network, "allowed_address_pairs": [pair]}}
            answer = await api("POST", "/v2.0/ports", body)
            assert (answer.status, answer.error) == (400, "HTTPBadRequest"), pair
            assert "multicast" in answer.json["NeutronError"]["message"]
        pairs = [{"ip_address": "0.0.0.0/0"}, {"ip_address": "128.0.0.0/2"}, {"ip_address": "2001:db8::/32"}]
        made = await api.make("port", network_id=network, allowed_address_pairs=pairs)
        assert [one["ip_address"] for one in made["allowed_address_pairs"]] == [
            one["ip_address"] for one in pairs
        ]

    tell(story, tmp_path)
