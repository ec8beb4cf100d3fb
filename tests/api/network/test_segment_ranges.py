"""Ranges of segments: those of the settings, those of projects, and what networks get of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, P1, P2, Cloud, tell

from pileus.services.network.rules.segments import Ranges

PATH = "/v2.0/network_segment_ranges"
SMALL = msgspec.structs.replace(
    CONFIG, ranges=Ranges(vlan={"physnet1": ((100, 102),)}, vxlan=((1, 20),), gre=())
)


async def _make(admin: Cloud, **values: Any) -> Any:
    usual = {"network_type": "vxlan", "minimum": 11, "maximum": 13, "shared": False, "project_id": P1}
    return await admin("POST", PATH, {"network_segment_range": {**usual, **values}})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_project_gets_its_own_range_first_and_nobody_elses(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        assert (await api("GET", PATH)).status == 403
        listed = (await admin("GET", PATH)).json["network_segment_ranges"]
        assert [(one["network_type"], one["minimum"], one["maximum"], one["default"]) for one in listed] == [
            ("vlan", 100, 102, True),
            ("vxlan", 1, 20, True),
        ]
        assert listed[1]["available"] == list(range(1, 21))
        made = await _make(admin, name="mine")
        assert made.status == 201
        one = made.json["network_segment_range"]
        assert (one["default"], one["shared"], one["project_id"], one["used"]) == (False, False, P1, {})
        assert one["available"] == [11, 12, 13]

        async def number(person: Cloud) -> int:
            network = await person.make("network")
            shown = await admin("GET", f"/v2.0/networks/{network['id']}")
            return int(shown.json["network"]["provider:segmentation_id"])

        mine = [await number(api) for _ in range(4)]
        assert sorted(mine[:3]) == [11, 12, 13]
        assert mine[3] not in range(11, 14)
        theirs = {await number(bob) for _ in range(8)}
        assert not theirs & {11, 12, 13}
        shown = (await admin("GET", f"{PATH}/{one['id']}")).json["network_segment_range"]
        assert (shown["available"], shown["used"]) == ([], {"11": P1, "12": P1, "13": P1})

        async def put(**values: Any) -> Any:
            return await admin("PUT", f"{PATH}/{one['id']}", {"network_segment_range": values})

        impacted = await put(minimum=12)
        assert (impacted.status, impacted.error) == (409, "NetworkSegmentRangeReferencedByProject")
        wide = (await put(maximum=15, name="wide")).json["network_segment_range"]
        assert wide["available"] == sorted({14, 15} - theirs - {*mine})
        used = await admin("DELETE", f"{PATH}/{one['id']}")
        assert (used.status, used.error) == (409, "NetworkSegmentRangeReferencedByProject")
        for network in (await admin("GET", "/v2.0/networks")).json["networks"]:
            await admin("DELETE", f"/v2.0/networks/{network['id']}")
        assert (await admin("DELETE", f"{PATH}/{one['id']}")).status == 204
        assert (await admin("GET", f"{PATH}/{one['id']}")).error == "NetworkSegmentRangeNotFound"

    tell(story, tmp_path, kind, SMALL)


def test_ranges_that_are_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        first = (await _make(admin)).json["network_segment_range"]
        for wrong, error in (
            ({"minimum": 13, "maximum": 20, "project_id": P2}, "NetworkSegmentRangeOverlaps"),
            ({"network_type": "geneve"}, "NetworkSegmentRangeNetTypeNotSupported"),
            ({"network_type": "flat"}, "HTTPBadRequest"),
            ({"network_type": "vlan"}, "BadRequest"),
            ({"network_type": "vlan", "physical_network": "p", "maximum": 4095}, "NetworkVlanRangeError"),
            ({"minimum": 30, "maximum": 20}, "NetworkTunnelRangeError"),
            ({"minimum": 0}, "HTTPBadRequest"),
            ({"project_id": ""}, "BadRequest"),
        ):
            assert (await _make(admin, **wrong)).error == error, wrong
        shared = await _make(admin, shared=True, minimum=50, maximum=60)
        assert shared.json["network_segment_range"]["project_id"] is None
        (default,) = [
            one
            for one in (await admin("GET", f"{PATH}?network_type=vlan")).json["network_segment_ranges"]
            if one["default"]
        ]
        for method, body in (("PUT", {"network_segment_range": {"name": "x"}}), ("DELETE", None)):
            refused = await admin(method, f"{PATH}/{default['id']}", body)
            assert (refused.status, refused.error) == (400, "NetworkSegmentRangeDefaultReadOnly")
        found = (await admin("GET", f"{PATH}?id={first['id']}&fields=id")).json["network_segment_ranges"]
        assert found == [{"id": first["id"]}]
        # Neutron finds collections by either spelling, and its own test client relies on that.
        for spelling in ("network-segment-ranges", "security_groups", "address_scopes"):
            assert (await admin("GET", f"/v2.0/{spelling}")).status == 200, spelling
        for other in ("ports-", "networks/add-router-interface"):
            assert (await admin("GET", f"/v2.0/{other}")).status == 404, other
        tagged = await admin("PUT", f"{PATH}/{first['id']}/tags/blue")
        assert tagged.status == 201
        shown = (await admin("GET", f"{PATH}/{first['id']}")).json["network_segment_range"]
        assert shown["tags"] == ["blue"]

    tell(story, tmp_path, config=SMALL)
