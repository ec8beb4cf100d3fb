"""Operations and leases: one owner at a time, and work that survives its owner."""

from __future__ import annotations

import asyncio
import datetime as dt

import msgspec
from tests.store.things import NOW, RUN_S, new_id, opened, run

from pileus.store import Store, lease_release, lease_take
from pileus.store.operations import (
    DONE,
    FAILED,
    PENDING,
    RUNNING,
    WAITING,
    Operation,
    operation_create,
    operation_end,
    operation_get,
    operation_go_on,
    operation_list_claimable,
    operation_list_of,
    operation_list_waiting,
    operation_move,
    operation_take,
)


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def test_a_lease_is_taken_by_one_of_many_and_by_another_when_it_has_run_out(url: str) -> None:
    name = new_id()

    async def main() -> None:
        async with asyncio.timeout(RUN_S), opened(url) as one, opened(url) as two:

            async def take(owner: int, now: dt.datetime) -> bool:
                store = (one, two)[owner % 2]
                return await store.write(lease_take, name, f"owner-{owner}", 10, now)

            first = await asyncio.gather(*(take(owner, NOW) for owner in range(16)))
            assert sum(first) == 1
            holder = first.index(True)
            assert await take(holder, later(5)), "the owner keeps it"
            assert not any(await asyncio.gather(*(take(owner, later(14)) for owner in range(16, 20))))
            second = await asyncio.gather(*(take(owner, later(15)) for owner in range(16, 32)))
            assert sum(second) == 1
            assert not await take(holder, later(16))
            assert not await one.write(lease_release, name, f"owner-{holder}")
            assert await one.write(lease_release, name, f"owner-{16 + second.index(True)}")
            assert await take(holder, later(16))

    asyncio.run(main())


def test_an_operation_has_one_owner_and_moves_step_by_step(url: str) -> None:
    name, resource = new_id(), new_id()

    async def story(store: Store) -> None:
        def create(tx):  # type: ignore[no-untyped-def]
            return operation_create(
                tx, operation_id=name, kind="server.reboot", resource_id=resource, step="stop", now=NOW
            )

        created = await store.write(create)
        assert await store.read(operation_get, name) == created
        assert [o.id for o in await store.read(operation_list_of, resource)] == [name]

        takers = await asyncio.gather(
            *(store.write(operation_take, name, f"worker-{n}", later(30), NOW) for n in range(8))
        )
        owners = [taken.owner for taken in takers if taken is not None]
        assert len(owners) == 1
        owner = owners[0]
        assert owner is not None

        taken = next(one for one in takers if one is not None)

        async def move(before: Operation, **changes: object) -> bool:
            after = msgspec.structs.replace(before, updated_at=later(1), **changes)
            return await store.write(operation_move, before, after)

        step = {"step": "start", "data": {"domain": 1}, "deadline": later(60)}
        assert not await move(msgspec.structs.replace(taken, owner="somebody"), **step)
        assert await move(taken, **step)
        assert not await move(taken, **step), "a step is done once"
        at_start = await store.read(operation_get, name)
        assert at_start is not None
        end = {"owner": None, "deadline": None}
        assert await move(at_start, state=DONE, **end)
        assert not await move(at_start, state=FAILED, error="late", **end)
        done = await store.read(operation_get, name)
        assert done is not None
        assert (done.state, done.step, done.owner, done.data) == (DONE, "start", None, {"domain": 1})
        assert done.error is None
        assert await store.write(operation_take, name, owner, later(90), later(80)) is None
        assert await store.read(operation_list_of, resource) == []

    run(story, url)


def test_an_abandoned_operation_is_found_and_taken_over(url: str) -> None:
    name = new_id()

    async def story(store: Store) -> None:
        def create(tx):  # type: ignore[no-untyped-def]
            operation_create(
                tx, operation_id=name, kind="server.migrate", resource_id="s", step="copy", now=NOW
            )

        async def abandoned(now: dt.datetime) -> bool:
            found = await store.read(operation_list_claimable, ["server.migrate", "server.boot"], now)
            assert name not in await store.read(operation_list_claimable, ["server.boot"], now)
            return name in found

        await store.write(create)
        assert await abandoned(NOW), "nobody has taken it yet"
        first = await store.write(operation_take, name, "first", later(30), NOW)
        assert first is not None
        assert first.state == RUNNING
        assert not await abandoned(later(29))
        assert await store.write(operation_take, name, "second", later(60), later(29)) is None
        assert await abandoned(later(30))
        second = await store.write(operation_take, name, "second", later(60), later(30))
        assert second is not None
        assert not await store.write(operation_move, first, ended(first, FAILED))
        assert await store.write(operation_move, second, ended(second, FAILED))

    run(story, url)


def ended(operation: Operation, state: str) -> Operation:
    return msgspec.structs.replace(operation, state=state, owner=None, deadline=None, error="no room")


def test_a_waiting_operation_goes_on_once_or_is_taken_when_its_time_is_over(url: str) -> None:
    names = [new_id() for _ in range(4)]
    kind = f"test.{new_id()}"

    async def story(store: Store) -> None:
        def create(tx):  # type: ignore[no-untyped-def]
            for name in names:
                operation_create(
                    tx,
                    operation_id=name,
                    kind=kind,
                    resource_id=f"of-{name}",
                    step="node",
                    now=NOW,
                    waits_until=later(60),
                )

        await store.write(create)
        assert [one.id for one in await store.read(operation_list_waiting, [kind])] == sorted(names)
        assert await store.read(operation_list_claimable, [kind], later(59)) == []
        assert await store.write(operation_take, names[0], "eager", later(90), later(59)) is None

        def go_on(tx, ids, to):  # type: ignore[no-untyped-def]
            return operation_go_on(tx, ids, from_step="node", to_step=to, now=later(1))

        assert await store.write(go_on, names[:1], "close") == 1
        assert await store.write(go_on, names[:1], "close") == 0
        assert await store.write(go_on, names[1:2], None) == 1
        assert await store.read(operation_list_claimable, [kind], later(59)) == names[:1]
        states = [await store.read(operation_get, name) for name in names[:2]]
        assert [(one.state, one.step) for one in states if one] == [(PENDING, "close"), (DONE, "node")]

        # the others' time is over: one takes it, and it says that it has waited
        assert set(await store.read(operation_list_claimable, [kind], later(60))) == {names[0], *names[2:]}
        late = await store.write(operation_take, names[2], "late", later(90), later(60))
        assert late is not None
        assert (late.state, late.owner) == (WAITING, "late")
        assert await store.write(operation_take, names[2], "later", later(90), later(61)) is None

        def end(tx):  # type: ignore[no-untyped-def]
            operation_end(tx, FAILED, later(62), resource_ids=[f"of-{names[3]}"], error="gone")
            operation_end(tx, DONE, later(62), ids=[names[1]], error="never")
            operation_end(tx, DONE, later(62), ids=[names[2]], kinds=["test.other"])

        await store.write(end)
        states = [await store.read(operation_get, name) for name in names[1:]]
        assert [(one.state, one.error) for one in states if one] == [
            (DONE, None),
            (WAITING, None),
            (FAILED, "gone"),
        ]

    run(story, url)
