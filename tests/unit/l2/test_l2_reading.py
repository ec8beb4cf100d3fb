"""The switch agent has what a whole read would give it, whatever it read before and whichever call fails."""

from __future__ import annotations

import msgspec
from tests.waiting import until

from pileus.core.errors import Fault
from pileus.wire.switch import SecurityGroupChange, SecurityRule, SwitchState, SwitchStateRequest

from .scene import device, group, network
from .switch_bench import cloud, running, scenario
from .switch_server import SwitchServer

FROM_DB = SecurityRule("r9", "ingress", "IPv4", remote_group_id="db")


def test_members_of_a_group_that_was_forgotten_are_read_again() -> None:
    """Also though its rules are nobody's here, so that it is found to be missing after the first answer."""

    async def story() -> None:
        server = cloud()
        server.heartbeat_interval_s = 3600.0
        server.groups["web"], server.groups["db"] = group("web", (FROM_DB,)), group("db", ())
        server.put_device(device(1, security_group_ids=("web",), status="ACTIVE"), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: "port-1" in bench.agent.in_force())
            assert await bench.full_pass() == 0
            server.put_device(device(8, security_group_ids=("db",)), "n2")
            await until(lambda: bench.agent.model.groups["db"].member_ips == ("10.0.0.8",))
            server.remove_device("port-1")
            await bench.unplug(1)
            await until(lambda: "db" not in bench.agent.model.groups)
            await bench.plug(2)
            await until(lambda: "tap2" in bench.client.by_name("Port"))
            await bench.agent.reconciler.settled()
            # It is up already: nothing that is told of it has the server asked once more.
            server.put_device(device(2, security_group_ids=("web",), status="ACTIVE"), "n1")
            await until(lambda: "web" in bench.agent.model.groups)
            await bench.agent.reconciler.settled()
            assert bench.agent.model.groups["db"].member_ips == ("10.0.0.8",)

    scenario(story)


class Changing(SwitchServer):
    """Tells of groups that have not changed since that they have not; ``failing`` calls for networks fail."""

    failing = 0

    def _switch_state(self, request: SwitchStateRequest) -> SwitchState:
        if request.networks and self.failing:
            self.failing -= 1
            raise Fault("the server is being restarted")
        state = super()._switch_state(request)
        if not request.security_groups or request.groups_since < self.position:
            return state
        same = tuple(SecurityGroupChange(one.security_group_id) for one in state.security_groups)
        return msgspec.structs.replace(state, security_groups=(), group_changes=same)


def test_an_answer_whose_sequel_failed_is_asked_for_again() -> None:
    async def story() -> None:
        server = Changing()
        like = cloud()
        server.networks, server.groups, server.tunnels = like.networks, like.groups, like.tunnels
        server.heartbeat_interval_s = 3600.0
        server.put_device(device(1, status="ACTIVE"), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: bench.agent.in_force().keys() == {"port-1"})
            await bench.agent.reconciler.settled()
            # One more member, on a network that has to be asked for.
            server.networks["other"] = network("other")
            server.failing = 1
            server.put_device(device(2, "other", status="ACTIVE"), "n1")
            await until(lambda: not server.failing and "other" in bench.agent.model.networks)
            await bench.agent.reconciler.settled()
            assert bench.agent.model.groups["default"].member_ips == ("10.0.0.1", "10.0.0.2")

    scenario(story)
