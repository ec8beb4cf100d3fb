"""Lists of the image API. Source: Image service API v2 reference."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.image.image_cloud import P1, Cloud, cloud
from tests.api.reference.runner import Example, Operations, Scene
from tests.waiting import eventually


def _as_admin(parameters: Mapping[str, str | Example]) -> dict[str, Example]:
    """The same, asked by an administrator."""
    examples = {name: Example(one) if isinstance(one, str) else one for name, one in parameters.items()}
    return {name: one._replace(person="admin") for name, one in examples.items()}


OPERATIONS: Operations = {
    "/v2/images": {
        "limit": "limit=1",
        "marker": "marker={second}",
        "name": "name=second",
        "owner": Example("owner={project}", person="admin"),
        "protected": "protected=true",
        "status": "status=active",
        "tag": "tag=ready",
        "visibility": "visibility=shared",
        "os_hidden": "os_hidden=true",
        "member_status": Example("member_status=all", person="bob"),
        "size_max": "size_max=3",
        "size_min": "size_min=4",
        "created_at": "created_at=gt:{between}",
        "updated_at": "updated_at=lt:{between}",
        "sort_key": "sort_key=name",
        "sort_dir": Example("sort_dir=asc", without="sort_dir=desc"),
        "sort": "sort=name:desc",
        # told in the text of the operation: attributes and properties filter, values of some after in:
        "id": "id=in:{first},{second}",
        "container_format": "container_format=ovf",
        "disk_format": "disk_format=in:qcow2,vmdk",
        "os_distro": "os_distro=debian",
    },
    "/v2/images/{image_id}/members": {},
    "/v2/images/{image_id}/tasks": {},
    "/v2/tasks": _as_admin(
        {
            "limit": "limit=1",
            "marker": "marker={task}",
            "status": "status=failure",
            "type": "type=import",
            "sort_key": Example("sort_key=status", without="sort_key=status&sort_dir=asc"),
            "sort_dir": Example("sort_dir=asc", without="sort_dir=desc"),
        }
    ),
    "/v2/metadefs/namespaces": {
        "limit": "limit=1",
        "marker": "marker=OS::Compute::Watchdog",
        "visibility": "visibility=private",
        "resource_types": "resource_types=OS::Trove::Instance",
        "sort_key": "sort_key=namespace",
        "sort_dir": Example("sort_key=namespace&sort_dir=asc", without="sort_key=namespace&sort_dir=desc"),
    },
    "/v2/metadefs/resource_types": {},
    "/v2/metadefs/namespaces/{namespace}/resource_types": {},
    "/v2/metadefs/namespaces/{namespace}/properties": {},
    "/v2/metadefs/namespaces/{namespace}/objects": {"limit": "limit=1", "marker": "marker=one"},
    "/v2/metadefs/namespaces/{namespace}/tags": {"limit": "limit=1", "marker": "marker=a"},
}
NO_LISTS = {
    "/versions",
    "/v2",
    "/v2/images/{image_id}/file",
    "/v2/info/import",
    "/v2/info/stores",
    "/v2/info/usage",
}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Images that differ in everything that a list can ask for."""
    with databases.fresh("sqlite", folder) as url:
        async with cloud(url, folder / "images") as api:
            facts = {**await _fill(api), **await _fill_tasks(api), "namespace": await _fill_namespace(api)}

            async def ask(person: str, version: str, path: str) -> tuple[int, Any]:
                answer = await api.as_(person or "alice")("GET", path)
                return answer.status, answer.json

            yield Scene(api.images.service, ask, facts)


async def _fill_tasks(api: Cloud) -> dict[str, str]:
    """Tasks of both kinds: what they fetch is refused, as this host's own addresses are."""
    admin = api.as_("admin")
    given = {"import_from": "http://localhost/x", "import_from_format": "raw", "image_properties": {}}
    made = await admin("POST", "/v2/tasks", {"type": "import", "input": given})
    assert made.status == 201, made
    task = made.json["id"]

    async def ended() -> bool:
        return bool((await admin("GET", f"/v2/tasks/{task}")).json["status"] == "failure")

    await eventually(ended)
    api.clock.advance(1)
    image = (await api.make())["id"]
    assert (await api("PUT", f"/v2/images/{image}/stage", data=[b"x"])).status == 204
    direct = {"method": {"name": "glance-direct"}}
    assert (await api("POST", f"/v2/images/{image}/import", direct)).status == 202
    tasks = (await admin("GET", "/v2/tasks")).json["tasks"]
    return {"task": tasks[0]["id"], "image_id": image}


async def _fill_namespace(api: Cloud) -> str:
    """A namespace with two of each; the usual ones are there."""
    admin = api.as_("admin")
    body = {
        "namespace": "N",
        "owner": P1,
        "objects": [{"name": "one"}, {"name": "two"}],
        "tags": [{"name": "a"}, {"name": "b"}],
    }
    assert (await admin("POST", "/v2/metadefs/namespaces", body)).status == 201
    return "N"


async def _fill(api: Cloud) -> dict[str, str]:
    first = await api.make(b"abc", name="third", tags=["ready"], protected=True)
    api.clock.advance(10)
    between = api.clock.now().isoformat() + "Z"
    api.clock.advance(10)
    second = await api.make(b"abcd", name="second", os_distro="debian", visibility="private")
    api.clock.advance(10)
    third = await api.make(name="first", disk_format="qcow2", container_format="ovf")
    await api.make(name="hidden", os_hidden=True)
    await api.as_("bob").make(name="pending")
    await api.as_("admin").make(name="of an administrator")
    shared = f"/v2/images/{third['id']}/members"
    assert (await api("POST", shared, {"member": "2" * 32})).status == 200
    return {"first": first["id"], "second": second["id"], "between": between, "project": P1}
