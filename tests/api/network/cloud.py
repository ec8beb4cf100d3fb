"""A network API in one process: an app over a fresh database, people with fixed tokens, an agent's calls."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests import databases
from tests.asgi import Answer, ask, encoded

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.core.errors import Unauthenticated
from pileus.policy import Policies
from pileus.services.network.rules.segments import Ranges
from pileus.services.network.service import FOLLOWERS, NetworkConfig, network_service
from pileus.store import Store
from pileus.store.publication import Subscriber
from pileus.web.answers import handlers
from pileus.web.app import App, create_app
from pileus.web.noun import Noun
from pileus.wire.agents import AgentReport
from pileus.wire.dhcp import DhcpStateRequest
from pileus.wire.l3 import L3StateRequest
from pileus.wire.switch import DeviceStatus, SwitchStateRequest

P1, P2 = "1" * 32, "2" * 32
_THEN = ManualClock().now()
PEOPLE = {
    "admin": Context(
        now=_THEN, user_id="u0", project_id=P2, roles=("admin", "member", "reader"), is_admin=True
    ),
    "alice": Context(now=_THEN, user_id="u1", project_id=P1, roles=("member", "reader")),
    "manager": Context(now=_THEN, user_id="u4", project_id=P1, roles=("manager", "member", "reader")),
    "bob": Context(now=_THEN, user_id="u2", project_id=P2, roles=("member", "reader")),
    "netadmin": Context(now=_THEN, user_id="u5", project_id=P1, roles=("netadmin", "reader")),
    "reader": Context(now=_THEN, user_id="u3", project_id=P1, roles=("reader",)),
}


class Node(NamedTuple):
    host: str


class Cloud:
    """Speaks ASGI to the app as one person; ``cloud.as_("admin")`` is another."""

    def __init__(self, app: App, store: Store, clock: ManualClock, config: NetworkConfig, token: str) -> None:
        self.app, self.store, self.clock, self.config, self.token = app, store, clock, config, token
        self.wire = handlers(app.services[0].answers, store, clock)

    def as_(self, token: str) -> Cloud:
        return Cloud(self.app, self.store, self.clock, self.config, token)

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent = {"host": "cloud", "content-type": "application/json", "x-auth-token": self.token}
        return await ask(self.app, method, "/networking" + path, {**sent, **(headers or {})}, [encoded(body)])

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
        """A switch agent's report from a host."""
        known = {"tunnel_types": ["vxlan"], "bridge_mappings": {"physnet1": "br-ex"}, **configurations}
        return await self.wire["agent_report"](
            AgentReport(
                host=host,
                binary="neutron-openvswitch-agent",
                agent_type="Open vSwitch agent",
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
        async with asyncio.timeout(10):
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


async def _authenticate(token: str) -> Context:
    if token not in PEOPLE:
        raise Unauthenticated
    return PEOPLE[token]


CONFIG = NetworkConfig(
    followers=FOLLOWERS, ranges=Ranges(vlan={"physnet1": ((100, 102),), "bare": ()}, vxlan=((1, 10000),))
)


@contextlib.asynccontextmanager
async def cloud(
    url: str,
    config: NetworkConfig = CONFIG,
    more: Sequence[Noun] = (),
    rules: Mapping[str, str] | None = None,
) -> AsyncIterator[Cloud]:
    """The app over the database at ``url``, spoken to by alice, a member of P1. ``more``: further nouns;
    ``rules``: those that an operator has overridden."""
    clock = ManualClock()
    service = network_service(config, clock)
    service = dataclasses.replace(service, nouns=(*service.nouns, *more))
    store = await Store.open(url, clock=clock)
    try:
        app = create_app(
            [service],
            store=store,
            authenticator=_authenticate,
            policy=Policies({service.type: service.rules}, {service.type: dict(rules or {})}),
            clock=clock,
        )
        yield Cloud(app, store, clock, config, "alice")
    finally:
        await store.close()


Story = Callable[[Cloud], Awaitable[None]]


def tell(
    story: Story,
    folder: Path,
    kind: str = "sqlite",
    config: NetworkConfig = CONFIG,
    rules: Mapping[str, str] | None = None,
) -> None:
    """Run a story on a fresh database of one kind."""

    async def main(url: str) -> None:
        async with cloud(url, config, rules=rules) as api:
            await story(api)

    with databases.fresh(kind, folder) as url:
        asyncio.run(main(url))
