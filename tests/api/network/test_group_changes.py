"""A host that reads what has changed in security groups has what a host has that reads them whole."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, Node, tell

from pileus.host.l2.model import Model
from pileus.host.l2.question import GroupsRead, question
from pileus.services.network.ports import group_changes
from pileus.store.events import events_since, events_trim, relay_state
from pileus.wire import scopes
from pileus.wire.switch import SwitchState, SwitchStateRequest


class Follower:
    """A host's model, kept as its switch agent keeps it: by what it is woken for."""

    def __init__(self, api: Cloud, host: str) -> None:
        self._api, self._host = api, host
        self._seen = 0
        self.read = GroupsRead()
        self.model = Model()
        self.told_whole = self.told_changes = 0

    async def begin(self) -> None:
        self._api.store.subscribe(lambda published: None)  # so that events are told
        await self._ask(SwitchStateRequest(self._host))
        self._seen = self.model.position

    async def follow(self) -> None:
        async with asyncio.timeout(30):
            while (await self._api.store.read(relay_state))[2]:
                await asyncio.sleep(0.001)
        happened = await self._api.store.read(events_since, self._seen, 10_000)
        self._seen = max((event.position for event in happened), default=self._seen)
        served = {scopes.host(self._host), *map(scopes.security_group, self.model.groups)}
        woken = {scope for event in happened for scope in event.scopes} & served
        asked = question(self._host, woken, self.model, frozenset(), self.read)
        if asked is not None:
            await self._ask(asked)
        for _ in range(2):
            missing = self.model.missing()
            if groups := tuple(missing.groups | missing.remote_groups):
                await self._ask(SwitchStateRequest(self._host, (), (), groups, ()))
        self.model = self.model.pruned()

    async def _ask(self, request: SwitchStateRequest) -> None:
        state = await self._api.wire["switch_state"](request, Node(self._host))
        assert isinstance(state, SwitchState)
        self.read = self.read.after(request, state)
        self.told_whole += len(state.security_groups)
        self.told_changes += len(state.group_changes)
        self.model = self.model.absorb(request, state)


async def whole(api: Cloud, host: str) -> dict[str, Any]:
    state = await api.switch(host)
    return {group.security_group_id: group for group in state.security_groups}


class Happenings:
    """Things that happen to groups, at random."""

    def __init__(self, api: Cloud, dice: random.Random) -> None:
        self._api, self._dice = api, dice
        self.networks: list[str] = []
        self.groups: list[str] = []
        self.ports: list[str] = []
        self.rules: list[str] = []

    async def begin(self) -> None:
        # The same prefix twice: an address may be that of two members.
        for _ in range(2):
            self.networks.append((await self._api.a_network("10.0.0.0/24"))[0])
        for name in ("web", "db", "both"):
            self.groups.append((await self._api.make("security_group", name=name))["id"])
        await self._rule(self.groups[0], self.groups[0])
        for _ in range(3):
            await self.a_port("h1")

    async def one(self) -> None:
        some = [self.a_port, self.a_port, self.several_ports, self.a_rule, self.no_rule]
        if self.ports:
            some += [self.no_port, self.other_groups, self.pairs, self.another_address]
        await self._dice.choice(some)()

    async def a_port(self, host: str | None = None) -> None:
        address = [{"ip_address": f"10.0.0.{self._dice.randrange(20, 30)}"}]
        spec = {
            "network_id": self._dice.choice(self.networks),
            "security_groups": self._some(self.groups),
            "binding:host_id": host or self._dice.choice(("", "h1", "h2")),
            "project_id": "1" * 32,
            **({"fixed_ips": address} if self._dice.random() < 0.7 else {}),
        }
        answer = await self._api.as_("admin")("POST", "/v2.0/ports", {"port": spec})
        assert answer.status in (201, 409), answer
        if answer.status == 201:
            self.ports.append(answer.json["port"]["id"])

    async def several_ports(self) -> None:
        spec = {"network_id": self.networks[0], "security_groups": self._some(self.groups)}
        answer = await self._api("POST", "/v2.0/ports", {"ports": [spec] * 3})
        assert answer.status == 201, answer
        self.ports += [port["id"] for port in answer.json["ports"]]

    async def no_port(self) -> None:
        port = self.ports.pop(self._dice.randrange(len(self.ports)))
        assert (await self._api("DELETE", f"/v2.0/ports/{port}")).status == 204

    async def other_groups(self) -> None:
        await self._change(security_groups=self._some(self.groups))

    async def pairs(self) -> None:
        some = self._some(["10.0.0.21", "10.0.0.22", "10.9.0.0/16"])
        await self._change(allowed_address_pairs=[{"ip_address": one} for one in some])

    async def another_address(self) -> None:
        await self._change(fixed_ips=[{"ip_address": f"10.0.0.{self._dice.randrange(20, 30)}"}])

    async def a_rule(self) -> None:
        await self._rule(self._dice.choice(self.groups), self._dice.choice(self.groups))

    async def no_rule(self) -> None:
        if self.rules:
            rule = self.rules.pop(self._dice.randrange(len(self.rules)))
            assert (await self._api("DELETE", f"/v2.0/security-group-rules/{rule}")).status == 204

    async def _rule(self, group: str, remote: str) -> None:
        spec = {"security_group_id": group, "remote_group_id": remote, "direction": "ingress"}
        answer = await self._api("POST", "/v2.0/security-group-rules", {"security_group_rule": spec})
        assert answer.status in (201, 409), answer
        if answer.status == 201:
            self.rules.append(answer.json["security_group_rule"]["id"])

    async def _change(self, **changes: Any) -> None:
        path = f"/v2.0/ports/{self._dice.choice(self.ports)}"
        assert (await self._api("PUT", path, {"port": changes})).status in (200, 409)

    def _some(self, things: Iterable[str]) -> list[str]:
        return [thing for thing in things if self._dice.random() < 0.5]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_who_follows_changes_has_what_is_read_whole(kind: str, tmp_path: Path) -> None:
    dice = random.Random(20)

    async def story(api: Cloud) -> None:
        for host in ("h1", "h2"):
            await api.report(host, tunneling_ip=f"192.0.2.{host[1]}")
        world = Happenings(api, dice)
        await world.begin()
        followers = {host: Follower(api, host) for host in ("h1", "h2")}
        for follower in followers.values():
            await follower.begin()
        for step in range(60):
            for _ in range(dice.choice((1, 1, 1, 4))):
                await world.one()
            for host, follower in followers.items():
                await follower.follow()
                assert follower.model.groups == await whole(api, host), (step, host)
        assert sum(follower.told_changes for follower in followers.values()) > 30

    tell(story, tmp_path, kind)


def test_one_member_more_is_one_address(tmp_path: Path) -> None:
    """However many there are; and one less, whose address another has on another network."""

    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        (network, _), (other, _) = await api.a_network("10.0.0.0/22"), await api.a_network("10.0.0.0/22")
        group = (await api.make("security_group", name="many"))["id"]
        rule = {"security_group_id": group, "remote_group_id": group, "direction": "ingress"}
        await api.make("security_group_rule", **rule)
        member = {"network_id": network, "security_groups": [group], "project_id": "1" * 32}
        await api.as_("admin")("POST", "/v2.0/ports", {"port": {**member, "binding:host_id": "h1"}})
        await api("POST", "/v2.0/ports", {"ports": [member] * 100})
        follower = Follower(api, "h1")
        await follower.begin()
        before = follower.model.groups[group].member_ips
        assert len(before) == 101

        async def told(count: int) -> None:
            follower.told_whole = 0
            await follower.follow()
            assert follower.told_whole == 0
            assert len(follower.model.groups[group].member_ips) == count
            assert follower.model.groups == await whole(api, "h1")

        same = [{"ip_address": "10.0.2.7"}]
        port = await api.make("port", **member, fixed_ips=same)
        await told(102)
        twin = await api.make("port", **{**member, "network_id": other}, fixed_ips=same)
        await told(102)
        await api("DELETE", f"/v2.0/ports/{port['id']}")
        await told(102)
        await api("DELETE", f"/v2.0/ports/{twin['id']}")
        await told(101)
        # A name is nothing that a node must know.
        unnamed = follower.model
        await api("PUT", f"/v2.0/security-groups/{group}", {"security_group": {"description": "x"}})
        await follower.follow()
        assert follower.model.groups == unnamed.groups

    tell(story, tmp_path)


def test_what_is_too_far_back_or_gone_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        network, _ = await api.a_network()
        group = (await api.make("security_group", name="some"))["id"]
        rule = {"security_group_id": group, "remote_group_id": group, "direction": "ingress"}
        await api.make("security_group_rule", **rule)
        member = {"network_id": network, "security_groups": [group], "project_id": "1" * 32}
        await api.as_("admin")("POST", "/v2.0/ports", {"port": {**member, "binding:host_id": "h1"}})
        follower = Follower(api, "h1")
        await follower.begin()

        async def asked(since: int, history: str = group_changes.HISTORY) -> SwitchState:
            found: SwitchState = await api.switch(
                "h1",
                devices=(),
                networks=(),
                address_groups=(),
                security_groups=(group,),
                groups_since=since,
                groups_history=history,
            )
            return found

        for _ in range(3):
            await api.make("port", **member)
        begun = follower.model.position
        state = await asked(begun)
        assert not state.security_groups and len(state.group_changes[0].joined) == 3
        for since in (0, state.position + 1):
            again = await asked(since)
            assert not again.group_changes and len(again.security_groups[0].member_ips) == 4
        # Another run of a server may be over another copy of the database.
        assert (
            not (await asked(begun, "another")).group_changes and not (await asked(begun, "")).group_changes
        )
        nothing = await asked(state.position)
        assert nothing.group_changes[0].joined == nothing.group_changes[0].left == ()
        with monkeypatch.context() as patch:
            patch.setattr(group_changes, "FARTHEST", 2)
            assert not (await asked(begun)).group_changes
        await api.store.write(events_trim, api.clock.now() + dt.timedelta(days=1))
        gone = await asked(begun)
        assert not gone.group_changes and len(gone.security_groups[0].member_ips) == 4
        # Whom the host does not serve it is not told of.
        stranger = (await api.make("security_group", name="elsewhere"))["id"]
        await api.make("port", network_id=network, security_groups=[stranger])
        told = await api.switch(
            "h1",
            devices=(),
            networks=(),
            security_groups=(stranger,),
            groups_since=state.position,
            groups_history=state.history,
        )
        assert not told.group_changes and not told.security_groups

    tell(story, tmp_path)
