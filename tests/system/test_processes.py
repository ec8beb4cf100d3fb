"""The commands of ``pileus`` as a person uses them: up, down, status, and what they leave behind."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.clouds import (
    NETWORK,
    PILEUS,
    Cloud,
    is_gone,
    processes_naming,
    program,
    simulated_cloud,
    until,
)

from pileus.wire.codec import WakeupRequest, encode

AS_ROOT = os.geteuid() == 0
CONFIG_ERROR = 78


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
    assert re.fullmatch(r"The database is up to date \((\w+/\d{4}_\w+(, )?){6}\)\.\n", done.stdout)
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


def test_the_command_says_its_version_and_refuses_the_unknown() -> None:
    version = subprocess.run([*PILEUS, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"pileus \d+\.\d+\.\d+\n", version.stdout)
    unknown = subprocess.run([*PILEUS, "fly"], capture_output=True, text=True, timeout=60, check=False)
    assert unknown.returncode == 2
    assert sys.version_info >= (3, 11)
