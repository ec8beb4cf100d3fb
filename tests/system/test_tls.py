"""TLS: for the clients of the API, and for agents that reach their server over HTTPS."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
from tests.certificates import make_certificate
from tests.clouds import PILEUS, Cloud, short_folder, until

from pileus.core.files import write_atomically


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """Clients and agents come over HTTPS."""
    with short_folder() as folder:
        certificate, key = make_certificate(folder, "server")
        cloud = Cloud(folder / "c", "--simulated")
        cloud.folder.root.mkdir()
        cloud.folder.settings.write_text(
            f"[server]\ntls_certificate = '{certificate}'\ntls_key = '{key}'\n"
            f"[agent]\nserver = 'https://{cloud.address}'\nca_file = '{certificate}'\n"
        )
        try:
            cloud.up()
            yield cloud
        finally:
            cloud.end()


def test_clients_speak_tls_with_the_certificate(cloud: Cloud) -> None:
    assert f"OS_AUTH_URL='https://{cloud.address}/identity/v3'" in cloud.folder.openrc.read_text()
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.folder.clouds)], load_envvars=False)
    with openstack.connection.Connection(config=config.get_one(cloud="pileus")) as sdk:
        assert {agent.host for agent in sdk.network.agents()} == {"host-1", "host-2"}
        assert sdk.endpoint_for("network").startswith("https://")


def test_without_its_authority_the_certificate_is_worth_nothing(cloud: Cloud) -> None:
    host, _, port = cloud.address.rpartition(":")
    stranger = http.client.HTTPSConnection(host, int(port), timeout=10, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/")
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        with_nothing = b""
        while data := _received(plain):
            with_nothing += data
    assert b"200" not in with_nothing, "nothing is answered in the clear"


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1000)
    except ConnectionResetError:
        return b""


def test_old_versions_of_tls_are_refused(cloud: Cloud) -> None:
    host, _, port = cloud.address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with socket.create_connection((host, int(port)), 10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain).close()


def test_agents_over_https_wire_a_port(cloud: Cloud) -> None:
    network = cloud.api.network("demo", "10.1.0.0/24")
    port = cloud.api.port(network, host="host-1")
    cloud.plug("host-1", port)
    until(lambda: cloud.api.status(port) == "ACTIVE")
    cloud.kill("server")  # and find it again
    cloud.api.close()
    cloud.unplug("host-1", port)
    until(lambda: cloud.api.status(port) == "DOWN")


def agent_alone(folder: Path, cloud: Cloud, **settings: str) -> subprocess.Popen[bytes]:
    """``pileus agent`` on a machine of its own: its switch is one of the cloud's simulated ones."""
    state = folder / "node"
    state.mkdir(exist_ok=True)
    (state / "agent").mkdir(exist_ok=True)
    everything = {
        "host": "elsewhere",
        "server": f"https://{cloud.address}",
        "ca_file": str(cloud.folder.root.parent / "server.pem"),
        **settings,
    }
    lines = "".join(f"{key} = '{value}'\n" for key, value in everything.items())
    switch = cloud.folder.hosts / "host-1" / "db.sock"
    (state / "pileus.toml").write_text(
        f"[agent]\n{lines}duties = []\n[hypervisor]\ndriver = 'none'\n[switch]\novsdb = 'unix:{switch}'\n"
    )
    return subprocess.Popen(
        [*PILEUS, "agent", "--state", str(state)],
        stderr=subprocess.STDOUT,
        stdout=(folder / "log").open("wb"),
    )


def test_an_agent_elsewhere_brings_its_token_in_a_file(cloud: Cloud) -> None:
    command = [*PILEUS, "node", "token", "elsewhere", "--state", str(cloud.folder.root)]
    token = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    with short_folder() as folder:
        write_atomically(folder / "token", token, 0o600)
        agent = agent_alone(folder, cloud, token_file=str(folder / "token"))
        try:
            until(
                lambda: "elsewhere" in {a["host"] for a in cloud.api.agents()},
                told=(folder / "log").read_text,
            )
        finally:
            agent.terminate()
            agent.wait(20)


@pytest.mark.parametrize("wrong", ["token", "authority", "no token", "no such authority"])
def test_an_agent_with_wrong_papers_is_told_so(cloud: Cloud, wrong: str) -> None:
    with short_folder() as folder:
        command = [*PILEUS, "node", "token", "stranger", "--state", str(cloud.folder.root)]
        token = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
        write_atomically(folder / "token", token, 0o600)
        other, _ = make_certificate(folder, "other")
        settings = {"token_file": str(folder / "token"), "host": "intruder"}
        if wrong == "authority":
            settings["ca_file"] = str(other)
        if wrong == "no token":
            settings["token_file"] = str(folder / "none")
        if wrong == "no such authority":
            settings["ca_file"] = str(folder / "none")
        agent = agent_alone(folder, cloud, **settings)
        log = folder / "log"
        expected = {
            "token": "A node may speak for its own host only, not for intruder.",
            "authority": "CERTIFICATE_VERIFY_FAILED",
            "no token": "the node token can't be read",
            "no such authority": "can't be used",
        }[wrong]
        try:
            until(lambda: expected in log.read_text(), told=log.read_text)
            if wrong.startswith("no"):
                assert agent.wait(20) == 78, "starting it again won't help"
            assert token.decode().strip() not in log.read_text()
        finally:
            agent.kill()
            agent.wait(20)
        assert "intruder" not in {agent["host"] for agent in cloud.api.agents()}
