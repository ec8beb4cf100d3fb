"""Fixtures of the suites that are asked of a real part and of its simulated twin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.switches import Host, RealHost, SimulatedHost, running_host, why_not_real


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with a switch: simulated, then with Open vSwitch of its own."""
    if request.param == "real" and (reason := why_not_real()) is not None:
        pytest.skip(reason)
    with running_host(RealHost if request.param == "real" else SimulatedHost) as running:
        yield running


@pytest.fixture
def real_host() -> Iterator[Host]:
    """A host with a real switch, for questions about packets."""
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    with running_host(RealHost) as running:
        yield running
