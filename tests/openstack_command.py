"""The ``openstack`` command without its start, which takes a second of a processor each time.

``folder()`` is a folder for a PATH. Its ``openstack`` hands arguments, environment, folder and standard
streams to a process that has imported the command; that one forks, and the child runs its main function as
the program would.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

_CLIENT = """#!{python} -IS
import array, json, os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect({path!r})
said = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
fds = array.array("i", [0, 1, 2]).tobytes()
sock.sendmsg([len(said).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
sock.sendall(said)
sys.exit(int(sock.makefile().read() or 70))
"""


@functools.cache
def folder() -> str:
    """The folder with ``openstack``, whose process ends with the tests."""
    place = Path(tempfile.mkdtemp(prefix="openstack-"))
    path = place / "socket"
    command = place / "openstack"
    command.write_text(_CLIENT.format(python=sys.executable, path=str(path)))
    command.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, __file__, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return str(place)


def _serve(path: str) -> None:
    from openstackclient import shell

    sys.argv = ["openstack"]
    for line in ("--version", "network list --help"):  # loads what they load each time
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            shell.main(line.split())
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(16)
    print("ready", flush=True)
    while True:
        sock, _ = server.accept()
        if os.fork() == 0:
            if os.fork() == 0:
                _answer(sock)
            os._exit(0)
        os.wait()
        sock.close()


def _answer(sock: socket.socket) -> None:
    """Run the command in this process, and tell its status."""
    from openstackclient import shell

    size, fds, _, _ = socket.recv_fds(sock, 8, 3)
    told = sock.makefile("rb").read(int.from_bytes(size, "big"))
    arguments, environment, place = json.loads(told)
    for wanted, given in enumerate(fds):
        os.dup2(given, wanted)
        os.close(given)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(place)
    sys.argv = ["openstack", *arguments]
    status = 1
    try:
        status = shell.main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        for number in range(3):
            os.close(number)  # whoever reads sees the end before the status
        sock.sendall(str(status or 0).encode())
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
