"""The demo's work on this machine beside the API: start the cloud, build an image, make a way into it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pileus.app import bootstrap
from pileus.app.commands.external_range import Occupied, look
from pileus.app.nodes.external_address import AT_HOST, ExternalAddress, remember, remove_external_address
from pileus.app.nodes.external_address import ensure_external_address as make_address
from pileus.app.nodes.switch import RealSwitch
from pileus.app.processes import launch
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Unavailable
from pileus.drivers.guestimage import build_image
from pileus.drivers.libvirt.kvm import recall_kvm
from pileus.drivers.ovsdb.client import OvsdbClient

DEFAULT_STATE = default_root(simulated=False)
PHYSICAL_NETWORK, BRIDGE = "physnet1", "br-ex"
SETTINGS = f"""# Written by `pileus demo`.
[switch]
bridge_mappings = ["{PHYSICAL_NETWORK}:{BRIDGE}"]
"""
CONNECT_S = 15.0


class CloudNotReady(Unavailable):
    message = "The cloud did not start: {reason}"


class NoExternalNetwork(Unavailable):
    message = (
        "The settings in {file} map no bridge to {network}, which the demo's external network needs: "
        'add bridge_mappings = ["{network}:{bridge}"] below [switch], and start the cloud anew.'
    )


def _marker(folder: StateFolder) -> Path:
    """There while the cloud is the demo's own: then ``--clean`` takes it down, too."""
    return folder.root / "demo" / "started"


def ensure_cloud(folder: StateFolder, listen: str | None) -> str:
    """Start a cloud in ``folder`` unless one runs; says which it was."""
    if launch.running(folder):
        _check_mapping(folder)
        return "running already"
    fresh = not folder.keys.is_dir()
    if fresh:
        folder.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        _marker(folder).parent.mkdir(mode=0o700, exist_ok=True)
        _marker(folder).touch()
        if not folder.settings.exists():
            folder.settings.write_text(SETTINGS)
    _check_mapping(folder)
    argv = [sys.executable, "-m", "pileus.app.main", "up", "--detach", "--state", str(folder.root)]
    done = subprocess.run(
        [*argv, *(["--listen", listen] if listen else [])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CloudNotReady(reason=(done.stderr or done.stdout).strip())
    return "started" if fresh else "started again"


def _check_mapping(folder: StateFolder) -> None:
    mappings = bootstrap.read_settings(folder, None, {}).settings.switch.bridge_mappings
    if not any(entry.startswith(f"{PHYSICAL_NETWORK}:") for entry in mappings):
        raise NoExternalNetwork(file=folder.settings, network=PHYSICAL_NETWORK, bridge=BRIDGE)


def remove_cloud(folder: StateFolder) -> None:
    """Take away this machine's external address; and the cloud, if the demo started it."""
    asyncio.run(_remove_address(folder))
    if _marker(folder).exists():
        argv = [sys.executable, "-m", "pileus.app.main", "down", "--purge", "--state", str(folder.root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CloudNotReady(reason=(done.stderr or done.stdout).strip())


def why_emulated(folder: StateFolder) -> str:
    """Why machines of this node do not run under KVM; empty where they do, or where the settings say how."""
    wanted = bootstrap.read_settings(folder, None, {}).settings.hypervisor.kvm
    if wanted == "off":
        return 'kvm = "off" in the settings'
    verdict = recall_kvm(folder.kvm) if wanted in ("auto", "try") else None
    return "" if verdict is None or verdict.works else verdict.reason


def build_guest_image(file: Path) -> None:
    """The image that the demo boots."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    cache = Path.home() / ".cache" / "pileus" / "guest-image"
    build_image(file, cache, lambda _: None)


def occupied() -> list[Occupied]:
    """Return what this machine reaches, without what an earlier demo may have left."""
    return look(AT_HOST)


def ensure_external_address(folder: StateFolder, address: str) -> None:
    """Let this machine reach floating IPs."""

    async def main() -> None:
        async with _switch(folder) as (client, datapath_type):
            await make_address(client, BRIDGE, datapath_type, address)
            remember(folder.external_address, ExternalAddress(BRIDGE, address))

    asyncio.run(main())


async def _remove_address(folder: StateFolder) -> None:
    remember(folder.external_address, None)
    with contextlib.suppress(TimeoutError):
        async with _switch(folder) as (client, _):
            await remove_external_address(client)


@asynccontextmanager
async def _switch(folder: StateFolder) -> AsyncIterator[tuple[OvsdbClient, str]]:
    switch = await RealSwitch.open(folder, bootstrap.read_settings(folder, None, {}).settings)
    client = switch.client()
    await client.connect(CONNECT_S)
    try:
        yield client, switch.datapath_type
    finally:
        await client.close()
