"""Names of ports: their own, their networks', and what DHCP is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.network.cloud import Cloud, tell


def test_each_address_has_a_name(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        await api.node("h1", "DHCP agent")
        plain = await api.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.5"}])
        named = await api.make(
            "port", network_id=network, dns_name="Web", fixed_ips=[{"ip_address": "10.0.0.6"}]
        )

        async def names(port: dict[str, Any]) -> list[tuple[str, str, str]]:
            shown = (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]["dns_assignment"]
            return [(one["ip_address"], one["hostname"], one["fqdn"]) for one in shown]

        assert plain["dns_assignment"] == [
            {
                "ip_address": "10.0.0.5",
                "hostname": "host-10-0-0-5",
                "fqdn": "host-10-0-0-5.openstacklocal.",
            }
        ]
        assert await names(named) == [("10.0.0.6", "web", "web.openstacklocal.")]

        async def told() -> tuple[str, list[tuple[str, str]]]:
            (state,) = (await api.dhcp("h1")).networks
            return state.dns_domain, sorted((one.hostname, one.domain) for one in state.hosts)

        assert await told() == ("openstacklocal.", [("host-10-0-0-5", ""), ("web", "")])
        put = f"/v2.0/ports/{named['id']}"
        assert (await api("PUT", put, {"port": {"dns_domain": "Shop.Example."}})).status == 200
        assert await names(named) == [("10.0.0.6", "web", "web.shop.example.")]
        assert await told() == ("openstacklocal.", [("host-10-0-0-5", ""), ("web", "shop.example.")])
        await api("PUT", f"/v2.0/networks/{network}", {"network": {"dns_domain": "cloud.example."}})
        assert await names(plain) == [("10.0.0.5", "host-10-0-0-5", "host-10-0-0-5.openstacklocal.")]
        assert await names(named) == [("10.0.0.6", "web", "web.shop.example.")]
        assert (await told())[0] == "openstacklocal.", "guests search in one domain in all networks"
        await api("PUT", put, {"port": {"dns_domain": "", "fixed_ips": [{"ip_address": "10.0.0.9"}]}})
        assert await names(named) == [("10.0.0.9", "web", "web.cloud.example.")]
        assert await told() == ("openstacklocal.", [("host-10-0-0-5", ""), ("web", "cloud.example.")])
        values = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnet = await api.make("subnet", network_id=network, cidr="2001:db8::/64", **values)
        assert [name for _, name, _ in await names(named)] == ["web", "web"]
        assert (await names(plain))[1][1].startswith("host-2001-db8--")
        assert (await api("DELETE", f"/v2.0/subnets/{subnet['id']}")).status == 204
        assert len(await names(plain)) == 1
        fields = await api("GET", f"/v2.0/ports?fields=dns_assignment&id={plain['id']}")
        assert fields.json["ports"][0]["dns_assignment"][0]["hostname"] == "host-10-0-0-5"
        for wrong in ({"dns_domain": "shop.example"}, {"dns_name": "-a"}, {"dns_assignment": []}):
            assert (await api("PUT", put, {"port": wrong})).status == 400

    tell(story, tmp_path)
