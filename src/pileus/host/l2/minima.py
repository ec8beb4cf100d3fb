"""Least bandwidths that are asked for and that no queue of this switch guarantees: they are said once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pileus.wire.switch import DeviceDetails


class UnmetMinima:
    """Says which ports ask for a least bandwidth that is not enforced here; again only when these change."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._said: dict[str, int] = {}

    def look(self, devices: Iterable[DeviceDetails]) -> None:
        """Look at what is wired now."""
        asked = {
            device.port_id: device.qos.egress_minimum_kbps
            for device in devices
            if device.qos is not None and device.qos.egress_minimum_kbps
        }
        new = {port_id: kbps for port_id, kbps in asked.items() if self._said.get(port_id) != kbps}
        self._said = asked
        if new:
            self._logger.warning(
                "a least bandwidth is not enforced here: no queues are set up",
                ports=dict(sorted(new.items())),
            )
