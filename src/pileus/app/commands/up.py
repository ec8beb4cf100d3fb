"""``pileus up``, ``down`` and ``status``: one cloud on this machine, as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pileus.app import bootstrap
from pileus.app.commands import service
from pileus.app.local import NETWORK, LocalApi
from pileus.app.prepare import prepare, public_url
from pileus.app.processes import launch
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault

STOP_S = 40.0
MADE_UP_CONTENT = "image.require_format_match"
"""Whoever tests against a simulated cloud uploads a few made-up bytes and calls them qcow2: it takes them,
unless the settings say otherwise. What is dangerous is refused there as everywhere."""


def bring_up(
    simulated: bool,
    state: Path | None,
    listen: str | None,
    config: Path | None,
    detach: bool,
    hosts: int | None,
) -> None:
    """Prepare the state folder and become the supervisor; with ``detach`` start it and wait until ready."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    options: dict[str, Any] = {}
    if listen:
        options["server.listen"] = listen
    if hosts:
        options["simulation.hosts"] = hosts
    if not simulated and os.geteuid() != 0:
        bootstrap.fail("real switches need root; without it: pileus up --simulated")
    loaded = bootstrap.read_settings(folder, config, options)
    if simulated and MADE_UP_CONTENT not in loaded.sources:
        options[MADE_UP_CONTENT] = False
    settings = loaded.settings
    if launch.running(folder):
        bootstrap.fail(f"the cloud in {folder.root} is running already")
    try:
        prepare(folder, settings, () if simulated else (bootstrap.host_name(settings.agent.host),))
    except Fault as fault:
        bootstrap.fail(fault.text)
    file = str(config.absolute()) if config else ""
    environment = {"PILEUS_" + key.upper().replace(".", "_"): str(value) for key, value in options.items()}
    flags = ["simulated"] if simulated else []
    processes = [
        launch.process(folder, "server", file, environment),
        launch.process(folder, "agent", file, environment, flags=flags),
    ]
    launch.launch(folder, settings, {"config": file, "options": options, "processes": processes}, detach)


def take_down(simulated: bool, state: Path | None, purge: bool) -> None:
    """Stop the supervisor and wait for it; with ``purge`` remove what the cloud made."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    if not folder.keys.is_dir():  # and only ever remove a folder that is a cloud's
        bootstrap.fail(f"there is no cloud in {folder.root}")
    if purge and not simulated and os.geteuid() == 0:
        service.remove_unit_of(folder)
    pid = launch.running(folder)
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while launch.running(folder):
            if time.monotonic() > deadline:
                bootstrap.fail(f"the supervisor (pid {pid}) does not stop; see {folder.logs}")
            time.sleep(0.02)
        sys.stdout.write("The cloud is stopped.\n")
    elif not purge:
        sys.stdout.write("The cloud was not running.\n")
    if purge:
        _purge(folder)


def _purge(folder: StateFolder) -> None:
    if folder.lab.exists():
        from pileus.app.lab.cloud import close_lab

        close_lab(folder)
    elif folder.plan.exists():
        plan = json.loads(folder.plan.read_text())
        agent = plan["processes"][1]
        if "simulated" not in agent["argv"]:
            # Not the plan's own arguments: a plan of an earlier version names a module of that version.
            purging = launch.process(folder, "agent", plan["config"], {}, flags=["purge"])["argv"]
            done = subprocess.run(purging, env={**os.environ, **agent["environment"]}, check=False)
            if done.returncode:
                bootstrap.fail("not everything on this machine could be removed; the state folder is kept")
    shutil.rmtree(folder.root)
    sys.stdout.write(f"Everything of the cloud in {folder.root} is removed.\n")


def show_status(simulated: bool, state: Path | None) -> None:
    """Print processes, API and agents; ends with status 1 when something is not as it should be."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    pid = launch.running(folder) if folder.root.exists() else None
    agents: list[dict[str, Any]] | None = None
    with contextlib.suppress(Fault), LocalApi(folder) as api:
        agents = api.get(f"{NETWORK}/agents")["agents"]
    if not pid and agents is None:
        sys.stdout.write(f"There is no cloud running in {folder.root}.\n")
        raise SystemExit(1)
    good = agents is not None
    if pid:
        told = json.loads(folder.status.read_text())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(told["since"]))
        lines = [f"cloud    {folder.root}, running since {since} UTC (supervisor {pid})"]
        for process in told["processes"]:
            good = good and process["ready"]
            how = "ready" if process["ready"] else "starting" if process["pid"] else "waiting to start again"
            restarts = f", started {process['starts']} times" if process["starts"] > 1 else ""
            lines.append(f"{process['name']:8} {how} (pid {process['pid']}{restarts})")
    else:
        lines = [f"cloud    {folder.root}, its processes run by a service manager"]
    if agents is None:
        lines.append("API      does not answer")
    else:
        alive = sum(agent["alive"] for agent in agents)
        url = public_url(bootstrap.settings_in_force(folder))
        lines += [f"API      {url}", f"agents   {alive} of {len(agents)} alive"]
        good = good and alive == len(agents)
    sys.stdout.write("\n".join(lines) + "\n")
    if not good:
        raise SystemExit(1)
