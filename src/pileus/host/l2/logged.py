"""Flows that bring packets of logged devices to the agent: accepted ones, dropped ones, or both.

They stand in front of the pipeline's own, do the same, and besides send the packet to the controller with
a few bytes that say whose it is. Of a connection that is tracked the first packet is sent; where none are
(stateless groups) each packet is one of its own. A meter holds back what is more than the settings' rate,
so that a flood of packets reaches neither the switch's connection nor the agent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from pileus.drivers.openflow.flow import Flow
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired
from pileus.host.l2.qos import LOG_METER
from pileus.host.l2.rules import is_secured
from pileus.wire.switch import PacketLog

ACCEPT, DROP = "ACCEPT", "DROP"
_MARK = b"LG"
_FORM = struct.Struct("!2sBH")
_DROPPED, _INGRESS = 1, 2
_FAMILIES = ("ip", "ipv6")
_WAYS = (
    ("egress", t.EGRESS_RULES, t.EGRESS_ACCEPT, f"resubmit(,{t.SWITCH})"),
    ("ingress", t.INGRESS_RULES, t.INGRESS_ACCEPT, f"resubmit(,{t.OUTPUT_TABLE})"),
)


class Verdict(msgspec.Struct, frozen=True):
    """Whose packet the rules have judged, and how; ``number`` is the device's on this switch."""

    number: int
    direction: str
    action: str

    def encoded(self) -> bytes:
        """The bytes that a flow sends along."""
        bits = (_DROPPED if self.action == DROP else 0) | (_INGRESS if self.direction == "ingress" else 0)
        return _FORM.pack(_MARK, bits, self.number)


def read_verdict(userdata: bytes) -> Verdict | None:
    """Read what a flow has sent along; None: it is no flow of a log."""
    if len(userdata) != _FORM.size or not userdata.startswith(_MARK):
        return None
    _, bits, number = _FORM.unpack(userdata)
    direction = "ingress" if bits & _INGRESS else "egress"
    return Verdict(number, direction, DROP if bits & _DROPPED else ACCEPT)


def logs_of(wired: Wired, action: str) -> list[PacketLog]:
    """The logs that an accepted or dropped packet of a device is written into."""
    return [log for log in wired.details.logs if log.event in (action, "ALL")]


def log_flows(wired: Wired) -> list[Flow]:
    """All flows of one device's logs; none where nothing is asked of its packets."""
    if not is_secured(wired.details):
        return []
    return [Flow(*parts, t.DEVICE_COOKIE) for parts in _parts(wired)]


def _parts(wired: Wired) -> Iterator[tuple[int, int, str, str]]:
    own = f"{t.NUMBER}=0x{wired.number:x}"
    tracked = not wired.profile & t.STATELESS
    for direction, rules, accept, onward in _WAYS:
        if logs_of(wired, ACCEPT):
            tell = _controller(Verdict(wired.number, direction, ACCEPT))
            if tracked:
                new = f"ct(commit,zone={t.ZONE})"
                for family in _FAMILIES:
                    yield accept, 100, f"ct_state=+trk+new,{family},{own}", f"{tell},{new},{onward}"
            else:
                yield accept, 100, own, f"{tell},{onward}"
        if logs_of(wired, DROP):
            tell = _controller(Verdict(wired.number, direction, DROP))
            cut = f"ct(commit,zone={t.ZONE},exec(set_field:0x1->ct_mark))"
            for family in _FAMILIES if tracked else ():
                yield rules, 11, f"ct_state=+trk+est,ct_mark=0x0,{family},{own}", f"{tell},{cut}"
            yield rules, 1 if tracked else 21, own, tell


def _controller(verdict: Verdict) -> str:
    said = ".".join(f"{byte:02x}" for byte in verdict.encoded())
    return f"controller(userdata={said},meter_id={LOG_METER})"
