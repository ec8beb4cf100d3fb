"""The demo's external network takes nothing away that the machine reaches."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from pileus.app.commands import demo
from pileus.app.commands.external_range import (
    CANDIDATES,
    BadRange,
    ExternalRange,
    NoRangeLeft,
    Occupied,
    RangeTaken,
    choose,
    laid_out,
    occupied_by,
)
from pileus.core.errors import Fault

OURS = "pileus-host"


def facts(**found: Any) -> list[Occupied]:
    given: dict[str, Any] = {"routes": [], "links": [], "neighbours": [], "resolvers": [], "ours": OURS}
    return occupied_by(**(given | found))


def test_a_machine_that_reaches_nothing_there_gets_the_first() -> None:
    ordinary = facts(
        routes=[
            {"dst": "default", "gateway": "192.168.1.1", "dev": "eth0"},
            {"dst": "0.0.0.0/1", "dev": "tun0"},
            {"dst": "128.0.0.0/1", "dev": "tun0"},
            {"dst": "192.168.1.0/24", "dev": "eth0"},
            {"type": "broadcast", "dst": "203.0.113.255", "dev": "gone"},
        ],
        links=[{"ifname": "eth0", "addr_info": [{"local": "192.168.1.5", "prefixlen": 24}]}],
        resolvers=["# a comment", "nameserver 192.168.1.1", "nameserver fd00::1", "nameserver", "search x"],
    )
    assert choose(ordinary) == ExternalRange(
        "203.0.113.0/24", "203.0.113.1", ("203.0.113.10", "203.0.113.254")
    )
    assert choose(ordinary).address == "203.0.113.1/24"


@pytest.mark.parametrize(
    "found",
    [
        {"routes": [{"dst": "203.0.113.64/26", "dev": "eth0"}]},
        {"routes": [{"dst": "203.0.0.0/16", "dev": "eth0"}]},
        {"routes": [{"dst": "203.0.113.7", "dev": "eth0"}]},
        {"routes": [{"dst": "default", "gateway": "203.0.113.1", "dev": "eth0"}]},
        {"routes": [{"type": "blackhole", "dst": "203.0.113.0/24"}]},
        {"links": [{"ifname": "eth0", "addr_info": [{"local": "203.0.113.9", "prefixlen": 32}]}]},
        {"links": [{"ifname": "ppp0", "addr_info": [{"local": "1.2.3.4", "address": "203.0.113.9"}]}]},
        {"neighbours": [{"dst": "203.0.113.9", "dev": "eth0"}]},
        {"resolvers": ["nameserver 203.0.113.53"]},
    ],
)
def test_a_range_in_which_something_is_is_passed_over(found: dict[str, Any]) -> None:
    assert choose(facts(**found)).cidr == CANDIDATES[1]
    with pytest.raises(RangeTaken, match="is there"):
        choose(facts(**found), "203.0.113.0/24")


def test_what_an_earlier_demo_left_is_not_in_its_own_way() -> None:
    left = facts(
        routes=[{"dst": "203.0.113.0/24", "dev": OURS}],
        links=[{"ifname": OURS, "addr_info": [{"local": "203.0.113.1", "prefixlen": 24}]}],
        neighbours=[{"dst": "203.0.113.20", "dev": OURS}],
    )
    assert choose(left).cidr == CANDIDATES[0]


def test_where_nothing_is_left_it_is_said_what_to_do() -> None:
    everywhere = [Occupied(IPv4Network(one), "a route to") for one in CANDIDATES]
    with pytest.raises(NoRangeLeft, match="--external-range"):
        choose(everywhere)
    assert choose(everywhere, "198.18.7.0/28") == ExternalRange(
        "198.18.7.0/28", "198.18.7.1", ("198.18.7.2", "198.18.7.14")
    )


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.0/29", "10.0.0.0/7", "fd00::/64", "10.0.0.1", "127.0.0.0/24", "224.0.0.0/24"]
)
def test_what_can_be_no_range_is_refused(text: str) -> None:
    if text:
        with pytest.raises(BadRange):
            choose([], text)


def test_the_projects_own_range_is_none_either() -> None:
    with pytest.raises(RangeTaken, match="project network"):
        choose([], "10.20.0.0/16", [demo.PRIVATE_CIDR])
    assert all(not IPv4Network(one).overlaps(IPv4Network(demo.PRIVATE_CIDR)) for one in CANDIDATES)
    assert all(laid_out(IPv4Network(one)).gateway.endswith(".1") for one in CANDIDATES)


class FakeApi:
    """An API with what an earlier run made."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.acted: list[str] = []

    def get(self, path: str) -> Any:
        if "auth/projects" in path:
            return {"projects": [{"id": "p"}]}
        if path.endswith("os-pileus-timeline"):
            return {"timeline": []}
        return next(answer for part, answer in self.answers.items() if part in path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.acted += list(body)
        return {"output": "pileus-guest: metadata\npileus-guest: ssh ready\n"}


def test_a_second_run_uses_the_range_that_there_is(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pileus.app.state import StateFolder

    monkeypatch.setattr(demo.demo_machine, "occupied", list)
    pool = {"start": "198.51.100.10", "end": "198.51.100.254"}
    subnet = {"cidr": "198.51.100.0/24", "gateway_ip": "198.51.100.1", "allocation_pools": [pool]}
    shown = demo.Demo(StateFolder(tmp_path), FakeApi(subnets={"subnets": [subnet]}))  # type: ignore[arg-type]
    assert shown._external_range("") == laid_out(IPv4Network("198.51.100.0/24"))
    assert shown._external_range("198.51.100.0/24").cidr == "198.51.100.0/24"
    with pytest.raises(Fault, match=r"has 198\.51\.100\.0/24 already"):
        shown._external_range("203.0.113.0/24")
    fresh = demo.Demo(StateFolder(tmp_path), FakeApi(subnets={"subnets": []}))  # type: ignore[arg-type]
    assert fresh._external_range("").cidr == CANDIDATES[0]


def test_what_is_off_is_started_and_what_does_not_stay_on_is_said_at_once(tmp_path: Any) -> None:
    from pileus.app.state import StateFolder

    server = {"id": "s", "name": "demo-1", "status": "SHUTOFF", "OS-EXT-STS:task_state": None}
    api = FakeApi(servers={"servers": [server], "server": server})
    shown = demo.Demo(StateFolder(tmp_path), api)  # type: ignore[arg-type]
    with pytest.raises(Fault, match="does not stay on"):
        shown._wait_for_boot("demo-1", {"id": "s"})
    assert api.acted == ["os-start"] * 3
    server["status"] = "ACTIVE"
    api.acted.clear()
    shown._wait_for_boot("demo-1", {"id": "s"})
    assert "os-start" not in api.acted


def test_who_waits_for_long_looks_rarely() -> None:
    pauses = [demo.look_again_after(float(still)) for still in range(600)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.25, 5.0)


def test_an_emulated_guest_may_be_silent_for_longer(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pileus.app.state import StateFolder

    server = {"id": "s", "name": "demo-1", "status": "BUILD", "OS-EXT-STS:task_state": "spawning"}
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(demo.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(demo.time, "sleep", lambda _: None)
    for why, said in (("", "for 300 s"), ("no KVM here", "for 1200 s")):
        monkeypatch.setattr(demo.demo_machine, "why_emulated", lambda _, why=why: why)
        shown = demo.Demo(StateFolder(tmp_path), FakeApi(servers={"servers": [server], "server": server}))  # type: ignore[arg-type]
        with pytest.raises(Fault, match=said):
            shown._wait_for_boot("demo-1", {"id": "s"})
