"""Types of the strings and numbers that cross a process line, checked when a record is decoded.

A string that becomes a path, the name of an interface or a namespace, a flow, or a line of a configuration
has a type that lets nothing through which means more than itself there. The bounds are those of what
the other side stores. Patterns end with ``\\Z``: ``$`` would let a newline pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

LONGEST_REASON = 16384

_ADDRESS = r"[0-9A-Fa-f:.]{2,45}"
_WORD = r"[A-Za-z0-9_.:-]"

Uuid = Annotated[str, Meta(pattern=r"\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")]
HostName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")]
"""A node's name; it is a file's name, too, where nodes are simulated."""
PoolName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
"""The name of a pool of volumes on its node."""
MacAddress = Annotated[str, Meta(pattern=r"\A[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")]
IpAddress = Annotated[str, Meta(pattern=rf"\A{_ADDRESS}\Z")]
"""In the form of an address: nothing else can be said with it. ``core/addresses`` reads it."""
IpPrefix = Annotated[str, Meta(pattern=rf"\A{_ADDRESS}/[0-9]{{1,3}}\Z")]
AddressOrPrefix = Annotated[str, Meta(pattern=rf"\A{_ADDRESS}(/[0-9]{{1,3}})?\Z")]
OptionalPrefix = Annotated[str, Meta(pattern=rf"\A({_ADDRESS}/[0-9]{{1,3}})?\Z")]
InterfaceId = Annotated[str, Meta(pattern=r"\A[!-~]{1,255}\Z")]
"""The id of a port as an interface of a switch names it: anybody with rights there may have written it."""
Word = Annotated[str, Meta(pattern=rf"\A{_WORD}{{1,64}}\Z")]
"""One of a few values, the name of a kind, of a format, of an option."""
OptionalWord = Annotated[str, Meta(pattern=rf"\A{_WORD}{{0,64}}\Z")]
Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{0,128}\Z")]
DomainName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{0,255}\Z")]
"""A host's name or a domain as DNS and dnsmasq's files have it; may be empty."""
Line = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]{0,1024}\Z")]
"""Text on one line."""
ShortLine = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]{0,64}\Z")]
NameLine = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]{0,255}\Z")]
Text = Annotated[str, Meta(max_length=LONGEST_REASON)]
"""Text that a person wrote or reads. It becomes no path, no interface, no flow and no line of a
configuration."""
_PEM = r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\n]{1,4096}-----END CERTIFICATE-----\n"
Pem = Annotated[str, Meta(pattern=rf"\A({_PEM})?\Z")]
"""One certificate as text, or nothing."""
Moment = Annotated[str, Meta(pattern=r"\A[0-9T:.+Z -]{0,64}\Z")]
"""A time as text; empty where nobody knows."""
UrlPath = Annotated[str, Meta(pattern=r"\A/[!-~]{0,4095}\Z")]
"""Below a server's address."""
GuestPath = Annotated[str, Meta(max_length=65536)]
"""The text of a guest's request, whatever that is."""
FilePath = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z")]
"""A relative path without a part that begins with a dot."""
Scope = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,32}:[!-~]{1,255}\Z")]
Scopes = Annotated[tuple[Scope, ...], Meta(max_length=100_000)]
"""The scopes of one agent, at most: some thousand things for each port of the largest node."""
TokenText = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,1024}\Z")]

Count = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
"""A number for a column of 32 bits."""
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Position = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Mtu = Annotated[int, Meta(ge=0, le=65535)]
PortNumber = Annotated[int, Meta(ge=-1, le=65535)]
ServicePortNumber = Annotated[int, Meta(ge=1, le=65535)]
"""A port of TCP or UDP that something listens at."""
Pause = Annotated[float, Meta(ge=0.01, le=86400)]
"""Seconds between two things that are done again and again: never none at all."""
IpVersion = Annotated[int, Meta(ge=4, le=6)]
Percent = Annotated[int, Meta(ge=0, le=100)]
PowerState = Annotated[int, Meta(ge=0, le=7)]


def clip(record: Struct, *names: str) -> None:
    """Cut fields of type Text (or mappings to it) that are too long: what went wrong is told all the same."""
    for name in names:
        value = getattr(record, name)
        if isinstance(value, str) and len(value) > LONGEST_REASON:
            force_setattr(record, name, value[:LONGEST_REASON])
        elif isinstance(value, Mapping) and any(len(text) > LONGEST_REASON for text in value.values()):
            force_setattr(record, name, {key: text[:LONGEST_REASON] for key, text in value.items()})
