"""Sockets that belong to a network namespace while we stay where we are."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path

from pileus.core.names import path_part

_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")


def incarnation(namespace: str) -> int | None:
    """A number that differs when a namespace of this name is made anew; None: there is none."""
    try:
        return (_NAMESPACES / path_part(namespace)).stat().st_ino
    except (OSError, ValueError):  # a name that can be none's is not there either
        return None


def socket_in(namespace: str | None, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket in the namespace that ``ip netns`` knows by this name; None: in ours. Raises OSError.

    It is opened by a thread that goes there and ends: a namespace is a thread's, and a socket keeps
    the one that it was opened in.
    """
    if namespace is None:
        return socket.socket(family, kind, protocol)
    result: list[socket.socket | OSError] = []

    def go() -> None:
        try:
            descriptor = os.open(_NAMESPACES / path_part(namespace), os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, f"entering {namespace}: {os.strerror(number)}")
                result.append(socket.socket(family, kind, protocol))
            finally:
                os.close(descriptor)
        except ValueError as error:
            result.append(OSError(str(error)))
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
