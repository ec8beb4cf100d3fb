"""The rights of the cloud's processes, where they listen, and secrets in files and logs."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from tests.clouds import (
    NETWORK,
    PILEUS,
    Cloud,
    simulated_cloud,
    until,
)

AS_ROOT = os.geteuid() == 0


def ports_of_process(pid: int) -> set[tuple[str, int]]:
    """The TCP addresses on which a process listens, from /proc."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if found := re.match(r"socket:\[(\d+)\]", str(link.readlink())):
            inodes.add(found[1])
    listening = set()
    for file, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{file}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                host, port = fields[1].split(":")
                words = [bytes.fromhex(host)[i : i + 4][::-1] for i in range(0, len(host) // 2, 4)]
                listening.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return listening


def _node(token: str) -> dict[str, str]:
    return {"X-Node-Token": token.strip()}


@pytest.mark.skipif(not AS_ROOT, reason="only root has rights to drop")
def test_the_server_has_no_rights_and_no_way_back(cloud: Cloud) -> None:
    status = Path(f"/proc/{cloud.pids()['server']}/status").read_text()
    user = pwd.getpwnam("pileus")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {str(user.pw_uid)}, "real, effective, saved and file system"
    assert set(fields["Gid"].split()) == {str(user.pw_gid)}
    assert fields["Groups"].split() == []
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0


def test_only_loopback_is_listened_on_unless_told(cloud: Cloud) -> None:
    pids = cloud.pids()
    host, _, port = cloud.address.rpartition(":")
    assert ports_of_process(pids["server"]) == {(host, int(port))}
    assert ports_of_process(pids["agent"]) == ports_of_process(pids["supervisor"]) == set()


def test_secrets_are_files_of_mode_0600_and_logs_are_not_for_everybody(cloud: Cloud) -> None:
    root = cloud.folder.root
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_file() and (
            path.parent.name in ("keys", "secrets", "agent", "db") or path.name in _SECRET
        ):
            assert mode == 0o600, path
        if path.parent.name == "log":
            assert not mode & 0o007, path
        assert path.is_socket() or not mode & 0o002, f"{path} can be written by everybody"


_SECRET = frozenset({"openrc", "clouds.yaml"})


def test_no_secret_is_ever_logged(folder: Path) -> None:
    """Also at the most talkative level, and when things go wrong."""
    with simulated_cloud("[log]\nlevel = 'debug'\n", hosts=1) as cloud:
        network = cloud.api.network("demo", "10.1.0.0/24")
        port = cloud.api.port(network, host="host-1")
        cloud.plug("host-1", port)
        until(lambda: cloud.api.status(port) == "ACTIVE")
        secrets = {"password": cloud.password(), "token": cloud.api.token}
        wrong = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"id": "default"}, "password": "a-wrong-secret"}}}}}  # fmt: skip
        assert cloud.api.ask("POST", "/identity/v3/auth/tokens", wrong).status == 401
        assert cloud.api.ask("POST", "/identity/v3/auth/tokens", b'{"auth": "a-wrong-secret"').status == 400
        bad = {"X-Auth-Token": "gAAAA-a-wrong-secret"}
        assert cloud.api.ask("GET", f"{NETWORK}/ports", headers=bad).status == 401
        node = [*PILEUS, "node", "token", "host-1", "--state", str(cloud.folder.root)]
        secrets["node token"] = subprocess.run(
            node, capture_output=True, text=True, check=True
        ).stdout.strip()
        secrets["wrong"] = "a-wrong-secret"
        assert (
            cloud.api.ask("POST", "/wire/v1/call/agent_report", b"{", _node(secrets["wrong"])).status == 401
        )
        assert cloud.api.ask("GET", "/image/v2/images/x/file?ticket=a-wrong-secret").status in (401, 403, 404)
        # The line is written when the answer is out.
        until(lambda: re.search(r" GET /image/v2/images/x/file\?ticket=\*\*\* 40\d ", cloud.logs()))
        cloud.kill("server")
        cloud.down()
        logs = cloud.logs()
        assert "the server is ready" in logs
        asked = re.search(
            rf" (\S+) (\S+) GET {NETWORK}/ports/{port}\?fields=status 200 \S+ \S+ (\d)sql req-", logs
        )
        assert asked is not None, "who asked, and what it cost"
        assert "-" not in asked.groups()
        assert int(asked[3]) > 0
        agent = (cloud.folder.logs / "agent.log").read_text()
        assert agent.count("the server does not answer") <= 2, "one line when it begins, one when it is over"
        for kind, secret in secrets.items():
            assert secret not in logs, f"the {kind} is in a log"
            for pid in ("status.json", "plan.json"):
                assert secret not in (cloud.folder.root / pid).read_text()


@pytest.mark.skipif(not AS_ROOT, reason="only root has a home that the server's user can't enter")
def test_a_server_whose_source_is_in_a_closed_folder_imports_nothing_late(folder: Path) -> None:
    """A checkout in root's home: after the server has dropped its rights, its source can't be read.

    What an unusual request would import then would fail with ModuleNotFoundError (or, worse, be
    skipped silently), so a broad run of requests must leave no trace of that.
    """
    closed = folder / "home"
    closed.mkdir(mode=0o700)
    source = Path(__file__).parents[2] / "src" / "pileus"
    shutil.copytree(source, closed / "src" / "pileus", ignore=shutil.ignore_patterns("__pycache__"))
    cloud = Cloud(folder / "c", "--simulated", hosts=1, enter=("env", f"PYTHONPATH={closed / 'src'}"))
    try:
        cloud.up()
        argv = Path(f"/proc/{cloud.pids()['server']}/environ").read_bytes().split(b"\0")
        assert f"PYTHONPATH={closed / 'src'}".encode() in argv
        maps = Path(f"/proc/{cloud.pids()['server']}/status").read_text()
        assert f"Uid:\t{pwd.getpwnam('pileus').pw_uid}" in maps
        network = cloud.api.network("demo", "10.1.0.0/24")
        port = cloud.api.port(network, host="host-1")
        cloud.plug("host-1", port)
        until(lambda: cloud.api.status(port) == "ACTIVE")
        for method, path in every_route(cloud):
            answer = cloud.api.ask(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
            assert answer.status < 500, (method, path, answer)
        cloud.kill("agent")
        cloud.api.delete("ports", port)
        cloud.kill("server")
        cloud.down()
        assert "ModuleNotFoundError" not in cloud.logs()
        assert "PermissionError" not in cloud.logs()
        assert "Traceback" not in cloud.logs()
    finally:
        cloud.end()


def every_route(cloud: Cloud) -> list[tuple[str, str]]:
    """Each verb of each path that the cloud describes, with something for the parameters; none that
    would take the admin or the default domain away."""
    paths = cloud.api.call("GET", "/openapi.json")["paths"]
    unknown = "12345678-1234-1234-1234-123456789abc"
    return [
        (method.upper(), re.sub(r"\{[^}]+\}", unknown, path))
        for path, operations in paths.items()
        for method in operations
        if method in ("get", "post", "put", "patch", "delete")
    ]
