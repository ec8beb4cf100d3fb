"""Whether a machine that runs on one host can go on running on another one. Pure.

The words are those of Nova's checks (``InvalidHypervisorType``, ``DestinationHypervisorTooOld``,
``InvalidCPUInfo``).
"""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict


class Refused(Conflict):
    """The other host can't go on with the machine."""


def may_migrate(source: Any, target: Any) -> None:
    """Compare two rows of ``compute_nodes``. Raises Refused."""
    if not source.certificate or not target.certificate:
        silent = target if source.certificate else source
        raise Refused(f"Host {silent.host} takes no part in live migrations.")
    kinds = (source.hypervisor_type, source.virtualisation), (target.hypervisor_type, target.virtualisation)
    if kinds[0] != kinds[1]:
        raise Refused("The supplied hypervisor type of is invalid.")
    if target.hypervisor_version < source.hypervisor_version:
        raise Refused("The instance requires a newer hypervisor version than has been provided.")
    for name in ("arch", *(("vendor", "model") if source.virtualisation == "kvm" else ())):
        here, there = source.cpu_info.get(name, ""), target.cpu_info.get(name, "")
        if here != there:
            raise Refused(f"Unacceptable CPU info: CPU {name} is {there or 'not known'}, and not {here}")
