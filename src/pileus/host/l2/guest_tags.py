"""Frames that guests have tagged, in networks that let them pass: VLAN transparency and QinQ.

The guest's tag stays on the frame inside, where others have none; between the bridges the local VLAN comes on
top of it. What a secured guest may claim to be is the same with a tag as without: the switch looks behind one
tag. It looks behind two if the database says so, which frames from a physical network need.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pileus.host.l2 import tables as t
from pileus.host.l2.model import Model
from pileus.host.l2.view import SwitchView
from pileus.wire.switch import NetworkDetails

Parts = tuple[int, int, str, str]
TAGGED = "vlan_tci=0x1000/0x1000"
VLAN_LIMIT = "vlan-limit"
_ENOUGH = ("0", "2")
"""As many tags as the switch can, or two (ovs-vswitchd.conf.db(5))."""


class RaiseVlanLimit(msgspec.Struct, frozen=True):
    """Have the switch look behind two tags."""

    name: str = VLAN_LIMIT

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """The columns of the switch's own row that it writes."""
        return {"other_config": {VLAN_LIMIT: _ENOUGH[0]}}


def passes_tags(network: NetworkDetails) -> bool:
    """Whether frames that guests have tagged pass."""
    return network.vlan_transparent or network.qinq


def limit_edits(model: Model, view: SwitchView) -> Iterator[RaiseVlanLimit]:
    """Look behind two tags where a network here needs it. It stays so: others may need it, too."""
    needed = any(
        passes_tags(network) and network.segment.network_type == "vlan" for network in model.networks.values()
    )
    if needed and view.vlan_limit not in _ENOUGH:
        yield RaiseVlanLimit()


def network_parts(vlan: int) -> Iterator[Parts]:
    """Flows of such a network: tagged broadcasts go to everybody, since an address may be somebody else's
    behind another tag; and what secured guests may not say they may not say with a tag either."""
    tagged = f"{t.NETWORK}=0x{vlan:x},{TAGGED}"
    yield t.SWITCH, 45, f"{tagged},dl_dst={t.MULTICAST}", f"resubmit(,{t.FLOOD})"
    yield t.GUARD, 1002, f"udp,{tagged},tp_src=67,tp_dst=68", "drop"
    yield t.GUARD, 1002, f"udp6,{tagged},tp_src=547,tp_dst=546", "drop"
    for kind in (134, 137):
        yield t.GUARD, 1002, f"icmp6,{tagged},icmp_type={kind}", "drop"


def device_parts(origin: str) -> Iterator[Parts]:
    """The flow by which a secured device's tagged frames are looked at as its others are."""
    yield t.GUARD, 1001, f"{origin},{TAGGED}", f"resubmit(,{t.SOURCE})"


def to_wire(vlan_id: int, *, service: bool) -> str:
    """The actions that turn the local VLAN into the wire's, as a service tag where asked for."""
    number = f"set_field:{0x1000 + vlan_id}->vlan_vid"
    return f"pop_vlan,push_vlan:0x88a8,{number}" if service else number
