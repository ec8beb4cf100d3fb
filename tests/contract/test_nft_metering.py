"""Metering of a router's traffic: to nftables and to the simulated filter, and with packets."""

from __future__ import annotations

import pytest
from tests.contract.test_nft import ROUTER, Place, Wires, place, wires

from pileus.drivers.nft.metering import TABLE, Label, Metered, counter_name, label_id, render

__all__ = ["place", "wires"]

ID = "11111111-2222-3333-4444-555555555555"
OUT = Metered(inwards=False, excluded=False, source="10.0.0.0/8")
NOT_TWO = Metered(inwards=False, excluded=True, source="10.1.0.6/32")
IN_SIX = Metered(inwards=True, excluded=False, destination="2001:db8::/32")


def test_labels_come_change_and_go(place: Place) -> None:
    gateways = ["qg-1", "qg-2"]
    for labels in ([Label(ID, (OUT,))], [Label(ID, (OUT, NOT_TWO, IN_SIX)), Label(ID[::-1])], []):
        assert place.apply(render(gateways, labels))
        assert place.apply(render(gateways, labels)) == []
    assert place.read(render(gateways, [])) is None
    assert label_id(counter_name(ID)) == ID


@pytest.mark.real
def test_what_leaves_by_the_gateway_is_counted_once(wires: Wires) -> None:
    wires.apply(ROUTER)
    table = render(["qg-1"], [Label(ID, (OUT, NOT_TWO))])
    wires.run(wires.filter.apply({wires.router: [table]}))

    def counted() -> tuple[int, int]:
        return wires.run(wires.filter.read([wires.router]))[wires.router]["inet", TABLE].objects[
            "counter", counter_name(ID)
        ]

    wires.serve(wires.out, "192.0.2.1", 1000)
    assert counted() == (0, 0)
    assert wires.ask(wires.two, "192.0.2.1", 1000) == "192.0.2.2"
    assert counted() == (0, 0), "excluded"
    assert wires.ask(wires.one, "192.0.2.1", 1000) == "192.0.2.2"
    packets, octets = counted()
    assert 3 <= packets <= 8 and octets >= packets * 40
    # Another rule beside it: the counter stands.
    more = render(["qg-1"], [Label(ID, (OUT, NOT_TWO, IN_SIX))])
    wires.run(wires.filter.apply({wires.router: [more]}))
    assert counted() == (packets, octets)
