"""Least bandwidths that the switch does not enforce are said, once."""

from __future__ import annotations

from typing import Any

from pileus.host.l2.minima import UnmetMinima
from pileus.wire.qos import PortQos

from .scene import device


class Logger:
    def __init__(self) -> None:
        self.said: list[dict[str, int]] = []

    def warning(self, text: str, **facts: Any) -> None:
        self.said.append(facts["ports"])


def test_each_is_said_once() -> None:
    logger = Logger()
    minima = UnmetMinima(logger)
    plain, one = device(1), device(2, qos=PortQos(egress_minimum_kbps=100))
    minima.look([plain, one])
    minima.look([one, plain])
    assert logger.said == [{one.port_id: 100}]
    more = device(2, qos=PortQos(egress_minimum_kbps=200))
    minima.look([plain, more])
    minima.look([plain])
    minima.look([more])
    assert logger.said[1:] == [{one.port_id: 200}, {one.port_id: 200}]
