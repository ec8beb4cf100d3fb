"""docs/adding-a-resource.md does what it says: its files are put into the service, its requests are sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, cloud

from pileus.services.network import service

PAGE = (Path(__file__).parents[3] / "docs" / "adding-a-resource.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
FILES = {
    text.partition("\n")[0].removeprefix("# "): text.partition("\n")[2]
    for kind, text in BLOCKS
    if kind == "python"
}
SOURCE = Path(service.__file__).parents[2]


def exchanges() -> Iterator[tuple[str, str, Any, int, Any]]:
    for kind, text in BLOCKS:
        if kind == "http":
            asked, answered = (part.split("\n", 1) for part in text.strip().split("\n\n"))
            method, path = asked[0].split()
            body = json.loads(asked[1]) if len(asked) > 1 else None
            yield method, path, body, int(answered[0]), json.loads(answered[1]) if len(answered) > 1 else None


def assert_shows(got: Any, promised: Any, where: str) -> None:
    """All that the page shows is there; null on the page stands for "not shown"."""
    if isinstance(promised, dict):
        assert isinstance(got, dict), where
        for key, value in promised.items():
            if value is None:
                assert key not in got, f"{where}.{key}"
            else:
                assert_shows(got.get(key), value, f"{where}.{key}")
    elif isinstance(promised, list):
        assert len(got) == len(promised), where
        for one, other in zip(got, promised, strict=True):
            assert_shows(one, other, where)
    else:
        assert got == promised, where


async def _scene(api: Cloud) -> dict[str, str]:
    """A floating IP that leads nowhere yet, and a port behind a router to the network outside."""
    admin = api.as_("admin")
    outside = await admin.make("network", name="outside", **{"router:external": True})
    await admin.make("subnet", network_id=outside["id"], ip_version=4, cidr="203.0.113.0/24")
    inside = await api.make("network", name="inside")
    subnet = await api.make("subnet", network_id=inside["id"], ip_version=4, cidr="10.0.0.0/24")
    router = await api.make("router", external_gateway_info={"network_id": outside["id"]})
    added = await api(
        "PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}
    )
    assert added.status == 200
    port = await api.make("port", network_id=inside["id"], fixed_ips=[{"ip_address": "10.0.0.5"}])
    floating = await api.make("floatingip", floating_network_id=outside["id"])
    return {"PORT": port["id"], "FLOATING_IP": floating["id"]}


def test_the_files_are_those_of_the_tree() -> None:
    assert len(FILES) == 7
    for name, text in FILES.items():
        below = SOURCE if name.startswith("store/") else SOURCE / "services" / "network"
        assert text == (below / name).read_text(), name


def test_the_page(tmp_path: Path) -> None:
    def with_ids(value: Any, ids: dict[str, str]) -> Any:
        text = json.dumps(value)
        for name, key in ids.items():
            text = re.sub(rf"(?<=[\"'/ ]){name}(?=[\"'/ ?])", key, text)
        return json.loads(text)

    async def main() -> int:
        url = f"sqlite:///{tmp_path / 'example.sqlite'}"
        databases.make_tables(url)
        seen = 0
        async with cloud(url, CONFIG) as api:
            ids = await _scene(api)
            for method, path, body, status, promised in exchanges():
                reply = await api(method, with_ids(path, ids), with_ids(body, ids))
                where = f"{method} {path}"
                assert reply.status == status, f"{where}: {reply.json}"
                if "ID" not in ids and '"ID"' in json.dumps(promised):
                    ids["ID"] = reply.json["port_forwarding"]["id"]
                if promised is not None:
                    assert_shows(reply.json, with_ids(promised, ids), where)
                seen += 1
        return seen

    assert asyncio.run(main()) == 11


def test_the_line_is_where_the_page_says() -> None:
    (diff,) = [text for kind, text in BLOCKS if kind == "diff"]
    lines = [line[1:] for line in diff.splitlines()]
    tuple_of_nouns = Path(service.__file__).read_text().splitlines()
    at = tuple_of_nouns.index(lines[0])
    assert tuple_of_nouns[at : at + len(lines)] == lines
