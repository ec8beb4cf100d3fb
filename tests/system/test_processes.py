"""The commands of ``pileus`` as a person uses them: up, down, status, and what they leave behind."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clouds import (
    NETWORK,
    PILEUS,
    Cloud,
    is_gone,
    processes_naming,
    program,
    short_folder,
    simulated_cloud,
    until,
)

from pileus.wire.codec import WakeupRequest, encode

AS_ROOT = os.geteuid() == 0
CONFIG_ERROR = 78


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One simulated cloud for the stories that leave it as it was."""
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


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


# -- up


def test_up_says_where_everything_is_and_the_clients_files_work(cloud: Cloud) -> None:
    said = cloud.run("status").stdout
    assert f"http://{cloud.address}" in said
    for file in (cloud.folder.openrc, cloud.folder.clouds):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with_openrc = ["bash", "-c", 'source "$0" && exec "$1" token issue -f value -c id']
    by_openrc = subprocess.run(
        [*with_openrc, str(cloud.folder.openrc), program("openstack")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    by_clouds = subprocess.run(
        [program("openstack"), "--os-cloud", "pileus", "network", "agent", "list", "-f", "json"],
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert len(by_openrc.stdout.strip()) > 40
    assert {agent["Host"] for agent in json.loads(by_clouds.stdout)} == {"host-1", "host-2"}


def test_the_clients_files_name_project_and_interface(cloud: Cloud) -> None:
    projects = cloud.api.call("GET", "/identity/v3/auth/projects")["projects"]
    admin = next(one["id"] for one in projects if one["name"] == "admin")
    openrc = cloud.folder.openrc.read_text()
    assert f"export OS_PROJECT_ID='{admin}'\n" in openrc
    assert "export OS_INTERFACE='public'\n" in openrc
    clouds = cloud.folder.clouds.read_text()
    assert "project_name: admin" in clouds and "project_id" not in clouds
    assert "interface: public" in clouds


def test_the_state_folder_may_come_from_the_environment(cloud: Cloud, folder: Path) -> None:
    for environment, code in ((cloud.folder.root, 0), (folder / "none", 1)):
        done = subprocess.run(
            [*PILEUS, "status"],
            env={**os.environ, "PILEUS_STATE": str(environment)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, str(environment) in done.stdout) == (code, True)


def test_a_detached_cloud_holds_nothing_of_its_caller_and_purge_leaves_nothing_of_it(folder: Path) -> None:
    """``x=$(pileus up --detach)`` comes to an end, and hanging up the terminal ends nothing."""
    cloud = Cloud(folder / "c", "--simulated", hosts=1)
    try:
        said = cloud.up()  # reads standard output and standard error to their ends
        assert said.startswith("The cloud is ready.")
        pids = cloud.pids()
        os.kill(pids["supervisor"], signal.SIGHUP)
        assert os.getsid(pids["supervisor"]) == pids["supervisor"]
        assert cloud.run("status").returncode == 0
        cloud.down("--purge")
        assert all(is_gone(pid) for pid in pids.values())
        assert list(folder.iterdir()) == []
        assert processes_naming(str(folder)) == []
    finally:
        cloud.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_cloud_in_the_foreground(folder: Path, number: signal.Signals) -> None:
    cloud = Cloud(folder / "c", "--simulated", hosts=1)
    command = cloud.command("up", "--listen", cloud.address, "--hosts", "1")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "The cloud is ready.\n"
        pids = cloud.pids()
        assert pids["supervisor"] == process.pid
        process.send_signal(number)
        assert process.wait(30) == 0
        assert all(is_gone(pid) for pid in pids.values())
        assert cloud.run("status").returncode == 1
    finally:
        process.kill()
        process.communicate()
        cloud.end()


def test_a_second_up_on_the_same_folder_is_refused(cloud: Cloud) -> None:
    before = cloud.pids()
    second = cloud.run("up", "--detach", "--listen", "127.0.0.1:1")
    assert second.returncode == CONFIG_ERROR
    assert second.stderr == f"pileus: the cloud in {cloud.folder.root} is running already\n"
    assert cloud.pids() == before
    assert cloud.address in cloud.folder.openrc.read_text(), "the refused one changed nothing"


def test_two_simulated_clouds_know_nothing_of_each_other(cloud: Cloud) -> None:
    with simulated_cloud(hosts=1) as other:
        other.api.network("only-here")
        assert [n["name"] for n in other.api.call("GET", f"{NETWORK}/networks")["networks"]] == ["only-here"]
        assert "only-here" not in str(cloud.api.call("GET", f"{NETWORK}/networks"))
        foreign = cloud.api.ask("GET", f"{NETWORK}/networks", headers={"X-Auth-Token": other.api.login()})
        assert foreign.status == 401
    assert cloud.run("status").returncode == 0


def test_a_port_in_use_is_said_and_not_tried_again(cloud: Cloud, folder: Path) -> None:
    other = Cloud(folder / "c", "--simulated", hosts=1)
    try:
        for detach in (["--detach"], []):
            late = other.run("up", *detach, "--listen", cloud.address)
            assert late.returncode == CONFIG_ERROR
            assert f"{cloud.address} can't be listened on" in late.stderr
            assert "Address already in use" in late.stderr
            assert other.told()["processes"][0]["starts"] == 1
        assert other.up().startswith("The cloud is ready."), "another address helps"
    finally:
        other.end()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlisten = 5\n", r"pileus.toml, line 2: server.listen: Expected `str`, got `int`"),
        ("\n\n[server]\nlissten = 'x'\n", r"pileus.toml, line 4: there is no setting server.lissten"),
        ("[sever]\n", r"pileus.toml, line 1: there is no section \[sever\]"),
        ("[server]\nlisten = \n", r"pileus.toml: .*line 2"),
        ("[network]\nvni_ranges = ['9:1']\n", r"network.vni_ranges: '9:1' is not FIRST:LAST"),
        ("[server]\nlisten = 'nowhere'\n", r"nowhere can't be listened on"),
        ("[server]\ndatabase = 'oracle://x'\n", r"oracle"),
        ("[server]\npolicy_file = '/nonexistent/policy'\n", r"/nonexistent/policy"),
        ("[server]\ntls_certificate = '/nonexistent/c'\ntls_key = '/nonexistent/k'\n", r"/nonexistent/c"),
        ("[switch]\nbridge_mappings = ['physnet1']\n", r"bridge_mappings: 'physnet1' is not PHYSNET:BRIDGE"),
    ],
)
def test_wrong_settings_are_named(folder: Path, text: str, said: str) -> None:
    cloud = Cloud(folder / "c", "--simulated", settings=text)
    try:
        listen = () if "listen" in text else ("--listen", cloud.address)
        tried = cloud.run("up", "--detach", *listen)
        assert tried.returncode == CONFIG_ERROR
        assert re.search(said, tried.stderr), tried.stderr
        assert "Traceback" not in tried.stderr + cloud.logs()
    finally:
        cloud.end()


@pytest.mark.parametrize("where", ["a file", "below a file", "closed", "too long"])
def test_a_state_folder_that_cannot_be_one_is_refused(folder: Path, where: str) -> None:
    (folder / "file").write_text("")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    state, reason = {
        "a file": (folder / "file", "can't be used"),
        "below a file": (folder / "file" / "c", "can't be used"),
        "closed": (closed / "c", f"can't enter {closed}"),
        "too long": (folder / ("x" * 90), "too long for the Unix sockets"),
    }[where]
    if where == "closed" and not AS_ROOT:
        pytest.skip("only root's server is another user than its caller")
    tried = Cloud(state, "--simulated").run("up", "--detach")
    assert tried.returncode == CONFIG_ERROR
    assert tried.stderr.startswith("pileus: ")
    assert reason in tried.stderr
    assert not state.is_dir(), "nothing was made"


# -- down


def test_down_leaves_what_was_built_and_up_takes_it_up_again(folder: Path) -> None:
    cloud = Cloud(folder / "c", "--simulated")
    try:
        cloud.up()
        network = cloud.api.network("demo", "10.1.0.0/24")
        ports = {host: cloud.api.port(network, host=host) for host in ("host-1", "host-2")}
        for host, port in ports.items():
            cloud.plug(host, port)
        until(lambda: all(port["status"] == "ACTIVE" for port in cloud.api.ports()))
        pids = cloud.pids()
        assert cloud.down() == "The cloud is stopped.\n"
        assert all(is_gone(pid) for pid in pids.values())
        built = cloud.all_installed()
        assert all(port in built[host].plugged() for host, port in ports.items())
        assert cloud.down() == "The cloud was not running.\n"

        cloud.up()
        cloud.api.login()
        assert {port["status"] for port in cloud.api.ports()} == {"ACTIVE"}
        cloud.down()
        assert cloud.all_installed() == built, "neither a row nor a flow is another one"
        assert cloud.down("--purge").endswith("is removed.\n")
        assert not cloud.folder.root.exists()
    finally:
        cloud.end()


def test_down_touches_no_folder_that_is_not_a_clouds(folder: Path) -> None:
    (folder / "letters").write_text("dear")
    done = Cloud(folder, "--simulated").run("down", "--purge")
    assert done.returncode == CONFIG_ERROR
    assert done.stderr == f"pileus: there is no cloud in {folder}\n"
    assert (folder / "letters").read_text() == "dear"


def test_a_supervisor_that_was_killed_leaves_nobody_and_the_next_up_works(folder: Path) -> None:
    cloud = Cloud(folder / "c", "--simulated", hosts=1)
    try:
        cloud.up()
        pids = cloud.pids()
        os.kill(pids["supervisor"], signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids.values()))
        assert cloud.run("status").returncode == 1
        cloud.up()
        assert cloud.run("status").returncode == 0
    finally:
        cloud.end()


# -- status and the other commands


def test_status_of_a_good_cloud(cloud: Cloud) -> None:
    good = cloud.run("status")
    assert good.returncode == 0
    assert re.search(r"^server +ready", good.stdout, re.M)
    assert re.search(r"^agents +(\d+) of \1 alive", good.stdout, re.M)


def test_status_tells_of_an_agent_that_is_stuck_and_one_that_was_killed(folder: Path) -> None:
    quick = "[network]\nheartbeat_interval_s = 0.3\nagent_down_time_s = 1\n"
    with simulated_cloud(quick, hosts=1) as cloud:
        cloud.send_signal("agent", signal.SIGSTOP)
        dead = re.compile(r"^agents +0 of \d+ alive", re.M)
        stuck = until(lambda: dead.search((it := cloud.run("status")).stdout) and it)
        assert stuck.returncode == 1
        cloud.send_signal("agent", signal.SIGCONT)
        until(lambda: cloud.run("status").returncode == 0)
        cloud.kill("agent")
        again = cloud.run("status")
        assert re.search(r"^agent +ready \(pid \d+, started 2 times\)", again.stdout, re.M)
        cloud.send_signal("server", signal.SIGSTOP)
        cloud.send_signal("server", signal.SIGKILL)
        assert cloud.run("status").returncode == 1, "the server is not there at this moment"
        until(lambda: cloud.run("status").returncode == 0)


def test_status_without_a_cloud(folder: Path) -> None:
    none = Cloud(folder / "c", "--simulated").run("status")
    assert (none.returncode, none.stdout) == (1, f"There is no cloud running in {folder / 'c'}.\n")


def test_config_show_tells_values_and_origins_but_no_password(folder: Path) -> None:
    text = (
        '[server]\ndatabase = "postgresql://me:hush-hush@db/pileus"\n'
        'rabbitmq = "amqp://guest:psst@mq/"\n[log]\nlevel = "debug"\n'
    )
    cloud = Cloud(folder / "c", "--simulated", settings=text)
    shown = subprocess.run(
        [*PILEUS, "config", "show", "--state", str(folder / "c"), "--json"],
        env={**os.environ, "PILEUS_IDENTITY_REGION": "Here"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = {one["key"]: one for one in json.loads(shown.stdout)}
    file = cloud.folder.settings
    assert (found["log.level"]["value"], found["log.level"]["source"]) == ("debug", f"{file}, line 5")
    assert (found["identity.region"]["value"], found["identity.region"]["source"]) == ("Here", "environment")
    assert found["network.mtu"]["source"] == "default"
    assert found["server.database"]["value"] == "postgresql://me:***@db/pileus"
    assert all(one["meaning"] for one in found.values())
    table = subprocess.run(
        [*PILEUS, "config", "show", "--state", str(folder / "c")],
        env={**os.environ, "COLUMNS": "20"}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert re.search(r"(?m)^log\.level +debug +.*line 5 +\S", table.stdout)
    names = [line.split()[0] for line in table.stdout.splitlines()]
    assert names == [one["key"] for one in json.loads(shown.stdout)], "whole names in a pipe, a line each"
    for said in (shown.stdout, table.stdout):
        assert "hush-hush" not in said
        assert "psst" not in said


def test_db_upgrade_and_node_token(cloud: Cloud, folder: Path) -> None:
    upgrade = [*PILEUS, "db", "upgrade", "--state", str(cloud.folder.root)]
    done = subprocess.run(upgrade, capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"The database is up to date \((\w+/\d{4}_\w+(, )?){5}\)\.\n", done.stdout)
    token = [*PILEUS, "node", "token", "host-9", "--state", str(cloud.folder.root)]
    said = subprocess.run(token, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.fullmatch(r"[\w-]+(\.\d{13}){3}\.[\w-]{43}\n", said)
    own = cloud.api.ask("POST", "/wire/v1/wakeups", encode(WakeupRequest("host-8", ())), _node(said))
    assert own.status == 403, "a token speaks for its own host only"
    assert cloud.api.ask("POST", "/wire/v1/call/agent_report", b"{}", _node("x.y")).status == 401
    listed = [*PILEUS, "node", "tokens", "--json", "--state", str(cloud.folder.root)]
    found = until(
        lambda: {
            one["host"]: one
            for one in json.loads(
                subprocess.run(listed, capture_output=True, text=True, timeout=60, check=True).stdout
            )
        }
    )
    assert {"host-1", "host-2", "host-9"} == found.keys(), "the agents' own, and the one that was tried"
    revoke = [*PILEUS, "node", "revoke", "host-9", "--state", str(cloud.folder.root)]
    subprocess.run(revoke, capture_output=True, text=True, timeout=60, check=True)
    refused = cloud.api.ask("POST", "/wire/v1/wakeups", encode(WakeupRequest("host-9", ())), _node(said))
    assert (refused.status, b"was revoked" in refused.body) == (401, True)
    for command in (upgrade, token):
        nowhere = [str(folder / "none") if word == str(cloud.folder.root) else word for word in command]
        none = subprocess.run(nowhere, capture_output=True, text=True, timeout=60, check=False)
        assert none.returncode == CONFIG_ERROR
        assert str(folder / "none") in none.stderr
        assert not (folder / "none").exists()


def _node(token: str) -> dict[str, str]:
    return {"X-Node-Token": token.strip()}


# -- rights and secrets


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


def test_the_command_says_its_version_and_refuses_the_unknown() -> None:
    version = subprocess.run([*PILEUS, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"pileus \d+\.\d+\.\d+\n", version.stdout)
    unknown = subprocess.run([*PILEUS, "fly"], capture_output=True, text=True, timeout=60, check=False)
    assert unknown.returncode == 2
    assert sys.version_info >= (3, 11)
