"""A router's table as rendered, and the commands that a change takes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.forwarding import Forwarding
from pileus.drivers.nft.limits import AddressLimit
from pileus.drivers.nft.router import FloatingIp, Gateway, RouterRules, render

ROUTER = RouterRules(
    gateways=(Gateway("qg-1", "172.24.4.2"),),
    inside=("qr-2", "qr-1"),
    floating_ips=(
        FloatingIp("f2", "172.24.4.11", "10.0.0.6"),
        FloatingIp("f1", "172.24.4.10", "10.0.0.5"),
    ),
    metadata_port=9697,
)
FORWARDINGS = (
    Forwarding("p2", "udp", "172.24.4.10", (8000, 8003), "10.0.0.6", (80, 83)),
    Forwarding("p1", "tcp", "172.24.4.10", (2222, 2222), "10.0.0.5", (22, 22)),
    Forwarding("p3", "tcp", "172.24.4.10", (5000, 5999), "10.0.0.5", (5000, 5999)),
)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("router", ROUTER),
        ("no_gateway", RouterRules(inside=("qr-1",), metadata_port=9697)),
        ("forwarding", replace(ROUTER, floating_ips=(), forwardings=FORWARDINGS)),
        (
            "limits",
            replace(
                ROUTER,
                limits=(
                    AddressLimit("172.24.4.10", outward=True, rate_kbps=2000),
                    AddressLimit("172.24.4.10", outward=False, rate_kbps=8000, burst_kb=1000),
                    AddressLimit("2001:db8::2", outward=True, rate_kbps=1000),
                ),
            ),
        ),
        ("no_source_nat", replace(ROUTER, gateways=(Gateway("qg-1"),), metadata_port=None)),
    ],
)
def test_rendering(name: str, rules: RouterRules, golden: Callable[[str, str], None]) -> None:
    commands = difference(render(rules), None)
    golden(f"nft/{name}.json", "".join(json.dumps(command) + "\n" for command in commands))


def test_the_order_of_what_is_given_means_nothing() -> None:
    other = replace(ROUTER, inside=("qr-1", "qr-2"), floating_ips=ROUTER.floating_ips[::-1])
    assert render(other) == render(ROUTER)
