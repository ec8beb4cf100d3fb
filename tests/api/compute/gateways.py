"""Steps of stories about gateway machines: their flavor, their keeper, and the agent that configures them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from tests.api.compute.cloud import IMAGE, Cloud, Host, Node

from pileus.services.compute.gateway_machines.keeper import GatewayKeeper
from pileus.services.image.images.tables import images
from pileus.services.network.service_providers import PROVIDERS
from pileus.wire.gateway import GatewayStateRequest
from pileus.wire.l3 import L3Status

OWNER = "9" * 32
"""The project that has the machines."""
DRIVER = next(one.driver for one in PROVIDERS if one.gateway_vm)
NET = "/networking/v2.0"


async def flavored(api: Cloud) -> str:
    """The flavor ``gateway-vm``, and the image of its machines; the flavor's id."""
    admin = api.as_("admin")
    await rename_image(api, "gateway")
    body = {"service_profile": {"driver": DRIVER}}
    profile = (await admin("POST", f"{NET}/service_profiles", body)).json["service_profile"]
    asked = {"flavor": {"name": "gateway-vm", "service_type": "L3_ROUTER_NAT"}}
    flavor = (await admin("POST", f"{NET}/flavors", asked)).json["flavor"]
    bind = {"service_profile": {"id": profile["id"]}}
    bound = await admin("POST", f"{NET}/flavors/{flavor['id']}/service_profiles", bind)
    assert bound.status == 201, bound
    return str(flavor["id"])


async def rename_image(api: Cloud, name: str, **more: Any) -> None:
    """Give the cloud's image a name, past the image service."""
    values = {"name": name, **more}
    await api.store.write(lambda tx: tx.execute(update(images).where(images.c.id == IMAGE).values(**values)))


async def outside(api: Cloud) -> str:
    """An external network with a subnet."""
    admin = api.as_("admin")
    body = {"network": {"name": "public", "router:external": True}}
    network_id = (await admin("POST", f"{NET}/networks", body)).json["network"]["id"]
    subnet = {"network_id": network_id, "cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": False}
    assert (await admin("POST", f"{NET}/subnets", {"subnet": subnet})).status == 201
    return str(network_id)


def keeper(api: Cloud) -> GatewayKeeper:
    """The loop, which works when a story says so."""
    return GatewayKeeper(api.store, api.compute.parts, api.clock, lambda tx: OWNER)


async def bring_up(api: Cloud, *hosts: Host) -> None:
    """What keeper, conductor, hosts and switches do until nothing more is to be done."""
    conductor, gateways = api.conductor(), keeper(api)
    for _ in range(3):
        await gateways.work()
        await conductor.work()
        await gateways.work()
        for host in hosts:
            await host.pass_()
    await conductor.work()
    await gateways.work()


async def told(api: Cloud, host: str, *routers: str) -> dict[str, Any]:
    """What a host's agent is told, by router."""
    state: Any = await api.wire["gateway_state"](GatewayStateRequest(host, routers or None), Node(host))
    return {one.router.router_id: one for one in state.machines}


async def configured(api: Cloud, host: str) -> None:
    """A host's agent has made all its machines what they should be."""
    machines = (await told(api, host)).values()
    floating = tuple(one.floating_ip_id for machine in machines for one in machine.router.floating_ips)
    good = tuple(machine.router.router_id for machine in machines)
    await api.wire["gateway_status"](L3Status(host, good, floating), Node(host))
