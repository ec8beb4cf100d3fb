"""The number that the kernel counts up with each change of a namespace's packet rules: one question tells
whether anybody changed them (linux/netfilter/nf_tables.h, NFT_MSG_GETGEN)."""

from __future__ import annotations

import os
import socket
import struct

from pileus.drivers.namespace import socket_in

_NETLINK_NETFILTER = 12
_GET_GENERATION = 10 << 8 | 16
_REQUEST = 1
_ERROR, _GENERATION_ID = 2, 1
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_S = 5.0


def read_generation(namespace: str | None) -> int:
    """The number of a namespace; blocks. Raises OSError."""
    with socket_in(namespace, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.bind((0, 0))
        body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _GET_GENERATION, _REQUEST, 1, 0) + body)
        answer = netlink.recv(1 << 16)
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(number, f"asking for the generation of the rules: {os.strerror(number)}")
    attributes = answer[_HEADER.size + 4 :]
    while len(attributes) >= _ATTRIBUTE.size:
        length, name = _ATTRIBUTE.unpack_from(attributes)
        if name == _GENERATION_ID:
            number = struct.unpack_from("!I", attributes, _ATTRIBUTE.size)[0]
            return int(number)
        attributes = attributes[(length + 3) & ~3 :]
    raise OSError("the kernel did not say the generation of the rules")
