"""``pileus up``, ``down`` and ``status``: one cloud on this machine, as a whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pileus.app import bootstrap, supervisor
from pileus.app.local import NETWORK, LocalApi
from pileus.app.prepare import prepare, public_url
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.core.settings import Settings

READY_WITHIN_S = 60.0
STOP_S = 40.0


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
    settings = bootstrap.read_settings(folder, config, options).settings
    if running(folder):
        bootstrap.fail(f"the cloud in {folder.root} is running already")
    try:
        prepare(folder, settings, () if simulated else (bootstrap.host_name(settings.agent.host),))
    except Fault as fault:
        bootstrap.fail(fault.text)
    file = str(config.absolute()) if config else ""
    environment = {"PILEUS_" + key.upper().replace(".", "_"): str(value) for key, value in options.items()}
    flags = ["simulated"] if simulated else []
    processes = [
        process(folder, "server", file, environment),
        process(folder, "agent", file, environment, flags=flags),
    ]
    launch(folder, settings, {"config": file, "options": options, "processes": processes}, detach)


def process(
    folder: StateFolder,
    name: str,
    file: str,
    environment: dict[str, str],
    *,
    flags: Sequence[str] = (),
    host: str = "",
) -> dict[str, Any]:
    """What the supervisor needs to start ``pileus.app.NAME``; agents follow the server. ``host``
    tells several agents of one machine apart."""
    title = f"{name}-{host}" if host else name
    return {
        "name": title,
        "argv": [sys.executable, "-m", f"pileus.app.{name}", str(folder.root), file, *flags],
        "log": str(folder.logs / f"{title}.log"),
        "after": [] if name == "server" else ["server"],
        "environment": environment,
    }


def launch(folder: StateFolder, settings: Settings, plan: dict[str, Any], detach: bool) -> None:
    """Become the supervisor of the plan's processes; with ``detach`` start it and wait until ready."""
    ready, tell = os.pipe()
    os.set_inheritable(tell, True)
    common = {"lock": str(folder.lock), "status": str(folder.status), "ready_fd": tell}
    folder.plan.write_text(json.dumps({**plan, **common}))
    argv = [sys.executable, "-I", "-S", supervisor.__file__, str(folder.plan)]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if detach:
        # Nothing of the caller's is kept open: whoever reads our output sees its end.
        log = os.open(folder.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        subprocess.Popen(
            argv, start_new_session=True, pass_fds=[tell], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        os.close(log)
        os.close(tell)
    else:
        pid = os.fork()
        if pid:  # the parent becomes the supervisor: signals of the terminal reach it as they should
            os.close(ready)
            os.execv(argv[0], argv)  # noqa: S606
        os.close(tell)
    answer = _answer(ready, folder)
    if answer == "ready":
        say_where(folder, public_url(settings))
        if not detach:
            os._exit(0)
        return
    if not detach:
        os._exit(1)
    bootstrap.fail(answer or "the cloud did not start; see the folder log in the state folder")


def _answer(ready: int, folder: StateFolder) -> str:
    """What the supervisor says, or that it takes too long (it goes on trying)."""
    if not select.select([ready], [], [], READY_WITHIN_S)[0]:
        waiting = [p["name"] for p in json.loads(folder.status.read_text())["processes"] if not p["ready"]]
        logs = ", ".join(str(folder.logs / f"{name}.log") for name in waiting)
        return f"not ready after {READY_WITHIN_S:.0f} s, still trying: {' and '.join(waiting)}; see {logs}"
    with os.fdopen(ready) as pipe:
        return pipe.readline().strip()


def say_where(folder: StateFolder, url: str) -> None:
    """Tell a person where everything is."""
    sys.stdout.write(
        f"The cloud is ready.\n"
        f"  API         {url}\n"
        f"  state       {folder.root}\n"
        f"  try         source {folder.openrc} && openstack network list\n"
        f"  openstack   OS_CLIENT_CONFIG_FILE={folder.clouds} openstack --os-cloud pileus network list\n"
        f"  logs        {folder.logs}\n"
    )
    sys.stdout.flush()


def running(folder: StateFolder) -> int | None:
    """The supervisor's pid, if the cloud in ``folder`` runs."""
    try:
        with folder.lock.open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(lock.readline() or 0)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except PermissionError:
        bootstrap.fail(f"the cloud in {folder.root} belongs to another user")
    return None


def take_down(simulated: bool, state: Path | None, purge: bool) -> None:
    """Stop the supervisor and wait for it; with ``purge`` remove what the cloud made."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    if not folder.keys.is_dir():  # and only ever remove a folder that is a cloud's
        bootstrap.fail(f"there is no cloud in {folder.root}")
    pid = running(folder)
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while running(folder):
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
        from pileus.app.lab_cloud import close_lab

        close_lab(folder)
    elif folder.plan.exists():
        agent = json.loads(folder.plan.read_text())["processes"][1]
        if "simulated" not in agent["argv"]:
            done = subprocess.run(
                [*agent["argv"], "purge"], env={**os.environ, **agent["environment"]}, check=False
            )
            if done.returncode:
                bootstrap.fail("not everything on this machine could be removed; the state folder is kept")
    shutil.rmtree(folder.root)
    sys.stdout.write(f"Everything of the cloud in {folder.root} is removed.\n")


def show_status(simulated: bool, state: Path | None) -> None:
    """Print processes, API and agents; ends with status 1 when something is not as it should be."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    pid = running(folder) if folder.root.exists() else None
    if not pid:
        sys.stdout.write(f"There is no cloud running in {folder.root}.\n")
        raise SystemExit(1)
    told = json.loads(folder.status.read_text())
    agents: list[dict[str, Any]] | None = None
    with contextlib.suppress(Fault), LocalApi(folder) as api:
        agents = api.get(f"{NETWORK}/agents")["agents"]
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(told["since"]))
    lines = [f"cloud    {folder.root}, running since {since} UTC (supervisor {pid})"]
    good = agents is not None
    for process in told["processes"]:
        good = good and process["ready"]
        how = "ready" if process["ready"] else "starting" if process["pid"] else "waiting to start again"
        again = f", started {process['starts']} times" if process["starts"] > 1 else ""
        lines.append(f"{process['name']:8} {how} (pid {process['pid']}{again})")
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
