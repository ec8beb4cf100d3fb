"""Router advertisements by raw sockets of ICMPv6 (RFC 3542), one for each interface, in its namespace.

Sent a few times at the beginning, then every few minutes, and to whoever asks (RFC 4861, 6.2).
"""

from __future__ import annotations

import asyncio
import fcntl
import random
import socket
import struct
from collections.abc import Collection

from pileus.core import log
from pileus.drivers.advertising.advertisers import ROUTER_SOLICITATION, Advertisement, message
from pileus.drivers.namespace import incarnation, socket_in

_log = log.get("drivers.advertising")

_ALL_NODES, _ALL_ROUTERS = "ff02::1", "ff02::2"
_ICMP6_FILTER = 1
_HOPS = 255
_SIOCGIFINDEX = 0x8933
_FIRST_S = (0.0, 1.0, 3.0)
"""The interface's own address may need a second until it can be used (RFC 4862)."""
_EVERY_S = (150.0, 200.0)
_HEARD_WITHIN_S = 0.1
"""A farewell waits so long before its link may go: what the switch has not read of it by then is lost."""
_PAUSE_S = 0.3
"""Between two answers: one is heard by everybody."""


class LinuxAdvertisers:
    """Sends advertisements inside namespaces of this machine."""

    def __init__(self) -> None:
        self._speakers: dict[tuple[str, str, int | None], _Speaker] = {}

    async def advertise(self, wanted: Collection[Advertisement]) -> None:
        """See Advertisers."""
        places = {(item.namespace, item.interface, incarnation(item.namespace)): item for item in wanted}
        leaving = [self._speakers.pop(key) for key in self._speakers.keys() - places.keys()]
        for speaker in leaving:
            speaker.say(lifetime_s=0)
            speaker.close()
        if leaving:
            await asyncio.sleep(_HEARD_WITHIN_S)
        for key, item in places.items():
            present = self._speakers.get(key)
            if present is None:
                try:
                    self._speakers[key] = _Speaker(item, await asyncio.to_thread(_open, item))
                except (OSError, ValueError) as error:
                    _log.warning("a router can't be advertised", interface=item.interface, error=str(error))
            elif present.advertisement != item:
                present.change(item)

    def close(self) -> None:
        """See Advertisers."""
        for speaker in self._speakers.values():
            speaker.close()
        self._speakers.clear()


class _Speaker:
    """One interface's socket, and the task that speaks from time to time."""

    def __init__(self, advertisement: Advertisement, channel: socket.socket) -> None:
        self.advertisement = advertisement
        self._socket = channel
        self._asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(channel.fileno(), self._hear)
        self._task = asyncio.create_task(self._speak())

    def change(self, advertisement: Advertisement) -> None:
        self.advertisement = advertisement
        self._asked.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._task.cancel()
        self._socket.close()

    def say(self, *, lifetime_s: int | None = None) -> None:
        """To everybody on the link. That nobody can be reached now is no failure: it is said again."""
        index = _index(self._socket, self.advertisement.interface)
        if index is None:
            return
        octets = message(self.advertisement, **({} if lifetime_s is None else {"lifetime_s": lifetime_s}))
        source = socket.inet_pton(socket.AF_INET6, self.advertisement.source) + struct.pack("=I", index)
        try:
            self._socket.sendmsg(
                [octets],
                [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source)],
                0,
                (_ALL_NODES, 0, 0, index),
            )
        except OSError as error:
            _log.debug(
                "an advertisement was not sent", interface=self.advertisement.interface, error=str(error)
            )

    def _hear(self) -> None:
        """Only solicitations get through the filter."""
        try:
            self._socket.recv(2048)
        except OSError:
            return
        self._asked.set()

    async def _speak(self) -> None:
        for pause in _FIRST_S:
            await asyncio.sleep(pause)
            self.say()
        while True:
            try:
                async with asyncio.timeout(random.uniform(*_EVERY_S)):  # noqa: S311 - no secret
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            self.say()
            await asyncio.sleep(_PAUSE_S)


def _open(item: Advertisement) -> socket.socket:
    channel = socket_in(item.namespace, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, item.interface.encode() + b"\0")
        blocked = bytearray(b"\xff" * 32)
        blocked[ROUTER_SOLICITATION // 32 * 4 : ROUTER_SOLICITATION // 32 * 4 + 4] = struct.pack(
            "=I", 0xFFFFFFFF & ~(1 << (ROUTER_SOLICITATION % 32))
        )
        channel.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
            channel.setsockopt(socket.IPPROTO_IPV6, option, _HOPS)
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        index = _index(channel, item.interface)
        if index is None:
            raise OSError(f"there is no interface {item.interface}")
        group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=I", index)
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    except BaseException:
        channel.close()
        raise
    return channel


def _index(channel: socket.socket, interface: str) -> int | None:
    """An interface's number in the namespace of a socket (netdevice(7))."""
    try:
        answer = fcntl.ioctl(
            channel, _SIOCGIFINDEX, struct.pack("16si", interface.encode(), 0).ljust(40, b"\0")
        )
    except OSError:
        return None
    number: int = struct.unpack_from("=i", answer, 16)[0]
    return number
