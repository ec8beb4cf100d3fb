"""Tokens of a domain or of the system open nothing at the services of projects, whatever roles they have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.api.compute.cloud import IMAGE, PEOPLE, Cloud, tell
from tests.api.image.image_cloud import PEOPLE as IMAGE_PEOPLE
from tests.api.image.image_cloud import Cloud as ImageCloud
from tests.api.image.image_cloud import tell as tell_image

from pileus.core.clock import ManualClock
from pileus.core.context import Context

ROLES = ("admin", "manager", "member", "reader")
_NOW = ManualClock().now()
SCOPES = {
    "of a domain": Context(now=_NOW, user_id="u9", domain_id="d" * 32, roles=ROLES),
    "of the system": Context(now=_NOW, user_id="u9", system_scope=True, roles=ROLES, is_admin=True),
}

PUBLIC = {
    "/v2.1/extensions",
    "/v2.1/extensions/{alias}",
    "/v2.0/extensions",
    "/v2.0/extensions/{alias}",
    "/v2.1/flavors/{id}",  # Nova asks no rule of who looks at a flavor
    "/v2.0/quotas/tenant",  # the caller's own project, of which there is none
    "/v2.0/quotas/project",
}


def _empty(content: object) -> bool:
    lists = (
        [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    )
    return bool(lists) and not any(lists)


@pytest.mark.parametrize("who", SCOPES)
def test_networks_and_servers_are_for_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setitem(PEOPLE, who, SCOPES[who])

    async def story(cloud: Cloud) -> None:
        host = await cloud.host()
        network_id = await cloud.a_network()
        server = await cloud.boot(host)
        admin, stranger = cloud.as_("admin"), cloud.as_(who)
        ids = {"servers": server["id"], "networks": network_id, "flavors": "1"}
        for kind in ("ports", "subnets", "security-groups"):
            found = (await admin("GET", f"/networking/v2.0/{kind}")).json[kind.replace("-", "_")]
            ids[kind] = found[0]["id"]

        opened = []
        for service in cloud.app.services:
            for route in service.routes:
                if not route.authenticated or route.path in PUBLIC or route.method not in ("GET", "DELETE"):
                    continue
                parts = route.path.strip("/").split("/")
                path = "/".join(
                    ids.get(parts[at - 1], "x") if part.startswith("{") else part
                    for at, part in enumerate(parts)
                )
                answer = await _ask(stranger, route.method, f"{service.prefix}/{path}")
                shown = answer[0] < 400 and not _empty(answer[1])
                if shown:
                    opened.append(f"{route.method} {path}: {answer}")
        assert not opened, "\n".join(opened)

        for path, body in (
            ("/networking/v2.0/networks", {"network": {"name": "x", "project_id": "1" * 32}}),
            ("/networking/v2.0/ports", {"port": {"network_id": network_id}}),
            ("/servers", {"server": {"name": "x", "flavorRef": "1", "imageRef": IMAGE, "networks": "none"}}),
            (f"/servers/{server['id']}/action", {"os-stop": None}),
            ("/flavors", {"flavor": {"name": "x", "ram": 1, "disk": 1, "vcpus": 1}}),
            ("/os-server-groups", {"server_group": {"name": "x", "policy": "affinity"}}),
        ):
            assert (await stranger("POST", path, body)).status in (403, 404), path
        assert (await cloud.server(server["id"]))["status"] == "ACTIVE"
        assert (await cloud("GET", f"/networking/v2.0/ports/{ids['ports']}")).status == 200

    tell(story, tmp_path)


async def _ask(cloud: Cloud, method: str, path: str) -> tuple[int, object]:
    short = path.removeprefix("/compute/v2.1") if path.startswith("/compute") else path
    answer = await cloud(method, short)
    return answer.status, answer.json


@pytest.mark.parametrize("who", SCOPES)
def test_images_are_for_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setitem(IMAGE_PEOPLE, who, SCOPES[who])

    async def story(cloud: ImageCloud) -> None:
        made = await cloud.as_("admin")("POST", "/v2/images", {"name": "x", "visibility": "public"})
        one = f"/v2/images/{made.json['id']}"
        stranger = cloud.as_(who)
        for method, path, body in (
            ("GET", "/v2/images", None),
            ("POST", "/v2/images", {"name": "y"}),
            ("GET", one, None),
            ("PATCH", one, [{"op": "replace", "path": "/name", "value": "y"}]),
            ("GET", f"{one}/file", None),
            ("GET", f"{one}/members", None),
            ("POST", f"{one}/actions/deactivate", None),
            ("DELETE", one, None),
        ):
            assert (await stranger(method, path, body)).status in (403, 404), (method, path)

    tell_image(story, tmp_path)
