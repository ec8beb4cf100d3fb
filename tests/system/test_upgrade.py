"""A state folder of an earlier version starts under this one, with everything in it.

``upgrade/state-0010.tar.xz`` was made by a simulated cloud of one host at migration 0010, when migrations had
one line for all services: a project with a user, an external network, a router, a floating IP, a port with a
group, a QoS policy and a tag, an image, a key, a running server and one that is off, and an application
credential. Paths in it read ``@STATE@``.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import Cloud, short_folder, until

from pileus.app import privileges

STATE = Path(__file__).with_name("upgrade") / "state-0010.tar.xz"
NETWORK, COMPUTE, IMAGE, IDENTITY = "/networking/v2.0", "/compute/v2.1", "/image/v2", "/identity/v3"
CREDENTIAL = {
    "id": "89b2355ce70c4839adcde76013ebff32",
    "secret": "ZcnxU1eC1QHyX-L07lSGMjnb0HZrmqF9mPwK6p_vB-5eg67qiOEoFAuGtuWRkJ6LilzOHniWEkbka5vixZ3iGA",
}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with short_folder() as folder:
        state = folder / "c"
        with tarfile.open(STATE) as kept:
            kept.extractall(state, filter="data")
        for file in (state / "hosts").rglob("*"):
            if file.is_file() and b"@STATE@" in (content := file.read_bytes()):
                file.write_bytes(content.replace(b"@STATE@", str(state).encode()))
        _own(state)
        cloud = Cloud(state, "--simulated", hosts=1)
        try:
            cloud.up()
            yield cloud
        finally:
            cloud.end()


def _own(state: Path) -> None:
    """Give its folders to the user that they belonged to."""
    if os.geteuid() != 0:
        return
    user = privileges.ensure_user("pileus")
    for top in ("db", "hosts", "images", "keys"):
        for path in (state / top, *(state / top).rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def test_everything_is_there_and_goes_on(cloud: Cloud) -> None:
    def one(path: str, kind: str, **match: str) -> Any:
        found = [x for x in cloud.api.call("GET", path)[kind] if match.items() <= x.items()]
        assert len(found) == 1, (path, match, found)
        return found[0]

    assert one(f"{IDENTITY}/projects", "projects", name="team")["enabled"]
    user = one(f"{IDENTITY}/users", "users", name="alice")
    project = one(f"{IDENTITY}/projects", "projects", name="team")["id"]
    login = {
        "methods": ["password"],
        "password": {"user": {"id": user["id"], "password": "alice-password"}},
    }
    scoped = {"auth": {"identity": login, "scope": {"project": {"id": project}}}}
    assert cloud.api.ask("POST", f"{IDENTITY}/auth/tokens", scoped).status == 201
    robot = {"methods": ["application_credential"], "application_credential": CREDENTIAL}
    assert cloud.api.ask("POST", f"{IDENTITY}/auth/tokens", {"auth": {"identity": robot}}).status == 201

    port = one(f"{NETWORK}/ports", "ports", name="own")
    assert port["tags"] == ["kept"]
    assert port["qos_policy_id"] == one(f"{NETWORK}/qos/policies", "policies", name="slow")["id"]
    assert port["security_groups"] == [one(f"{NETWORK}/security-groups", "security_groups", name="web")["id"]]
    address = one(f"{NETWORK}/floatingips", "floatingips", port_id=port["id"])
    assert address["floating_ip_address"] == "198.51.100.5"
    router = one(f"{NETWORK}/routers", "routers", name="gate")
    assert router["external_gateway_info"]["network_id"] == address["floating_network_id"]

    image = one(f"{IMAGE}/images", "images", name="disk")
    assert cloud.api.ask("GET", f"{IMAGE}/images/{image['id']}/file").body == b"Pileus" * 100
    assert one(f"{COMPUTE}/os-keypairs", "keypairs")["keypair"]["name"] == "mine"
    server = one(f"{COMPUTE}/servers/detail", "servers", name="one")
    assert (server["status"], server["metadata"]) == ("ACTIVE", {"tier": "web"})
    other = one(f"{COMPUTE}/servers/detail", "servers", name="two")
    assert other["status"] == "SHUTOFF"

    # It goes on: a port that was active is again, a server that was off starts, a new one is made.
    until(lambda: cloud.api.status(port["id"]) == "ACTIVE")
    path = f"{COMPUTE}/servers/{other['id']}"
    assert cloud.api.ask("POST", f"{path}/action", {"os-start": None}).status == 202
    until(lambda: cloud.api.call("GET", path)["server"]["status"] == "ACTIVE")
    network = one(f"{NETWORK}/networks", "networks", name="inner")["id"]
    spec = {
        "name": "three",
        "imageRef": image["id"],
        "flavorRef": server["flavor"]["id"],
        "networks": [{"uuid": network}],
    }
    made = cloud.api.call("POST", f"{COMPUTE}/servers", {"server": spec})["server"]["id"]
    until(lambda: cloud.api.call("GET", f"{COMPUTE}/servers/{made}")["server"]["status"] == "ACTIVE")
    assert cloud.api.ask("DELETE", f"{COMPUTE}/servers/{server['id']}").status == 204
    until(lambda: cloud.api.ask("GET", f"{COMPUTE}/servers/{server['id']}").status == 404)


MOVED = {"network_segments": "segments"}
"""Tables whose rows a migration put into another one."""


def test_no_row_is_lost(cloud: Cloud, tmp_path: Path) -> None:
    """Every table of before has at least its rows of before, but for those that nothing asks for."""
    with tarfile.open(STATE) as kept:
        kept.extract("db/pileus.db", tmp_path, filter="data")
    before, after = _counts(tmp_path / "db" / "pileus.db"), _counts(cloud.folder.database)
    gone = {"alembic_version", "scope_positions"}
    before["qos_rules"] = before.get("qos_rules", 0) + before.pop("qos_bandwidth_limits", 0)
    lost = {name: (count, after.get(name)) for name, count in before.items()
            if name not in gone and after.get(MOVED.get(name, name), 0) < count}  # fmt: skip
    assert not lost, lost


def _counts(file: Path) -> dict[str, int]:
    with sqlite3.connect(file) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
