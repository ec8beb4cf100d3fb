"""Copies of a port's packets: to another port (taps), or in a tunnel to outside of the cloud (tap mirrors).

Directions are those of the API: ``IN`` is what the port gets, ``OUT`` what it sends, ``BOTH`` both.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.wire.records import Record
from pileus.wire.types import HostName, IpAddress, OptionalWord, Uuid, Word

VlanFilter = Annotated[str, Meta(pattern=r"\A([0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*)?\Z")]
"""``9,18,27-36``; empty: no filter. VLAN 0 stands for frames without a tag."""
TapNumber = Annotated[int, Meta(ge=1, le=(1 << 24) - 1)]
"""The number of a tap service in tunnels between hosts."""
TunnelKey = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]


class Tap(Record, frozen=True):
    """A tap flow whose source is the port: its packets go to ``target_port`` on ``target_host`` as well."""

    tap_id: Uuid
    number: TapNumber
    direction: Word
    target_port: Uuid
    target_host: HostName | None = None
    vlan_filter: VlanFilter = ""
    status: OptionalWord = ""


class TapService(Record, frozen=True):
    """A tap service whose target is the port. ``hosts`` are those where its sources are."""

    tap_id: Uuid
    number: TapNumber
    hosts: tuple[HostName, ...] = ()
    status: OptionalWord = ""


class TapMirror(Record, frozen=True):
    """A mirror whose source is the port. A direction without a key is not mirrored; one key may be that of
    both."""

    mirror_id: Uuid
    mirror_type: Word
    remote_ip: IpAddress
    in_key: TunnelKey | None = None
    out_key: TunnelKey | None = None
    both_key: TunnelKey | None = None


class PortTaps(Record, frozen=True):
    """All of a port's."""

    taps: tuple[Tap, ...] = ()
    services: tuple[TapService, ...] = ()
    mirrors: tuple[TapMirror, ...] = ()
