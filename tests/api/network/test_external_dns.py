"""Names that a server outside is told of: which, when they come and go, and a server that is not there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api import cloud as one
from tests.api.network.cloud import CONFIG, P1, Cloud
from tests.name_server import NameServer
from tests.name_server import why_not_real as no_bind

from pileus.core.clock import ManualClock
from pileus.core.dns import DnsPublisher, DnsRecord
from pileus.drivers.dns.simulated import SimulatedDns
from pileus.drivers.dns.updates import DynamicUpdates
from pileus.services.network.external_dns.worker import DnsWorker
from pileus.services.network.rules.segments import Ranges
from pileus.services.network.service import Network
from pileus.store import Store

RETRY_S = 30.0
PUBLIC = msgspec.structs.replace(
    CONFIG, ranges=Ranges(vlan={"physnet1": ((100, 102),)}, vxlan=((1, 1000),)), publish_reverse=True
)


class Published(Cloud):
    """A cloud whose worker is run by hand, round for round."""

    worker: DnsWorker

    async def rounds(self) -> None:
        """Work until there is nothing more to be done at this moment."""
        while await self.worker.work():
            pass

    async def records(self, **wanted: str) -> dict[str, str]:
        """Name and data of the records that the API tells of, with their status."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        found = (await self.as_("admin")("GET", f"/v2.0/dns-records?{query}")).json["dns_records"]
        return {f"{row['name']} {row['data']}": row["status"] for row in found}


def told(
    story: Callable[[Published], Awaitable[None]],
    folder: Path,
    publisher: DnsPublisher,
    kind: str = "sqlite",
) -> None:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Published]:
        def faces(store: Store, clock: ManualClock) -> list[Network]:
            return [Network(msgspec.structs.replace(PUBLIC, dice=random.Random(7)), clock, publisher)]

        async with one.served(Published, url, faces) as cloud:
            cloud.worker = DnsWorker(
                cloud.store, cloud.config, publisher, cloud.clock, owner="me", retry_s=RETRY_S
            )
            yield cloud

    one.tell_on(kind, folder, opened, story)


async def provided(api: Cloud, **more: Any) -> str:
    """A network of a provider's, whose addresses are reached from outside; its id."""
    network = await api.as_("admin").make(
        "network",
        project_id=P1,
        dns_domain="example.test.",
        **{"provider:network_type": "flat", "provider:physical_network": "physnet1"},
        **more,
    )
    await api.make("subnet", network_id=network["id"], ip_version=4, cidr="192.0.2.0/24")
    return str(network["id"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_names_of_ports_come_and_go(kind: str, tmp_path: Path) -> None:
    server = SimulatedDns()

    async def story(api: Published) -> None:
        network = await provided(api)
        port = await api.make(
            "port", network_id=network, dns_name="web", fixed_ips=[{"ip_address": "192.0.2.10"}]
        )
        await api.make("port", network_id=network)
        web = DnsRecord("web.example.test.", "A", "192.0.2.10")
        back = DnsRecord("10.2.0.192.in-addr.arpa.", "PTR", "web.example.test.")
        assert server.records == set()
        await api.rounds()
        assert server.records == {web, back}
        assert set((await api.records()).values()) == {"ACTIVE"}
        assert (await api("GET", "/v2.0/dns-records")).status == 403
        changes = server.changes
        await api.rounds()
        assert server.changes == changes
        steps = (await api("GET", f"/v2.0/ports/{port['id']}/timeline")).json["timeline"]
        assert [one["detail"] for one in steps if one["step"] == "port dns_published"] != []

        path = f"/v2.0/ports/{port['id']}"
        await api("PUT", path, {"port": {"dns_name": "shop", "dns_domain": "other.test."}})
        await api.rounds()
        assert {one.name for one in server.records if one.kind == "A"} == {"shop.other.test."}
        await api("PUT", path, {"port": {"fixed_ips": [{"ip_address": "192.0.2.11"}], "dns_domain": ""}})
        await api.rounds()
        assert DnsRecord("shop.example.test.", "A", "192.0.2.11") in server.records
        # Another port of the same name: the record goes with the last of the two.
        twin = await api.make("port", network_id=network, dns_name="shop")
        await api.rounds()
        assert len([one for one in server.records if one.name == "shop.example.test."]) == 2
        assert (await api("DELETE", path)).status == 204
        await api.rounds()
        assert {one.data for one in server.records if one.kind == "A"} == {twin["fixed_ips"][0]["ip_address"]}
        assert (await api("DELETE", f"/v2.0/ports/{twin['id']}")).status == 204
        await api.rounds()
        assert server.records == set() and await api.records() == {}

    told(story, tmp_path, server, kind)


def test_a_server_that_is_dead_or_refuses_breaks_nothing(tmp_path: Path) -> None:
    server = SimulatedDns(("example.test.", "in-addr.arpa."))

    async def story(api: Published) -> None:
        network = await provided(api)
        server.is_dead = True
        port = await api.make(
            "port", network_id=network, dns_name="web", fixed_ips=[{"ip_address": "192.0.2.10"}]
        )
        await api.rounds()
        assert set((await api.records()).values()) == {"PENDING"}
        (why, *_) = (await api.as_("admin")("GET", "/v2.0/dns-records")).json["dns_records"]
        assert "gives no answer" in why["reason"]
        server.is_dead = False
        await api.rounds()
        assert server.records == set()  # not due yet
        api.clock.advance(RETRY_S)
        await api.rounds()
        assert set((await api.records()).values()) == {"ACTIVE"} and len(server.records) == 2
        abroad = await api.make(
            "port", network_id=network, dns_name="far", dns_domain="example.org.",
            fixed_ips=[{"ip_address": "192.0.2.12"}],
        )  # fmt: skip
        good = await api.make("port", network_id=network, dns_name="near")
        await api.rounds()
        states = await api.records()
        assert states["far.example.org. 192.0.2.12"] == "ERROR"
        assert states[f"near.example.test. {good['fixed_ips'][0]['ip_address']}"] == "ACTIVE"
        steps = (await api("GET", f"/v2.0/ports/{abroad['id']}/timeline")).json["timeline"]
        assert "no zone" in next(one["error"] for one in steps if one["step"] == "port dns_failed")
        server.is_dead = True
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        await api.rounds()
        assert (await api.records(resource_id=port["id"]))["web.example.test. 192.0.2.10"] == "DELETING"
        server.is_dead = False
        api.clock.advance(RETRY_S)
        await api.rounds()
        assert await api.records(resource_id=port["id"]) == {}
        assert not [one for one in server.records if one.name.startswith("web")]

    told(story, tmp_path, server)


def test_which_names_are_published(tmp_path: Path) -> None:
    server = SimulatedDns()

    async def story(api: Published) -> None:
        admin = api.as_("admin")
        extensions = (await api("GET", "/v2.0/extensions")).json["extensions"]
        assert "subnet-dns-publish-fixed-ip" in {one["alias"] for one in extensions}
        # A project's own network: nobody outside reaches its addresses, unless its subnet says so.
        inner = await api.make("network", dns_domain="inner.test.")
        subnet = await api.make("subnet", network_id=inner["id"], ip_version=4, cidr="10.0.0.0/24")
        await api.make("port", network_id=inner["id"], dns_name="a")
        await api.rounds()
        assert server.records == set()
        flag = {"subnet": {"dns_publish_fixed_ip": True}}
        assert (await api("PUT", f"/v2.0/subnets/{subnet['id']}", flag)).status == 200
        await api.make("subnet", network_id=inner["id"], ip_version=4, cidr="10.1.0.0/24")
        both = [{"ip_address": "10.0.0.9"}, {"ip_address": "10.1.0.9"}]
        await api.make("port", network_id=inner["id"], dns_name="b", fixed_ips=both)
        await api.rounds()
        assert sorted(one.name for one in server.records if one.kind == "A") == [
            *("a.inner.test.", "b.inner.test."),
        ]
        assert DnsRecord("b.inner.test.", "A", "10.0.0.9") in server.records

        # Floating IPs: their own names, else those of the ports that they lead to.
        outside, _ = await admin.an_outside()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        body = {"subnet_id": subnet["id"]}
        assert (await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", body)).status == 200
        place = [{"subnet_id": subnet["id"]}]
        target = await api.make("port", network_id=inner["id"], dns_name="web", fixed_ips=place)
        own = await api.make(
            "floatingip", floating_network_id=outside, dns_name="shop", dns_domain="example.test."
        )
        led = await api.make("floatingip", floating_network_id=outside, port_id=target["id"])
        await api.rounds()
        names = {one.data: one.name for one in server.records if one.kind == "A"}
        assert names[own["floating_ip_address"]] == "shop.example.test."
        assert names[led["floating_ip_address"]] == "web.inner.test."
        gone = {"floatingip": {"port_id": None}}
        assert (await api("PUT", f"/v2.0/floatingips/{led['id']}", gone)).status == 200
        assert (await api("DELETE", f"/v2.0/floatingips/{own['id']}")).status == 204
        await api.rounds()
        left = {one.data for one in server.records}
        assert not {own["floating_ip_address"], led["floating_ip_address"]} & left

    told(story, tmp_path, server)


def test_domains_with_keywords(tmp_path: Path) -> None:
    server = SimulatedDns()

    async def story(api: Published) -> None:
        network = await provided(api)
        domain = {"network": {"dns_domain": "<project_id>.<user_id>.Example.test."}}
        answer = await api("PUT", f"/v2.0/networks/{network}", domain)
        assert answer.json["network"]["dns_domain"] == "<project_id>.<user_id>.example.test."
        port = await api.make("port", network_id=network, dns_name="web")
        assert port["dns_assignment"][0]["fqdn"] == f"web.{P1}.u1.example.test."
        await api.rounds()
        assert {one.name for one in server.records if one.kind == "A"} == {f"web.{P1}.u1.example.test."}
        # Nothing is known of the maker's name: there is no such name then.
        nameless = await api.make(
            "port", network_id=network, dns_name="b", dns_domain="<user_name>.example.test."
        )
        assert nameless["dns_assignment"][0]["fqdn"] == "b.openstacklocal."
        await api.rounds()
        assert len([one for one in server.records if one.kind == "A"]) == 1
        await api.node("h1", "DHCP agent")
        (state,) = (await api.dhcp("h1")).networks
        assert state.dns_domain == "openstacklocal."
        assert f"{P1}.u1.example.test." in {one.domain for one in state.hosts}
        for wrong in ("<tenant>.example.test.", "a<user_id>.example.test.", "<user_id>"):
            body = {"network": {"dns_domain": wrong}}
            assert (await api("PUT", f"/v2.0/networks/{network}", body)).status == 400

    told(story, tmp_path, server)


def test_one_server_publishes_at_a_time(tmp_path: Path) -> None:
    server = SimulatedDns()

    async def story(api: Published) -> None:
        network = await provided(api)
        other = DnsWorker(api.store, api.config, server, api.clock, owner="other", retry_s=RETRY_S)
        await api.make("port", network_id=network, dns_name="web")
        assert await api.worker.work()
        await api.make("port", network_id=network, dns_name="db")
        assert not await other.work()
        api.clock.advance(600)
        assert await other.work()
        assert len([one for one in server.records if one.kind == "A"]) == 2

    told(story, tmp_path, server)


@pytest.mark.real
@pytest.mark.skipif(no_bind() is not None, reason=no_bind() or "")
def test_a_real_server_hears_of_ports_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "bind"
    folder.mkdir()
    bind = NameServer(folder)

    async def story(api: Published) -> None:
        await bind.start()
        (face,) = api.faces.values()
        face._publish_retry_s = 0.2
        await face.start(api.store)
        network = await provided(api)
        port = await api.make(
            "port", network_id=network, dns_name="web", fixed_ips=[{"ip_address": "192.0.2.10"}]
        )
        records = [
            DnsRecord("web.example.test.", "A", "192.0.2.10"),
            DnsRecord("10.2.0.192.in-addr.arpa.", "PTR", "web.example.test."),
        ]

        async def until(wanted: bool) -> None:
            async with asyncio.timeout(20):
                while [await bind.has(one) for one in records] != [wanted] * 2:
                    api.clock.advance(0.3)
                    await asyncio.sleep(0.05)

        await until(True)
        bind.stop()
        other = await api.make("port", network_id=network, dns_name="db")
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        async with asyncio.timeout(20):
            while "DELETING" not in (await api.records(resource_id=port["id"])).values():
                await asyncio.sleep(0.05)
        await bind.start()
        await until(False)
        address = other["fixed_ips"][0]["ip_address"]
        records[:] = [DnsRecord("db.example.test.", "A", address)] * 2
        await until(True)

    try:
        told(story, tmp_path, DynamicUpdates(bind.settings()))
    finally:
        bind.stop()
