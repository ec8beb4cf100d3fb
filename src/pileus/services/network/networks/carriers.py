"""Segments of networks: what a request asks for, what is written, and what a network says of them."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.core.ids import new_id
from pileus.core.repeats import first_repeat
from pileus.resource.declaration import Values
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.resource import NUMBER, PHYSICAL, TYPE
from pileus.services.network.rules import segments
from pileus.services.network.rules.segments import Segment

PROVIDER = (TYPE, PHYSICAL, NUMBER)


class SegmentsSetInConjunctionWithProviders(Invalid):
    message = "Segments and provider values cannot both be set."


class VlanTransparencyDriverError(Invalid):
    message = "Backend does not support VLAN Transparency."


class VlanQinqDriverError(Invalid):
    message = "Backend does not support VLAN QinQ."


class SegmentsContainDuplicateEntry(Invalid):
    message = "Duplicate segment entry in request."


def asked_segments(spec: Values, config: NetworkConfig) -> list[dict[str, Any]]:
    """Read the segments that a new network is to have, with its project; one that names none gets any."""
    several = spec.pop("segments", None)
    if several is not None and any(spec.get(name) is not None for name in PROVIDER):
        raise SegmentsSetInConjunctionWithProviders()
    wishes = [{name: one.get(name) for name in PROVIDER} for one in several or [spec]]
    for one in wishes:
        if several and one[TYPE] is None:
            raise InvalidInput("network_type required")
        check_provider(one, config)
    whole = [tuple(one.values()) for one in wishes if one[NUMBER] is not None or one[TYPE] == "flat"]
    if first_repeat(whole) is not None:
        raise SegmentsContainDuplicateEntry()
    return [{**one, "project_id": spec["project_id"]} for one in wishes]


def check_provider(one: Mapping[str, Any], config: NetworkConfig) -> None:
    """InvalidInput where the provider attributes of a segment don't go together."""
    if one.get(TYPE) is None:
        if one.get(PHYSICAL) is None and one.get(NUMBER) is None:
            return
        raise InvalidInput("provider:network_type required")
    segments.check(one[TYPE], one.get(PHYSICAL), one.get(NUMBER), config.ranges)


TAGS_PASS = frozenset({"vlan", "vxlan", "gre"})
"""Types of segments that carry guests' tagged frames: of flat ones tags say whose they are."""


def check_tags(network: Mapping[str, Any], chosen: Sequence[Segment]) -> None:
    """VlanTransparencyDriverError, VlanQinqDriverError: where a segment can't carry tags of guests so."""
    kinds = {one.network_type for one in chosen}
    if network["vlan_transparent"] and network["qinq"]:
        raise InvalidInput("vlan_transparent and qinq are two ways to carry tags: a network has one of them")
    if network["vlan_transparent"] and kinds - TAGS_PASS:
        raise VlanTransparencyDriverError()
    if network["qinq"] and kinds - {"vlan"}:
        raise VlanQinqDriverError()


def provider(segment: Segment) -> dict[str, Any]:
    """The provider attributes of a segment."""
    return {
        TYPE: segment.network_type,
        PHYSICAL: segment.physical_network or None,
        NUMBER: segment.segmentation_id or None,
    }


def carried(chosen: Sequence[Segment]) -> dict[str, Any]:
    """The values of a network that tell how it is carried, by its segments in their order."""
    first = chosen[0] if chosen else Segment("")
    return {**provider(first), "segments": None if len(chosen) == 1 else [provider(one) for one in chosen]}


def as_shown(network: Values) -> Values:
    """Hide the first segment's values where the network does not have just one."""
    if network.get("segments") is not None:
        network.update(dict.fromkeys(PROVIDER))
    return network


def segment_values(
    context: Context, network_id: str, chosen: Sequence[Segment], first: int = 0
) -> list[dict[str, Any]]:
    """Rows of new segments of a network, in order from the index ``first``."""
    return [
        {
            **segment._asdict(),
            "id": new_id(),
            "network_id": network_id,
            "segment_index": index,
            "name": None,
            "description": "",
            "created_at": context.now,
            "updated_at": context.now,
            "revision_number": 1,
        }
        for index, segment in enumerate(chosen, first)
    ]


def least_mtu(chosen: Sequence[Segment], asked: int | None, config: NetworkConfig) -> int:
    """The MTU of a network of these segments: no packet may be too big for any of them."""
    narrowest = min((one.network_type for one in chosen), key=lambda kind: segments.greatest_mtu(kind, 0))
    return segments.mtu(narrowest, asked, config.physical_mtu)


def narrow(network: MutableMapping[str, Any], chosen: Sequence[Segment], config: NetworkConfig) -> None:
    """Make a network's MTU one that fits through all its segments."""
    greatest = [segments.greatest_mtu(one.network_type, config.physical_mtu) for one in chosen]
    network["mtu"] = min([network["mtu"], *greatest])
