"""The Placement API in the test cloud, beside compute and its scripted hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tests.api.compute import cloud as compute
from tests.api.compute.cloud import Cloud
from tests.asgi import Answer

LATEST = "1.39"
NEW = "20000000-0000-4000-8000-00000000000"


class Placement:
    """Speaks to Placement at one of its versions, as somebody."""

    def __init__(self, api: Cloud, person: str = "admin", version: str = LATEST) -> None:
        self.api, self.person, self.version = api, person, version

    def at(self, version: str) -> Placement:
        return Placement(self.api, self.person, version)

    def as_(self, person: str) -> Placement:
        return Placement(self.api, person, self.version)

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        said = {"openstack-api-version": f"placement {self.version}", **(headers or {})}
        return await self.api.as_(self.person).request(method, f"/placement{path}", body, said)

    async def get(self, path: str) -> Any:
        answer = await self("GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def provider(self, number: int, parent: str | None = None, **has: int) -> str:
        """A provider with inventories."""
        key = f"{NEW}{number}"
        body = {"uuid": key, "name": f"p{number}", "parent_provider_uuid": parent}
        assert (await self("POST", "/resource_providers", body)).status == 200
        if has:
            await self.inventories(key, **has)
        return key

    async def inventories(self, key: str, **has: Any) -> None:
        """Give a provider inventories beside those that it has; a number is a total."""
        now = await self.get(f"/resource_providers/{key}/inventories")
        new = {name: one if isinstance(one, dict) else {"total": one} for name, one in has.items()}
        body = {**now, "inventories": {**now["inventories"], **new}}
        answer = await self("PUT", f"/resource_providers/{key}/inventories", body)
        assert answer.status == 200, answer

    async def traits(self, key: str, *names: str) -> None:
        for name in names:
            if name.startswith("CUSTOM_"):
                assert (await self("PUT", f"/traits/{name}")).status in (201, 204)
        now = await self.get(f"/resource_providers/{key}/traits")
        answer = await self("PUT", f"/resource_providers/{key}/traits", {**now, "traits": list(names)})
        assert answer.status == 200, answer

    async def host(self, name: str) -> str:
        """The id of the provider that a host is."""
        found = (await self.get(f"/resource_providers?name={name}.example"))["resource_providers"]
        key: str = found[0]["uuid"]
        return key

    async def give(self, consumer: str, allocations: Any, generation: int | None = None) -> Answer:
        body = {
            "allocations": allocations,
            "project_id": "p",
            "user_id": "u",
            "consumer_generation": generation,
            "consumer_type": "RACK",
        }
        return await self("PUT", f"/allocations/{consumer}", body)


def tell(story: Callable[[Cloud, Placement], Awaitable[None]], tmp_path: Path, **options: Any) -> None:
    """Tell a story on each database."""

    async def told(api: Cloud) -> None:
        await story(api, Placement(api))

    compute.tell(told, tmp_path, **options)
