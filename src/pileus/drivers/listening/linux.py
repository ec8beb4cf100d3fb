"""Listening sockets of the kernel: a socket belongs to the namespace that it was opened in (setns(2)),
and is served from anywhere. It also keeps that namespace alive, so it is closed when that is to go."""

from __future__ import annotations

import asyncio
import socket

from pileus.drivers.listening.listeners import Listening, Place, Visit
from pileus.drivers.namespace import incarnation, socket_in

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
"""ip(7), linux/in6.h."""
_BACKLOG = 64


class LinuxListeners:
    """Listens inside namespaces of this machine."""

    def incarnation(self, namespace: str) -> int | None:
        """See Listeners."""
        return incarnation(namespace)

    async def listen(self, place: Place, visit: Visit, *, limit: int) -> Listening:
        """See Listeners."""
        listener = await asyncio.to_thread(_open, place)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            await visit(reader, writer, peer[0].partition("%")[0] if peer else "")

        try:
            return await asyncio.start_server(connected, sock=listener, limit=limit, backlog=_BACKLOG)
        except BaseException:
            listener.close()
            raise


def _open(place: Place) -> socket.socket:
    is_v6 = ":" in place.address
    listener = socket_in(place.namespace, socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.interface is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.interface.encode() + b"\0")
        if is_v6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        listener.setblocking(False)
        listener.bind((place.address, place.port))
    except BaseException:
        listener.close()
        raise
    return listener
