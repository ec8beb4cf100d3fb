"""The network API in the test cloud: an agent's calls, and what stories begin with."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.api import cloud as one
from tests.api.cloud import P1, P2, PEOPLE, Node
from tests.asgi import Answer

from pileus.core.clock import ManualClock
from pileus.services.network.rules.segments import Ranges
from pileus.services.network.service import FOLLOWERS, Network, NetworkConfig
from pileus.store import Store
from pileus.store.publication import Subscriber
from pileus.web.noun import Noun
from pileus.wire.agents import AgentReport
from pileus.wire.dhcp import DhcpStateRequest
from pileus.wire.l3 import L3StateRequest
from pileus.wire.switch import DeviceStatus, SwitchStateRequest

__all__ = ["CONFIG", "P1", "P2", "PEOPLE", "Answer", "Cloud", "Node", "Story", "cloud", "tell"]


class Cloud(one.Cloud):
    """Speaks to the network API; ``config`` is what its units decide with."""

    prefix = "/networking"

    @property
    def config(self) -> NetworkConfig:
        return self.faces["network"].config  # type: ignore[no-any-return]

    async def make(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create one of ``kind`` (``port``) and return its view; anything but 201 fails the test."""
        collection = {"policy": "qos/policies"}.get(kind, f"{kind.replace('_', '-')}s")
        answer = await self("POST", f"/v2.0/{collection}", {kind: values})
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json[kind]
        return made

    async def a_network(self, cidr: str = "10.0.0.0/24", **subnet: Any) -> tuple[str, str]:
        """A network with a subnet; their ids."""
        network = await self.make("network", name="net")
        made = await self.make(
            "subnet", network_id=network["id"], cidr=cidr, ip_version=6 if ":" in cidr else 4, **subnet
        )
        return network["id"], made["id"]

    async def report(self, host: str, *, start: bool = True, **configurations: Any) -> Any:
        """A switch agent's report from a host; one with ``interface_mappings`` is of Linux bridges."""
        known = {"tunnel_types": ["vxlan"], "bridge_mappings": {"physnet1": "br-ex"}, **configurations}
        bridges = "interface_mappings" in known
        return await self.wire["agent_report"](
            AgentReport(
                host=host,
                binary="neutron-linuxbridge-agent" if bridges else "neutron-openvswitch-agent",
                agent_type="Linux bridge agent" if bridges else "Open vSwitch agent",
                topic="N/A",
                started_at="2026-01-01 00:00:00",
                configurations=known,
                start=start,
            ),
            Node(host),
        )

    async def service_agent(
        self, host: str, kind: str, *, start: bool = True, zone: str | None = None, **configurations: Any
    ) -> Any:
        """A report of a host's DHCP or L3 agent (``kind`` as the API has it: ``L3 agent``)."""
        short = kind.split()[0].lower()
        return await self.wire["agent_report"](
            AgentReport(
                host=host,
                binary=f"neutron-{short}-agent",
                agent_type=kind,
                topic=f"{short}_agent",
                started_at="2026-01-01 00:00:00",
                configurations=configurations,
                availability_zone=zone,
                start=start,
            ),
            Node(host),
        )

    async def node(self, host: str, *kinds: str) -> None:
        """A host with a switch and other agents."""
        await self.report(host, tunneling_ip=f"192.0.2.{host[1:]}")
        for kind in kinds:
            await self.service_agent(host, kind)

    async def dhcp(self, host: str, *networks: str) -> Any:
        """What the host's DHCP should look like (of all networks, or of these)."""
        wanted = networks or None
        return await self.wire["dhcp_state"](DhcpStateRequest(host=host, networks=wanted), Node(host))

    async def routing(self, host: str, *routers: str) -> Any:
        """What the host's routers should look like."""
        return await self.wire["l3_state"](L3StateRequest(host=host, routers=routers or None), Node(host))

    async def listen(self, subscriber: Subscriber) -> Callable[[], None]:
        """Subscribe to the events from now on (older ones are told first); returns what ends it."""
        end = self.store.subscribe(lambda published: None)
        async with asyncio.timeout(one.CLOSE_S):
            while not self.store.is_told:
                await asyncio.sleep(0.001)
        unsubscribe = self.store.subscribe(subscriber)
        end()
        return unsubscribe

    async def an_outside(self, cidr: str = "203.0.113.0/24") -> tuple[str, str]:
        """An external network with a subnet; their ids. Addresses below .100 are given to who names them."""
        network = await self.make("network", name="outside", **{"router:external": True})
        prefix = cidr.rpartition(".")[0]
        subnet = await self.make(
            "subnet",
            network_id=network["id"],
            cidr=cidr,
            ip_version=4,
            enable_dhcp=False,
            allocation_pools=[{"start": f"{prefix}.100", "end": f"{prefix}.200"}],
        )
        return network["id"], subnet["id"]

    async def switch(self, host: str, **asked: Any) -> Any:
        """What the host's switch should look like."""
        return await self.wire["switch_state"](SwitchStateRequest(host=host, **asked), Node(host))

    async def status(self, host: str, **said: Any) -> Any:
        """What the host's agent says of its ports."""
        return await self.wire["device_status"](DeviceStatus(host=host, **said), Node(host))


CONFIG = NetworkConfig(
    followers=FOLLOWERS, ranges=Ranges(vlan={"physnet1": ((100, 102),), "bare": ()}, vxlan=((1, 10000),))
)


def cloud(
    url: str,
    config: NetworkConfig = CONFIG,
    more: Sequence[Noun] = (),
    rules: Mapping[str, str] | None = None,
) -> contextlib.AbstractAsyncContextManager[Cloud]:
    """The network over the database at ``url``, spoken to by alice, a member of P1. ``more``: further nouns;
    ``rules``: those that an operator has overridden."""

    def faces(store: Store, clock: ManualClock) -> list[Network]:
        # The same dice in each run: a story may name addresses that nobody is given by chance.
        network = Network(msgspec.structs.replace(config, dice=random.Random(7)), clock)
        network.service = dataclasses.replace(network.service, nouns=(*network.service.nouns, *more))
        return [network]

    return one.served(Cloud, url, faces, rules={"network": rules or {}})


Story = Callable[[Cloud], Awaitable[None]]


def tell(
    story: Story,
    folder: Path,
    kind: str = "sqlite",
    config: NetworkConfig = CONFIG,
    rules: Mapping[str, str] | None = None,
) -> None:
    """Run a story on a fresh database of one kind."""
    one.tell_on(kind, folder, lambda url: cloud(url, config, rules=rules), story)
