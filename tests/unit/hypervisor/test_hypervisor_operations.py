"""Operations of a node: each step once and in order, gone on with where it stood, undone where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.core.clock import ManualClock
from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.operations import OPERATIONS, NodeOperation, Operations
from pileus.host.hypervisor.records import Finished, Journal
from pileus.host.hypervisor.steps import Again, Steps
from pileus.wire.hypervisor import OperationReport, PendingOperation
from pileus.wire.hypervisor import Step as Told

from .bench import details, server_id

OPERATION = PendingOperation("op", "copy")
NAMES = ("a", "b", "c")


class Killed(BaseException):
    """The agent ends here."""


class World:
    """What lasts (a journal, what is done on the host), and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.did: list[str] = []
        self.steps: list[Told] = []
        self.reports: list[OperationReport] = []
        self.breaks: dict[str, BaseException] = {}
        self.journal = self.agent()

    def agent(self) -> Journal:
        """A new agent's journal, read from the file."""
        self.journal = Journal(self.folder, durable=False)
        self.journal.open()
        return self.journal

    def step(self, server_id: str, step: Told) -> None:
        self.steps.append(step)

    def operation(self, report: OperationReport) -> None:
        self.reports.append(report)

    def does(self, name: str) -> Callable[..., Awaitable[None]]:
        async def do(server: Any, operation: Any, hands: Any) -> None:
            self.did.append(name)
            if name in self.breaks:
                raise self.breaks[name]

        return do

    @property
    def table(self) -> dict[str, NodeOperation]:
        steps = (
            Step("a", self.does("a"), undo=self.does("-a")),
            Step("b", self.does("b")),
            Step("c", self.does("c"), undo=self.does("-c")),
        )
        return {"copy": NodeOperation(Chain("copy", steps))}

    async def carry_out(self, operation: PendingOperation = OPERATION) -> None:
        hands: Any = None
        steps = Steps(self, ManualClock())
        await Operations(hands, self.journal, steps, self, self.table).carry_out(details(1), operation)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_steps_in_order_and_the_end_is_told(world: World) -> None:
    asyncio.run(world.carry_out())
    assert world.did == [*NAMES]
    assert world.reports == [OperationReport("op")]
    assert world.journal.operations["op"] == Finished(server_id(1), done=True)
    assert [one.name for one in world.steps] == ["operation.copy"]


@pytest.mark.parametrize("name", NAMES)
def test_each_step_fails_and_what_was_done_is_undone(world: World, name: str) -> None:
    world.breaks[name] = ValueError(f"{name} is broken")
    asyncio.run(world.carry_out())
    undone = {"a": ["-a"], "b": ["-a"], "c": ["-c", "-a"]}[name]
    assert world.did == [*NAMES[: NAMES.index(name) + 1], *undone]
    assert world.reports == [OperationReport("op", f"{name} is broken")]
    assert world.steps[0].error == f"{name} is broken"


ENDS = {False: [*NAMES], True: [*NAMES, "-c", "-a"]}


@pytest.mark.parametrize(("fails", "at"), [(fails, name) for fails, names in ENDS.items() for name in names])
def test_an_agent_killed_in_each_step_goes_on_there(world: World, fails: bool, at: str) -> None:
    """A step that was under way is done again, those before it are not; undoing goes on as well."""
    broken: dict[str, BaseException] = {"c": ValueError("c is broken")} if fails else {}
    world.breaks = {**broken, at: Killed()}
    with pytest.raises(Killed):
        asyncio.run(world.carry_out())
    names = ENDS[fails]
    assert world.did == names[: names.index(at) + 1]
    world.did, world.breaks = [], broken
    world.agent()
    asyncio.run(world.carry_out())
    assert world.did == names[names.index(at) :]
    assert [report.error for report in world.reports] == ["c is broken" if fails else None]


def test_what_can_not_be_done_now_is_gone_on_with(world: World) -> None:
    world.breaks["b"] = Again("not now")
    for _ in range(2):
        with pytest.raises(Again):
            asyncio.run(world.carry_out())
    assert world.reports == []
    del world.breaks["b"]
    asyncio.run(world.carry_out())
    assert world.did == ["a", "b", "b", "b", "c"]
    assert world.reports == [OperationReport("op")]


def test_a_step_that_can_not_be_undone_keeps_none_before_it(world: World) -> None:
    world.breaks |= {"c": ValueError("c is broken"), "-c": ValueError("so is its undoing")}
    asyncio.run(world.carry_out())
    assert world.did == ["a", "b", "c", "-c", "-a"]
    assert world.reports == [OperationReport("op", "c is broken")]


def test_a_kind_that_no_host_knows(world: World) -> None:
    asyncio.run(world.carry_out(PendingOperation("op", "dance")))
    assert world.reports == [OperationReport("op", "This host does not know the operation dance.")]


def test_what_the_server_asks_of_a_node_the_node_knows() -> None:
    from pileus.services.compute.servers.chains import CHAINS
    from pileus.services.compute.servers.chains.on_node import ON_NODE

    kinds = {chain.kind for chain in CHAINS}
    assert {one.called for kind, one in ON_NODE.items() if kind in kinds} <= OPERATIONS.keys()
