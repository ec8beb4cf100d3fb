"""The demo's cloud for stories with real guests: its servers, and a shell in the one with the floating IP."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clouds import Cloud, until
from tests.system.test_demo import pileus, state

__all__ = ["BOOTED_WITHIN_S", "COMPUTE", "IMAGE", "NETWORK", "Guests", "guests", "state"]

COMPUTE, IMAGE, NETWORK = "/compute/v2.1", "/image/v2", "/networking/v2.0"
BOOTED_WITHIN_S = 600.0


class Guests:
    """The demo's cloud: its servers, and a shell in the one that has the floating IP."""

    def __init__(self, folder: Path) -> None:
        self.api = Cloud(folder).api
        self.folder = folder
        (self.floating,) = self.api.call("GET", f"{NETWORK}/floatingips")["floatingips"]

    def shell(self, command: str) -> str:
        """What a command says in the guest, as soon as it answers."""
        options = (
            "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
        )  # fmt: skip
        argv = ["ssh", *(word for one in options for word in ("-o", one)), "-o", "ConnectTimeout=20"]
        argv += ["-i", str(self.folder / "demo" / "id_ed25519")]
        argv += [f"root@{self.floating['floating_ip_address']}", command]
        deadline = time.monotonic() + BOOTED_WITHIN_S
        while True:
            try:
                done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
                if done.returncode == 0:
                    return done.stdout
                why = done.stderr
            except subprocess.TimeoutExpired:
                why = "no answer within a minute"
            assert time.monotonic() < deadline, why
            time.sleep(1)

    def server(self, name: str) -> dict[str, Any]:
        (found,) = self.api.call("GET", f"{COMPUTE}/servers/detail?name=^{name}$")["servers"]
        return dict(found)

    def lead_to(self, server_id: str) -> None:
        """Give the floating IP to a server."""
        (port,) = self.api.call("GET", f"{NETWORK}/ports?device_id={server_id}")["ports"]
        body = {"floatingip": {"port_id": port["id"]}}
        self.api.call("PUT", f"{NETWORK}/floatingips/{self.floating['id']}", body)

    def image_of(self, server_id: str, name: str) -> str:
        """An image of a server, when it has its bytes."""
        self.api.call("POST", f"{COMPUTE}/servers/{server_id}/action", {"createImage": {"name": name}})
        (image,) = self.api.call("GET", f"{IMAGE}/images?name={name}")["images"]
        until(
            lambda: self.api.call("GET", f"{IMAGE}/images/{image['id']}")["status"] == "active",
            BOOTED_WITHIN_S,
        )
        return str(image["id"])


@pytest.fixture
def guests(state: Path) -> Iterator[Guests]:
    pileus("demo", "--state", str(state))
    guests = Guests(state)
    yield guests
    # The demo takes away what is its own, and its network has to be empty then.
    for server in guests.api.call("GET", f"{COMPUTE}/servers")["servers"]:
        guests.api.call("DELETE", f"{COMPUTE}/servers/{server['id']}")
    until(lambda: not guests.api.call("GET", f"{COMPUTE}/servers")["servers"])
