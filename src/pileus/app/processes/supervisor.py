"""Starts and watches the processes of one cloud, and does nothing else.

It runs as a program of its own with as few imports as it can, because it stays in
memory as long as the cloud runs: ``python -I -S supervisor.py PLAN`` where PLAN is a
JSON file::

    {"lock": path, "status": path, "ready_fd": 3 or null,
     "logs": [paths of all log files], "log_bytes": 0 or how long one may be, "log_files": how many old ones,
     "processes": [{"name", "argv", "log" or null, "after": [names], "environment": {}}]}

A process whose supervisor dies sees the end of the pipe ``PILEUS_LIFELINE`` and ends itself.
A process says that it is ready as it would say to systemd (``READY=1``). One that ends is
started again, after 0.2 s at first and 10 s at most. SIGTERM and SIGINT end the
processes in reverse order, and then the supervisor. When everything is ready for the
first time, ``ready`` is written to ``ready_fd``, and a service manager that started us is told. A process
that before that ends with status 78 (EX_CONFIG), or for the fourth time, won't be helped by starting it
again: the supervisor gives up, and writes the reason.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing itself stays out of memory
    from typing import Any, NoReturn

GRACE_S = 15.0
CONFIG_ERROR = 78
PATIENCE = 4
LOOK_AT_LOGS_S = 60.0


class Process:
    """One child: how to start it, and how it is."""

    def __init__(self, spec: dict[str, Any], ours: dict[str, str]) -> None:
        self.name: str = spec["name"]
        self.argv: list[str] = spec["argv"]
        self.log: str | None = spec["log"]
        self.after: list[str] = spec["after"]
        self.environment = {**os.environ, **spec["environment"], **ours}
        self.pid: int | None = None
        self.ready = False
        self.starts = 0
        self.started = 0.0
        self.not_before = 0.0
        self.delay = 0.2
        self.last_exit: int | None = None
        self.log_size = 0

    def start(self) -> None:
        if self.log and os.path.exists(self.log):  # noqa: PTH110 - pathlib would be another import
            self.log_size = os.path.getsize(self.log)  # noqa: PTH202
        self.pid = os.fork()
        if self.pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                # A ctrl-C at the terminal reaches the supervisor, which ends the others in order.
                os.setpgid(0, 0)
                if self.log:
                    log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
                    os.dup2(log, 1)
                    os.dup2(log, 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.execvpe(self.argv[0], self.argv, self.environment)  # noqa: S606 - replaces this process
            except OSError as error:
                os.write(2, f"{self.argv[0]}: {error}\n".encode())
            os._exit(127)
        self.starts += 1
        self.started = time.monotonic()
        self.ready = False

    def last_words(self) -> str:
        """Why it ended, if it said so (``pileus: …``); else where to look."""
        if self.log:
            with open(self.log, "rb") as file:  # noqa: PTH123
                file.seek(min(self.log_size, os.fstat(file.fileno()).st_size))
                said = [line for line in file.read().splitlines() if line.startswith(b"pileus: ")]
            if said:
                return ": " + said[-1][8:].decode(errors="replace")
        return f"; {self.log or 'see above'} says why"

    def ended(self, status: int) -> None:
        self.pid = None
        self.ready = False
        self.last_exit = os.waitstatus_to_exitcode(status)
        if time.monotonic() - self.started > 30:
            self.delay = 0.2
        self.not_before = time.monotonic() + self.delay
        self.delay = min(self.delay * 2, 10.0)


class Supervisor:
    """The loop over children, signals and notifications."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.lock = os.open(plan["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.give_up("this cloud is running already")
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        address = f"@pileus-{os.getpid()}-{os.urandom(8).hex()}"
        self.notify.bind("\0" + address[1:])
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # The processes hold the reading end: it tells them when the supervisor is gone, however it went.
        lifeline, self.lifeline = os.pipe2(os.O_CLOEXEC)
        os.set_inheritable(lifeline, True)
        ours = {"NOTIFY_SOCKET": address, "PILEUS_LIFELINE": str(lifeline)}
        self.processes = [Process(spec, ours) for spec in plan["processes"]]
        self.stopping = False
        self.was_ready = False
        self.since = time.time()

    def run(self) -> None:
        wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_w)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector = selectors.DefaultSelector()
        selector.register(wake_r, selectors.EVENT_READ)
        selector.register(self.notify, selectors.EVENT_READ)
        while not self.stopping:
            self.start_what_may()
            self.write_status()
            self.turn_logs()
            for key, _ in selector.select(self.until_next_start()):
                if key.fileobj is self.notify:
                    self.hear()
                else:
                    os.read(wake_r, 4096)
            self.reap()
        tell_service_manager("STOPPING=1")
        self.end_all()
        self.write_status()

    def stop(self, *_: object) -> None:
        self.stopping = True

    def start_what_may(self) -> None:
        for process in self.next_to_start():
            if time.monotonic() >= process.not_before:
                process.start()

    def next_to_start(self) -> list[Process]:
        """Processes that wait for their time only; others wait for a word of those that they come after."""
        ready = {process.name for process in self.processes if process.ready}
        return [p for p in self.processes if p.pid is None and ready.issuperset(p.after)]

    def until_next_start(self) -> float | None:
        waits = [process.not_before - time.monotonic() for process in self.next_to_start()]
        if waits:
            return max(0.0, min(waits)) + 0.01
        return LOOK_AT_LOGS_S if self.plan.get("log_bytes") else None

    def turn_logs(self) -> None:
        """Copy logs that have grown too long aside and begin them anew, in place: their writers append."""
        for path in self.plan.get("logs", ()) if self.plan.get("log_bytes") else ():
            try:
                if os.path.getsize(path) > self.plan["log_bytes"]:  # noqa: PTH202
                    turn_log(path, self.plan["log_files"])
            except OSError:
                pass  # not there yet, or the disk is full: later

    def hear(self) -> None:
        data, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(12))
        pid = None
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = int.from_bytes(content[:4], sys.byteorder)
        if b"READY=1" in data.split(b"\n"):
            for process in self.processes:
                if process.pid == pid:
                    process.ready = True
        if not self.was_ready and all(process.ready for process in self.processes):
            self.was_ready = True
            self.tell("ready")
            tell_service_manager("READY=1")

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in self.processes:
                if process.pid == pid:
                    process.ended(status)
                    hopeless = process.last_exit == CONFIG_ERROR or process.starts >= PATIENCE
                    if hopeless and not self.was_ready:
                        self.end_all()
                        self.give_up(f"{process.name} could not start{process.last_words()}")

    def end_all(self) -> None:
        for process in reversed(self.processes):
            if process.pid is None:
                continue
            os.kill(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_S
            while process.pid is not None:
                pid, status = os.waitpid(process.pid, os.WNOHANG)
                if pid:
                    process.ended(status)
                elif time.monotonic() > deadline:
                    os.kill(process.pid, signal.SIGKILL)
                    deadline = float("inf")
                else:
                    time.sleep(0.005)

    def write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "since": self.since,
            "running": not self.stopping,
            "processes": [
                {"name": p.name, "pid": p.pid, "ready": p.ready, "starts": p.starts, "last_exit": p.last_exit}
                for p in self.processes
            ],
        }
        temporary = self.plan["status"] + ".new"
        with open(temporary, "w") as file:  # noqa: PTH123 - pathlib would be another import
            json.dump(status, file)
        os.replace(temporary, self.plan["status"])  # noqa: PTH105

    def tell(self, text: str) -> None:
        if self.plan["ready_fd"] is not None:
            try:  # noqa: SIM105 - contextlib would be another import
                os.write(self.plan["ready_fd"], (text + "\n").encode())
            except BrokenPipeError:
                pass  # whoever waited has gone
            os.close(self.plan["ready_fd"])
            self.plan["ready_fd"] = None

    def give_up(self, reason: str) -> NoReturn:
        self.tell(reason)
        os.write(2, f"pileus: {reason}\n".encode())
        sys.exit(CONFIG_ERROR)


def tell_service_manager(text: str) -> None:
    """sd_notify(3), where a service manager started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:  # noqa: SIM105 - contextlib would be another import
            sock.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            pass  # it has gone


def turn_log(path: str, files: int) -> None:
    """``path`` becomes ``path.1``, that ``path.2``, and so on. What is written in the moment between
    the copy and the cut is lost."""
    for number in range(files - 1, 0, -1):
        if os.path.exists(f"{path}.{number}"):  # noqa: PTH110
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")  # noqa: PTH105
    source = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if files:
            target = os.open(f"{path}.1", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                while data := os.read(source, 1 << 20):
                    os.write(target, data)
            finally:
                os.close(target)
        os.ftruncate(source, 0)
    finally:
        os.close(source)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:  # noqa: PTH123
        plan = json.load(file)
    Supervisor(plan).run()
