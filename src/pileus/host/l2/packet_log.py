"""Writes down the packets of logged devices, with a rate: into the agent's log, or a file of their own.

A line has the port, its groups and the logs that want it, what was decided, and the packet's addresses,
protocol and ports. What comes faster than the rate is counted, and told by the next line that may be written.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections.abc import Iterable
from typing import Any

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.openflow.table import PacketIn
from pileus.host.l2.devices import Wired
from pileus.host.l2.frames import described
from pileus.host.l2.logged import logs_of, read_verdict
from pileus.host.l2.settings import BridgeSettings

_log = log.get("host.l2.packets")


class PacketLog:
    """Follows the devices of a switch, and writes down what its flows tell of their packets."""

    def __init__(self, settings: BridgeSettings, clock: Clock) -> None:
        self._clock = clock
        self._devices: dict[int, Wired] = {}
        self._rate, self._burst = settings.log_rate_limit, settings.log_burst_limit
        self._tokens = float(self._burst)
        self._filled_at = clock.monotonic()
        self._left_out = 0
        self._file = _file_logger(settings.log_file) if settings.log_file else None

    def follow(self, devices: Iterable[Wired]) -> None:
        """These are the devices now."""
        self._devices = {one.number: one for one in devices if one.details.logs}

    @property
    def wanted(self) -> bool:
        """Whether any device is logged."""
        return bool(self._devices)

    def write(self, packet: PacketIn) -> None:
        """Write one packet down, if it is a logged device's and the rate lets it."""
        verdict = read_verdict(packet.userdata)
        device = self._devices.get(verdict.number) if verdict is not None else None
        if verdict is None or device is None:
            return
        logs = logs_of(device, verdict.action)
        if not logs:
            return
        if not self._may_write():
            self._left_out += 1
            return
        line: dict[str, Any] = {
            "action": verdict.action,
            "direction": verdict.direction,
            "port": device.details.port_id,
            "security_groups": sorted(device.details.security_group_ids),
            "project_ids": sorted({one.project_id for one in logs}),
            "log_ids": sorted(one.log_id for one in logs),
            **described(packet.data),
        }
        if self._left_out:
            line["left_out"], self._left_out = self._left_out, 0
        if self._file is None:
            _log.info("packet", **line)
        else:
            self._file.info(json.dumps({"at": self._clock.now().isoformat() + "Z", **line}))

    def _may_write(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _file_logger(path: str) -> logging.Logger:
    """A file that may be moved away at any time: another one is begun then."""
    logger = logging.Logger("packets")
    logger.addHandler(logging.handlers.WatchedFileHandler(path, delay=True, encoding="utf-8"))
    return logger
