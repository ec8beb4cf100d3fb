"""Metering labels of distributed routers in the switch: flows, and counts that are read back."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace
from tests.unit.l2.test_l2_floating import GATEWAY, VLAN, actions_of, translation

from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2 import metered
from pileus.host.l2 import tables as t
from pileus.host.l2.floating import translation_flows
from pileus.host.l2.model import Model
from pileus.wire.distributed import DistributedRouter
from pileus.wire.l3 import MeteringLabel, MeteringRule
from pileus.wire.metering import MeteringCount

ALL = MeteringLabel(
    "label-1",
    (
        MeteringRule("egress", False, "10.1.0.0/24"),
        MeteringRule("egress", True, "10.1.0.9/32"),
        MeteringRule("ingress", False, None, "0.0.0.0/0"),
        MeteringRule("ingress", False, None, "2001:db8::/64"),
    ),
)
SENT = MeteringLabel("label-2", (MeteringRule("egress", False, None, "192.0.2.0/24"),))
ONE = DistributedRouter("router", (), metering_labels=(ALL, SENT))
TWO = DistributedRouter("other", (), metering_labels=(SENT,))


def test_a_label_has_a_number_for_each_router() -> None:
    found = metered.numbers([ONE, TWO])
    assert found.keys() == {("router", "label-1"), ("router", "label-2"), ("other", "label-2")}
    assert len(set(found.values())) == 3 and found == metered.numbers([TWO, ONE])


def test_rules_lead_to_one_flow_that_counts() -> None:
    flows = metered.label_flows(ALL, 5)
    assert {flow.cookie for flow in flows} == {t.COUNTER_COOKIE}
    assert actions_of(flows, t.METERING) == {
        "ip,reg15=0xb,nw_src=10.1.0.0/24": f"resubmit(,{t.COUNTED})",
        "ip,reg15=0xb,nw_src=10.1.0.9/32": "drop",
        "ip,reg15=0xa": f"resubmit(,{t.COUNTED})",
    }
    priorities = {flow.actions: flow.priority for flow in flows if flow.table == t.METERING}
    assert priorities["drop"] > priorities[f"resubmit(,{t.COUNTED})"]
    assert actions_of(flows, t.COUNTED) == {"reg15=0xa/0xfffffffe": "drop"}


def test_packets_are_led_through_the_labels_of_their_direction() -> None:
    found = metered.numbers([ONE])
    both = metered.through(ONE, found, "egress")
    assert both.count(f"resubmit(,{t.METERING}),") == 2 and both.endswith(",")
    inwards = metered.through(ONE, found, "ingress")
    assert inwards.count("set_field") == 1
    counted = replace(translation(), counted_in=inwards, counted_out=both)
    flows = translation_flows(counted, GATEWAY, VLAN)
    (sent,) = actions_of(flows, t.ROUTE).values()
    assert sent.startswith(f"{both}dec_ttl,"), "with the inner source address"
    (came,) = actions_of(flows, t.FLOATING_IN).values()
    assert came.startswith(inwards), "with the inner destination address"


def test_counts_are_read_as_a_router_counts() -> None:
    async def story() -> None:
        switch = SimulatedSwitch()
        client = switch.client()
        await client.connect()
        edit = Edit(client)
        edit.ensure_bridge("br-int", datapath_type="netdev")
        await edit.commit(wait_s=5)
        flows = SimulatedFlows(switch)
        model = Model(routers=(ONE, TWO))
        assert await metered.counted(flows, "br-none", model) == [], "the switch is away"
        found = metered.numbers(model.routers)
        mine = metered.label_flows(ALL, found["router", "label-1"])
        await flows.apply("br-int", mine)
        assert await metered.counted(flows, "br-int", Model()) == []
        flows.counted[mine[-1].key] = 3, 3 * 98
        assert await metered.counted(flows, "br-int", model) == [
            MeteringCount("label-1", "router", 3, 3 * 84, distributed=True)
        ]
        await client.close()

    asyncio.run(story())
