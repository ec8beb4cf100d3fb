"""Operations and leases: one owner at a time, and work that survives its owner."""

from __future__ import annotations

import asyncio
import datetime as dt

from tests.store.things import NOW, new_id, opened, run

from pileus.store import Store, lease_release, lease_take
from pileus.store.operations import (
    DONE,
    FAILED,
    operation_advance,
    operation_create,
    operation_finish,
    operation_get,
    operation_list_abandoned,
    operation_list_of,
    operation_take,
)


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def test_a_lease_is_taken_by_one_of_many_and_by_another_when_it_has_run_out(url: str) -> None:
    name = new_id()

    async def main() -> None:
        async with asyncio.timeout(30), opened(url) as one, opened(url) as two:

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

        async def advance(who: str, before: str, after: str) -> bool:
            return await store.write(
                lambda tx: operation_advance(
                    tx,
                    name,
                    who,
                    from_step=before,
                    to_step=after,
                    data={"domain": 1},
                    deadline=later(60),
                    now=later(1),
                )
            )

        assert not await advance("somebody", "stop", "start")
        assert await advance(owner, "stop", "start")
        assert not await advance(owner, "stop", "start"), "a step is done once"
        assert await store.write(operation_finish, name, owner, DONE, later(2))
        assert not await store.write(operation_finish, name, owner, FAILED, later(3), "late")
        done = await store.read(operation_get, name)
        assert done is not None
        assert (done.state, done.step, done.owner, done.data) == (DONE, "start", None, {"domain": 1})
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
            return name in {o.id for o in await store.read(operation_list_abandoned, now)}

        await store.write(create)
        assert await abandoned(NOW), "nobody has taken it yet"
        assert await store.write(operation_take, name, "first", later(30), NOW)
        assert not await abandoned(later(29))
        assert await store.write(operation_take, name, "second", later(60), later(29)) is None
        assert await abandoned(later(30))
        assert await store.write(operation_take, name, "second", later(60), later(30))
        assert not await store.write(operation_finish, name, "first", DONE, later(31))
        assert await store.write(operation_finish, name, "second", FAILED, later(31), "no room")

    run(story, url)
