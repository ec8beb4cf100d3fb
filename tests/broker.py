"""A throwaway RabbitMQ on loopback, with its own name daemon, ended with the test session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM = "rabbitmq-server"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker:
    """``start`` and ``stop`` may be called again and again; the port stays."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pileus-rabbit-"))
        self._port = free_port()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": f"pileus-{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        (self._folder / "plugins").write_text("[].")
        self._epmd = subprocess.Popen(["epmd"], env=self._environment)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        with (self._folder / "output").open("ab") as output:
            program = shutil.which(PROGRAM, path="/usr/lib/rabbitmq/bin") or PROGRAM
            self._server = subprocess.Popen(
                [program], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1) as sock:
                    # A broker that is up answers a wrong greeting with its own.
                    sock.sendall(b"AMQP\0\0\0\0")
                    if sock.recv(4) == b"AMQP":
                        return
            except OSError:
                pass
            if self._server.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError((self._folder / "output").read_text()[-2000:])

    def stop(self) -> None:
        """Kill the broker, as a crash would."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def close(self) -> None:
        self.stop()
        self._epmd.kill()
        self._epmd.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
