"""Requests of flavors and images for resources: ``resources:CLASS``, ``trait:NAME``, with suffixes. Pure.

Source: Nova's administrator guide, "Compute flavors" (granular requests in extra specs), and the image
property ``trait:NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.services.compute.rules.candidates import Group, Question
from pileus.services.compute.rules.providers import DISK_GB, MEMORY_MB, OF_HOSTS, VCPU

_ASKED = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{0,64}):([A-Z0-9_]+)")
_FIELDS = {VCPU: "vcpus", MEMORY_MB: "memory_mib", DISK_GB: "disk_gib"}


def question_of(extra_specs: Mapping[str, str], image: Mapping[str, Any]) -> Question | None:
    """All that is asked besides CPUs, memory and disk of the host itself; None where nothing is."""
    groups: dict[str, Group] = {}
    for key, value in extra_specs.items():
        found = _ASKED.fullmatch(key)
        if found is not None:
            kind, suffix, name = found.groups()
            group = groups.get(suffix, Group(suffix=suffix, with_root=not suffix))
            groups[suffix] = (
                _resource(group, name, value) if kind == "resources" else _trait(group, name, value)
            )
    for key, value in image.items():
        if key.startswith("trait:"):
            group = groups.get("", Group(with_root=True))
            groups[""] = _trait(group, key.removeprefix("trait:"), str(value))
    asked = tuple(one for one in groups.values() if one.resources or one.required or one.forbidden)
    return Question(groups=asked, isolate=extra_specs.get("group_policy") == "isolate") if asked else None


def _resource(group: Group, name: str, value: str) -> Group:
    amount = _amount(value)
    if amount <= 0 or (not group.suffix and name in OF_HOSTS):
        return group
    return msgspec.structs.replace(group, resources={**group.resources, name: amount})


def _trait(group: Group, name: str, value: str) -> Group:
    if value == "required":
        return msgspec.structs.replace(group, required=(*group.required, frozenset({name})))
    if value == "forbidden":
        return msgspec.structs.replace(group, forbidden=group.forbidden | {name})
    return group


def _amount(value: str) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0


def room_of(server: Mapping[str, Any], extra_specs: Mapping[str, str]) -> dict[str, Any]:
    """The CPUs, memory and disk that a host promises a server: as much as it has, or as the flavor says
    (``resources:VCPU=0``: it shall not count)."""
    return {
        field: _amount(extra_specs[f"resources:{name}"])
        if f"resources:{name}" in extra_specs
        else int(server[field])
        for name, field in _FIELDS.items()
    }
