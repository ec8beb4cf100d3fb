"""Starting the supervisor of one cloud's processes, and finding the one that runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from pileus.app import bootstrap
from pileus.app.local import IDENTITY, LocalApi
from pileus.app.prepare import known_project, public_url, write_clients_files
from pileus.app.processes import supervisor
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.errors import Fault

READY_WITHIN_S = 300.0
"""Long for slow and emulated machines: what can't start is given up by the supervisor, long before."""
SAY_EVERY_S = 10.0


# glibc gives each busy thread an arena of its own and keeps what each has ever needed. After a first large
# piece (a password is hashed in 19 MiB) it would take such pieces from an arena, too, and not give them back.
_MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}


def process(
    folder: StateFolder,
    name: str,
    file: str,
    environment: dict[str, str],
    *,
    flags: Sequence[str] = (),
    host: str = "",
) -> dict[str, Any]:
    """Describe to the supervisor how to start ``pileus.app.processes.NAME``; agents follow the server.
    ``host`` tells several agents of one machine apart."""
    title = f"{name}-{host}" if host else name
    return {
        "name": title,
        "argv": [sys.executable, "-m", f"pileus.app.processes.{name}", str(folder.root), file, *flags],
        "log": str(folder.logs / f"{title}.log"),
        "after": [] if name == "server" else ["server"],
        "environment": {**_MEMORY, **environment},
    }


def launch(folder: StateFolder, settings: Settings, plan: dict[str, Any], detach: bool) -> None:
    """Become the supervisor of the plan's processes; with ``detach`` start it and wait until ready."""
    ready, tell = os.pipe()
    os.set_inheritable(tell, True)
    logs = [str(folder.logs / "supervisor.log"), *(process["log"] for process in plan["processes"])]
    common = {
        "lock": str(folder.lock),
        "status": str(folder.status),
        "ready_fd": tell,
        "logs": logs,
        "log_bytes": settings.log.max_mib << 20,
        "log_files": settings.log.files,
    }
    folder.plan.write_text(json.dumps({**plan, **common}))
    argv = [sys.executable, "-I", "-S", supervisor.__file__, str(folder.plan)]
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
        _learn_project(folder, settings)
        say_where(folder, public_url(settings))
        if not detach:
            os._exit(0)
        return
    if not detach:
        os._exit(1)
    bootstrap.fail(answer or "the cloud did not start; see the folder log in the state folder")


def _learn_project(folder: StateFolder, settings: Settings) -> None:
    """Put the id of the admin's project into the clients' files: it is known since the first start."""
    with contextlib.suppress(Fault, LookupError), LocalApi(folder) as api:
        projects = api.get(f"{IDENTITY}/auth/projects")["projects"]
        mine = [one["id"] for one in projects if (one["name"], one["domain_id"]) == ("admin", "default")]
        found = mine[0]
        if found != known_project(folder):
            write_clients_files(folder, settings, folder.admin_password.read_text().strip(), found)


def _answer(ready: int, folder: StateFolder) -> str:
    """Return what the supervisor says, or that it takes too long (it goes on trying); meanwhile say what is
    being waited for."""
    began = time.monotonic()
    while not select.select([ready], [], [], SAY_EVERY_S)[0]:
        seconds = time.monotonic() - began
        waiting = _not_ready(folder)
        logs = ", ".join(str(folder.logs / f"{name}.log") for name in waiting)
        text = f"{' and '.join(waiting) or 'the supervisor'}; see {logs or folder.logs}"
        if seconds >= READY_WITHIN_S:
            return f"not ready after {seconds:.0f} s, still trying: {text}"
        sys.stderr.write(f"Waiting for {text} ({seconds:.0f} s)\n")
        sys.stderr.flush()
    with os.fdopen(ready) as pipe:
        return pipe.readline().strip()


def _not_ready(folder: StateFolder) -> list[str]:
    try:
        status = json.loads(folder.status.read_text())
    except FileNotFoundError:
        return []
    return [process["name"] for process in status["processes"] if not process["ready"]]


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
