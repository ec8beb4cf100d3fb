"""Asks for prefixes by a UDP socket in the router's namespace, one for each interface."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Collection, Mapping

from pileus.core import log
from pileus.drivers.delegation.exchange import Exchange
from pileus.drivers.delegation.messages import CLIENT_PORT, SERVER_PORT, SERVERS, decode
from pileus.drivers.delegation.spec import Asked
from pileus.drivers.namespace import incarnation, socket_in

_log = log.get("drivers.delegation")
_SIOCGIFINDEX = 0x8933
_Place = tuple[str, str, str, int | None]


class LinuxPrefixClients:
    """Asks inside namespaces of this machine."""

    def __init__(self) -> None:
        self._lines: dict[_Place, _Line] = {}
        self._exchanges: dict[str, tuple[Asked, _Place, Exchange]] = {}
        self._held: dict[str, str | None] = {}
        self._news: set[str] = set()
        self._woken = asyncio.Event()
        self._releasing: set[asyncio.Task[None]] = set()

    async def ask(self, wanted: Collection[Asked], served: Collection[str]) -> None:
        """See PrefixClients."""
        places = {one.key: (one, _place(one)) for one in wanted}
        for key, (one, place, exchange) in list(self._exchanges.items()):
            if key in places and places[key][1] == place and places[key][0].owner == one.owner:
                continue
            del self._exchanges[key]
            self._held.pop(key, None)
            if key not in places and one.owner in served:
                task = asyncio.create_task(exchange.release())
                self._releasing.add(task)
                task.add_done_callback(self._released)
            else:
                exchange.close()
                self._lines[place].exchanges.remove(exchange)
        for key, (one, place) in places.items():
            if key not in self._exchanges:
                line = self._lines.setdefault(place, _Line(one))
                changed = _Changed(self, key)
                exchange = Exchange(one.client, one.association, one.hint, line.send, changed)
                line.exchanges.append(exchange)
                self._exchanges[key] = (one, place, exchange)
        self._drop_lines()

    def _released(self, task: asyncio.Task[None]) -> None:
        self._releasing.discard(task)
        self._drop_lines()

    def _drop_lines(self) -> None:
        """Close sockets that nobody uses; those that say goodbye use them until they have."""
        if self._releasing:
            return
        used = {place for _, place, _ in self._exchanges.values()}
        for place in self._lines.keys() - used:
            self._lines.pop(place).close()
        for place, line in self._lines.items():
            line.exchanges = [one for _, at, one in self._exchanges.values() if at == place]

    def note(self, key: str) -> None:
        """A prefix is another one, or lost."""
        if key in self._exchanges:
            self._held[key] = self._exchanges[key][2].prefix
            self._news.add(key)
            self._woken.set()

    def held(self) -> Mapping[str, str | None]:
        """See PrefixClients."""
        return self._held

    async def changed(self) -> Collection[str]:
        """See PrefixClients."""
        await self._woken.wait()
        self._woken.clear()
        news, self._news = self._news, set()
        return news

    def close(self) -> None:
        """See PrefixClients."""
        for _, _, exchange in self._exchanges.values():
            exchange.close()
        for task in self._releasing:
            task.cancel()
        for line in self._lines.values():
            line.close()
        self._exchanges.clear()
        self._lines.clear()


class _Changed:
    def __init__(self, clients: LinuxPrefixClients, key: str) -> None:
        self._clients, self._key = clients, key

    def __call__(self) -> None:
        self._clients.note(self._key)


class _Line:
    """The socket of one interface. It is opened when something is said: the address may not be there yet."""

    def __init__(self, asked: Asked) -> None:
        self.exchanges: list[Exchange] = []
        self._asked = asked
        self._socket: socket.socket | None = None
        self._index = 0

    def send(self, octets: bytes) -> None:
        """Say it to all servers; OSError."""
        if self._socket is None:
            self._open()
        assert self._socket is not None
        try:
            self._socket.sendto(octets, (SERVERS, SERVER_PORT, 0, self._index))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        asked = self._asked
        channel = socket_in(asked.namespace, socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            channel.setblocking(False)
            packed = struct.pack("16si", asked.interface.encode(), 0)
            (self._index,) = struct.unpack_from("16xi", fcntl.ioctl(channel.fileno(), _SIOCGIFINDEX, packed))
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, asked.interface.encode() + b"\0")
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
            channel.bind((asked.source, CLIENT_PORT, 0, self._index))
        except BaseException:
            channel.close()
            raise
        self._socket = channel
        asyncio.get_running_loop().add_reader(channel.fileno(), self._hear)

    def _hear(self) -> None:
        assert self._socket is not None
        try:
            octets = self._socket.recv(4096)
            message = decode(octets)
        except (OSError, ValueError) as error:
            _log.debug("no message of a server", interface=self._asked.interface, error=str(error))
            return
        for exchange in list(self.exchanges):
            exchange.hear(message)


def _place(one: Asked) -> _Place:
    return (one.namespace, one.interface, one.source, incarnation(one.namespace))
