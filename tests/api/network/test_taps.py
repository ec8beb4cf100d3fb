"""Tap services, tap flows and tap mirrors: made, refused, told to nodes, followed where ports go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell
from tests.waiting import until

from pileus.wire import scopes
from pileus.wire.taps import PortTaps, Tap, TapMirror, TapService

NOBODY = "11111111-2222-3333-4444-555555555555"
SERVICES, FLOWS, MIRRORS = (f"/v2.0/taas/tap_{kind}" for kind in ("services", "flows", "mirrors"))


async def made(api: Cloud, path: str, **values: Any) -> dict[str, Any]:
    name = path.rpartition("/")[2].removesuffix("s")
    answer = await api("POST", path, {name: values})
    assert answer.status == 201, answer
    return answer.json[name]  # type: ignore[no-any-return]


async def ports_on(api: Cloud, *hosts: str) -> list[str]:
    network, _ = await api.a_network()
    admin = api.as_("admin")
    return [
        (await admin.make("port", network_id=network, project_id=P1, **{"binding:host_id": host}))["id"]
        for host in hosts
    ]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_taps_from_the_api_to_the_nodes(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for host in ("h1", "h2"):
            await api.report(host, tunneling_ip=f"192.0.2.{host[1:]}")
        target, source = await ports_on(api, "h1", "h2")
        service = await made(api, SERVICES, port_id=target, name="ids", description="d")
        assert service == {
            "id": service["id"],
            "name": "ids",
            "description": "d",
            "project_id": P1,
            "tenant_id": P1,
            "port_id": target,
            "status": "DOWN",
        }
        values = {"tap_service_id": service["id"], "source_port": source, "vlan_filter": "7,9-11"}
        flow = await made(api, FLOWS, direction="BOTH", **values)
        assert (flow["status"], flow["vlan_filter"]) == ("DOWN", "7,9-11")
        keys = {"IN": 101, "OUT": 102}
        mirror = await made(
            api, MIRRORS, port_id=source, directions=keys, remote_ip="198.51.100.9", mirror_type="gre"
        )
        assert (mirror["directions"], mirror["remote_ip"]) == (keys, "198.51.100.9")
        for path, one, query in (
            (SERVICES, service, f"port_id={target}"),
            (FLOWS, flow, f"source_port={source}"),
            (FLOWS, flow, "direction=BOTH"),
            (MIRRORS, mirror, "mirror_type=gre"),
        ):
            name = path.rpartition("/")[2]
            assert (await api("GET", f"{path}?{query}")).json == {name: [one]}
            assert (await api("GET", f"{path}?name=other")).json == {name: []}
            assert (await api("GET", f"{path}/{one['id']}")).json == {name[:-1]: one}
        for path, one in ((SERVICES, service), (FLOWS, flow), (MIRRORS, mirror)):
            name = path.rpartition("/")[2][:-1]
            renamed = await api("PUT", f"{path}/{one['id']}", {name: {"description": "new"}})
            assert renamed.json[name] == {**one, "description": "new"}
        fixed = await api("PUT", f"{FLOWS}/{flow['id']}", {"tap_flow": {"direction": "IN"}})
        assert (fixed.status, fixed.message) == (400, "Cannot update read-only attribute direction")

        (here,) = (await api.switch("h2", devices=(source,))).devices
        assert here.taps is not None
        number = here.taps.taps[0].number
        assert here.taps == PortTaps(
            taps=(Tap(flow["id"], number, "BOTH", target, "h1", "7,9-11", "DOWN"),),
            mirrors=(TapMirror(mirror["id"], "gre", "198.51.100.9", in_key=101, out_key=102),),
        )
        (there,) = (await api.switch("h1", devices=(target,))).devices
        assert there.taps == PortTaps(services=(TapService(service["id"], number, ("h2",), "DOWN"),))

        # Each node speaks for its own end alone.
        await api.status("h1", taps={flow["id"]: "ACTIVE", service["id"]: "ACTIVE"})
        assert (await api("GET", f"{FLOWS}/{flow['id']}")).json["tap_flow"]["status"] == "DOWN"
        assert (await api("GET", f"{SERVICES}/{service['id']}")).json["tap_service"]["status"] == "ACTIVE"
        await api.status("h2", taps={flow["id"]: "ACTIVE", service["id"]: "DOWN"})
        assert (await api("GET", f"{FLOWS}/{flow['id']}")).json["tap_flow"]["status"] == "ACTIVE"
        assert (await api("GET", f"{SERVICES}/{service['id']}")).json["tap_service"]["status"] == "ACTIVE"

        told: set[str] = set()
        await api.listen(lambda published: told.update(published.scopes))
        moved = await api.as_("admin")("PUT", f"/v2.0/ports/{target}", {"port": {"binding:host_id": "h2"}})
        assert moved.status == 200
        await until(lambda: {scopes.port(source), scopes.port(target)} <= told)
        for path, one in ((SERVICES, service), (FLOWS, flow)):
            name = path.rpartition("/")[2][:-1]
            assert (await api("GET", f"{path}/{one['id']}")).json[name]["status"] == "DOWN"
        (here,) = (await api.switch("h2", devices=(source,))).devices
        assert here.taps is not None and here.taps.taps[0].target_host == "h2"

        told.clear()
        assert (await api("DELETE", f"/v2.0/ports/{target}")).status == 204
        await until(lambda: scopes.port(source) in told)
        assert (await api("GET", FLOWS)).json == {"tap_flows": []}
        gone = await api("GET", f"{SERVICES}/{service['id']}")
        assert (gone.status, gone.message) == (404, f"Tap Service  {service['id']} does not exist")
        (here,) = (await api.switch("h2", devices=(source,))).devices
        assert here.taps is not None and here.taps.taps == () and here.taps.mirrors
        told.clear()
        assert (await api("DELETE", f"{MIRRORS}/{mirror['id']}")).status == 204
        await until(lambda: scopes.port(source) in told)
        (here,) = (await api.switch("h2", devices=(source,))).devices
        assert here.taps is None

    tell(story, tmp_path, kind)


def test_a_service_takes_its_flows_along(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        target, one, two = await ports_on(api, "h1", "h1", "h1")
        service = await made(api, SERVICES, port_id=target)
        flows = [
            await made(api, FLOWS, tap_service_id=service["id"], source_port=port, direction="IN")
            for port in (one, two)
        ]
        told: set[str] = set()
        await api.listen(lambda published: told.update(published.scopes))
        assert (await api("DELETE", f"{FLOWS}/{flows[0]['id']}")).status == 204
        await until(lambda: {scopes.port(one), scopes.port(target)} <= told)
        assert (await api("DELETE", f"{SERVICES}/{service['id']}")).status == 204
        await until(lambda: scopes.port(two) in told)
        gone = await api("GET", f"{FLOWS}/{flows[1]['id']}")
        assert (gone.status, gone.error, gone.message) == (
            404,
            "TapFlowNotFound",
            f"Tap Flow  {flows[1]['id']} does not exist",
        )

    tell(story, tmp_path)


def test_what_can_not_be_tapped(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        admin, bob, reader = api.as_("admin"), api.as_("bob"), api.as_("reader")
        target, source = await ports_on(api, "h1", "h1")
        their_network = await bob.make("network")
        theirs = (await bob.make("port", network_id=their_network["id"]))["id"]
        mine = (await made(api, SERVICES, port_id=target))["id"]
        their_service = (await made(bob, SERVICES, port_id=theirs))["id"]
        flow = {"tap_service_id": mine, "source_port": source, "direction": "OUT"}
        mirror = {
            "port_id": source,
            "directions": {"IN": 1},
            "remote_ip": "198.51.100.9",
            "mirror_type": "gre",
        }
        await made(api, MIRRORS, **mirror)
        both = {**mirror, "directions": {"BOTH": 2}}
        await made(api, MIRRORS, **both)
        for person, path, values, status, error in (
            (api, SERVICES, {"port_id": theirs}, 404, "PortNotFound"),
            (api, SERVICES, {"port_id": NOBODY}, 404, "PortNotFound"),
            (admin, SERVICES, {"port_id": theirs, "project_id": P1}, 403, "PortDoesNotBelongToProject"),
            (api, SERVICES, {}, 400, "HTTPBadRequest"),
            (api, SERVICES, {"port_id": source, "status": "ACTIVE"}, 400, "HTTPBadRequest"),
            (reader, SERVICES, {"port_id": source}, 403, "PolicyNotAuthorized"),
            (api, FLOWS, {**flow, "source_port": theirs}, 404, "InvalidSourcePort"),
            (api, FLOWS, {**flow, "source_port": NOBODY}, 404, "InvalidSourcePort"),
            (api, FLOWS, {**flow, "tap_service_id": their_service}, 404, "TapServiceNotFound"),
            (api, FLOWS, {**flow, "source_port": target}, 400, "InvalidInput"),
            (api, FLOWS, {**flow, "direction": "UP"}, 400, "HTTPBadRequest"),
            (api, FLOWS, {**flow, "vlan_filter": "1,,2"}, 400, "HTTPBadRequest"),
            (api, FLOWS, {**flow, "vlan_filter": "4096"}, 400, "HTTPBadRequest"),
            (api, FLOWS, {**flow, "vlan_filter": "9-3"}, 400, "HTTPBadRequest"),
            (api, FLOWS, {**flow, "vlan_filter": "9" * 2000}, 400, "HTTPBadRequest"),
            (admin, FLOWS, {**flow, "project_id": P2}, 403, "TapServiceNotBelongToProject"),
            (
                admin,
                FLOWS,
                {**flow, "project_id": P1, "source_port": theirs},
                403,
                "PortDoesNotBelongToProject",
            ),
            (api, MIRRORS, {**mirror, "port_id": theirs}, 404, "PortNotFound"),
            (api, MIRRORS, mirror, 409, "TapMirrorTunnelConflict"),
            (api, MIRRORS, {**mirror, "directions": {"OUT": 1}}, 409, "TapMirrorTunnelConflict"),
            (api, MIRRORS, {**mirror, "directions": {"OUT": 2}}, 409, "TapMirrorTunnelConflict"),
            (api, MIRRORS, {**mirror, "directions": {"UP": 3}}, 400, "HTTPBadRequest"),
            (api, MIRRORS, {**mirror, "directions": {"IN": "x"}}, 400, "HTTPBadRequest"),
            (api, MIRRORS, {**mirror, "directions": {"IN": 1 << 32}}, 400, "HTTPBadRequest"),
            (
                api,
                MIRRORS,
                {**mirror, "mirror_type": "erspanv1", "directions": {"IN": 1024}},
                400,
                "InvalidInput",
            ),
            (api, MIRRORS, {**mirror, "mirror_type": "erspanv2"}, 400, "HTTPBadRequest"),
            (api, MIRRORS, {**mirror, "remote_ip": "collector"}, 400, "HTTPBadRequest"),
            # A mirror to a node could bring frames into another project's network.
            *(
                (api, MIRRORS, {**mirror, "directions": {"IN": 3}, "remote_ip": address}, 400, "InvalidInput")
                for address in ("192.0.2.1", "127.0.0.1", "224.0.0.5", "0.0.0.0", "::1")
            ),
        ):
            name = path.rpartition("/")[2][:-1]
            answer = await person("POST", path, {name: values})
            assert (answer.status, answer.error) == (status, error), (values, answer)
        taken = await api("POST", MIRRORS, {"tap_mirror": mirror})
        assert taken.message == "Tap Mirror with tunnel_id 1 already exists"
        assert (await bob("GET", f"{SERVICES}/{mine}")).status == 404
        assert (await bob("DELETE", f"{SERVICES}/{mine}")).status == 404
        # Another project's tunnels are no business of this one's.
        await made(bob, MIRRORS, **{**mirror, "port_id": theirs})

    tell(story, tmp_path)
