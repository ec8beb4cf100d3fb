"""Units of work take batches: several things cost no more statements than one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.api.identity.cloud import Cloud

from pileus.core.context import system_context
from pileus.resource.check import check_create
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.catalog.endpoints import ENDPOINTS
from pileus.services.identity.catalog.regions import REGIONS
from pileus.services.identity.catalog.services import SERVICES
from pileus.services.identity.groups.noun import GROUPS
from pileus.services.identity.projects.declared import PROJECTS
from pileus.services.identity.projects.domains import DOMAINS
from pileus.services.identity.roles.noun import ROLES
from pileus.services.identity.users.declared import USERS
from pileus.web.crud import Crud

NAMED: dict[str, Any] = {"enabled": False}
EVERY = (
    (DOMAINS, NAMED, {"description": "x"}),
    (PROJECTS, {}, {"enabled": False, "tags": ["a"]}),
    (USERS, {}, {"enabled": False}),
    (GROUPS, {}, {"description": "x"}),
    (ROLES, {}, {"description": "x"}),
    (REGIONS, None, {"description": "x"}),
    (SERVICES, {"type": "thing"}, {"enabled": False}),
    (ENDPOINTS, None, {"enabled": False}),
)


@pytest.mark.parametrize(("crud", "more", "changes"), EVERY, ids=lambda one: getattr(one, "resource", ""))
def test_several_cost_as_many_statements_as_one(
    quick: Callable[..., None], crud: Crud, more: dict[str, Any] | None, changes: dict[str, Any]
) -> None:
    async def story(cloud: Cloud) -> None:
        service = (await cloud.admin("GET", "/v3/services")).json["services"][0]["id"]
        counts = [await _life(cloud, crud, more, changes, number, service) for number in (1, 5)]
        assert counts[0] == counts[1]

    quick(story)


async def _life(
    cloud: Cloud, crud: Crud, more: dict[str, Any] | None, changes: dict[str, Any], number: int, service: str
) -> list[int]:
    """Create, update and delete some; the statements of each."""
    context, resource = system_context(cloud.clock.now()), crud.resource
    assert crud.create is not None
    assert crud.update is not None
    assert crud.delete is not None
    bodies = [{"name": f"{number}-{at}", **(more or {})} for at in range(number)]
    if resource.name == "region":
        bodies = [{"id": f"{number}-{at}"} for at in range(number)]
    elif resource.name == "endpoint":
        bodies = [{"service_id": service, "interface": "public", "url": "http://x"}] * number
    specs = [check_create(resource, context, body) for body in bodies]
    counts = []

    async def run(work: Callable[..., Any], *args: Any) -> Any:
        before = cloud.store.statements
        found = await cloud.store.write(work, context, *args)
        counts.append(cloud.store.statements - before)
        return found

    made = await run(crud.create, specs)
    keys = [one["id"] for one in made]
    originals = await cloud.store.read(fetch, resource, keys)
    updates = [Update(one, Values(changes)) for one in originals]
    changed = await run(crud.update, updates)
    assert len(changed) == number
    await run(crud.delete, await cloud.store.read(fetch, resource, keys))
    assert not await cloud.store.read(fetch, resource, keys)
    return counts
