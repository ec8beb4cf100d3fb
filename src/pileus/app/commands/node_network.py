"""``pileus node network``: the node's declared network as the operating system's own files."""

from __future__ import annotations

import sys
from pathlib import Path

from pileus.app import bootstrap
from pileus.app.nodes.switch import host_network
from pileus.app.state import StateFolder, default_root
from pileus.core.files import write_atomically
from pileus.drivers.interfaces import ifupdown, netplan, networkd

FORMATS = ("interfaces", "netplan", "networkd")


def show(form: str, output: Path | None, simulated: bool, state: Path | None, file: Path | None) -> None:
    """Print the files, or write them to ``output``; nothing else of the machine is changed."""
    if form not in FORMATS:
        bootstrap.fail(f"there is no format {form}; there are {', '.join(FORMATS)}")
    folder = StateFolder((state or default_root(simulated)).absolute())
    loaded = bootstrap.read_settings(folder, file, {}) if file else bootstrap.in_force(folder)
    network = host_network(loaded.settings)
    if not network:
        bootstrap.fail("nothing is declared in [host_network] (docs/nodes.md shows how)")
    if form == "networkd":
        files = networkd.render(network)
        if output is None:
            sys.stdout.write(networkd.one_text(files))
            return
        output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomically(output / name, text.encode())
        return
    text = ifupdown.render(network) if form == "interfaces" else netplan.render(network)
    if output is None:
        sys.stdout.write(text)
        return
    # netplan warns of files that others may read.
    write_atomically(output, text.encode(), 0o600 if form == "netplan" else 0o644)
