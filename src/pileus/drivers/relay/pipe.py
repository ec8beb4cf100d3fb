"""``python -m pileus.drivers.relay.pipe SOCKET``: a Unix socket on standard input and output, as ``socat``
does it, for places that have Pileus and no socat."""

from __future__ import annotations

import os
import socket
import sys
import threading

_CHUNK = 1 << 16


def main(path: str) -> None:
    """Copy both ways until the socket's side has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)

        def outward() -> None:
            while data := os.read(0, _CHUNK):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=outward, daemon=True).start()
        while data := connection.recv(_CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
