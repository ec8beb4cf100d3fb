"""Allocation candidates on landscapes drawn by hand, and the lists of standard names."""

from __future__ import annotations

from typing import Any

import os_resource_classes
import os_traits

from pileus.services.compute.rules.asks import question_of, room_of
from pileus.services.compute.rules.candidates import Group, Question, candidates, lacking
from pileus.services.compute.rules.providers import SHARES, Inventory, Landscape, Provider, out_of_units
from pileus.services.compute.rules.standard_resources import CLASSES, TRAITS

FPGA = "CUSTOM_FPGA"


def provider(
    name: str, *, below: str = "", root: str = "", traits: str = "", groups: str = "", **has: int
) -> Provider:
    return Provider(
        id=name,
        name=name,
        root_id=below or name,
        parent_id=below or None,
        inventories={key: Inventory(total=total) for key, total in has.items()},
        traits=frozenset(traits.split()),
        aggregates=frozenset(groups.split()),
    )


TREE = Landscape(
    [
        provider("h1", VCPU=8, groups="rack1"),
        provider("numa0", below="h1", **{FPGA: 1}, traits="CUSTOM_A"),
        provider("numa1", below="h1", **{FPGA: 2}, traits="CUSTOM_B"),
        provider("h2", VCPU=2),
        provider("disks", DISK_GB=100, traits=SHARES, groups="rack1"),
    ]
)


def asked(*groups: Group, **more: Any) -> list[dict[str, Any]]:
    return [dict(one.amounts) for one in candidates(TREE, Question(groups=groups, **more))]


def test_one_group_is_served_by_a_tree_and_what_it_shares() -> None:
    assert asked(Group(resources={"VCPU": 2})) == [{"h1": {"VCPU": 2}}, {"h2": {"VCPU": 2}}]
    assert asked(Group(resources={"VCPU": 2, "DISK_GB": 1})) == [{"disks": {"DISK_GB": 1}, "h1": {"VCPU": 2}}]
    assert asked(Group(resources={FPGA: 2})) == [{"numa1": {FPGA: 2}}]
    assert len(asked(Group(resources={FPGA: 1, "VCPU": 1}))) == 2
    wanted = Group(resources={FPGA: 1}, required=(frozenset({"CUSTOM_B"}),))
    assert asked(wanted) == [{"numa1": {FPGA: 1}}]
    assert asked(Group(resources={FPGA: 1}, forbidden=frozenset({"CUSTOM_B"}))) == [{"numa0": {FPGA: 1}}]


def test_groups_with_a_suffix_stand_on_one_provider_each() -> None:
    two = (Group(suffix="1", resources={FPGA: 1}), Group(suffix="2", resources={FPGA: 1}))
    # both on numa1, or one on each: numa0 has one only
    assert len(asked(*two)) == 3
    assert len(asked(*two, isolate=True)) == 2
    top = Group(suffix="T", required=(frozenset({"CUSTOM_A"}),))
    subtree = (frozenset({"T", "1"}),)
    assert asked(two[0], top, same_subtree=subtree) == [{"numa0": {FPGA: 1}}]


def test_members_of_aggregates_and_trees() -> None:
    rack = Group(resources={FPGA: 1}, member_of=(frozenset({"rack1"}),))
    assert len(asked(rack)) == 2  # the root's aggregate counts for its tree
    assert asked(Group(suffix="1", resources={FPGA: 1}, member_of=(frozenset({"rack1"}),))) == []
    assert asked(Group(resources={"VCPU": 1}, not_member_of=frozenset({"rack1"}))) == [{"h2": {"VCPU": 1}}]
    assert asked(Group(resources={"VCPU": 1}, in_tree="numa0")) == [{"h1": {"VCPU": 1}}]


def test_what_is_taken_is_gone() -> None:
    less = TREE.less({"numa1": {FPGA: 2}})
    question = Question(groups=(Group(resources={FPGA: 1}),))
    assert [one.amounts for one in candidates(less, question)] == [{"numa0": {FPGA: 1}}]
    none = less.less({"numa0": {FPGA: 1}})
    assert candidates(none, question) == []
    assert lacking(none, "h1", question) == "1 of CUSTOM_FPGA wanted, 0 are left"
    assert lacking(none, "h2", question) == "1 of CUSTOM_FPGA wanted, it has none"


def test_units() -> None:
    stock = Inventory(total=100, reserved=20, min_unit=2, max_unit=50, step_size=2, allocation_ratio=1.5)
    assert stock.capacity == 120
    assert out_of_units(stock, 10) is None
    assert out_of_units(stock, 1) == "1 wanted, 2 is the least"
    assert out_of_units(stock, 51) == "51 wanted, 50 is the most"
    assert out_of_units(stock, 5) == "5 wanted, it is given in steps of 2"


def test_flavors_and_images_ask() -> None:
    specs = {
        "resources:VCPU": "0",
        "resources:CUSTOM_FPGA": "1",
        "resources_net:SRIOV_NET_VF": "2",
        "trait:CUSTOM_A": "required",
        "trait_net:CUSTOM_B": "forbidden",
        "group_policy": "isolate",
        "hw:cpu_policy": "shared",
    }
    question = question_of(specs, {"trait:CUSTOM_C": "required"})
    assert question == Question(
        groups=(
            Group(
                resources={FPGA: 1},
                required=(frozenset({"CUSTOM_A"}), frozenset({"CUSTOM_C"})),
                with_root=True,
            ),
            Group(suffix="_net", resources={"SRIOV_NET_VF": 2}, forbidden=frozenset({"CUSTOM_B"})),
        ),
        isolate=True,
    )
    room = room_of({"vcpus": 2, "memory_mib": 512, "disk_gib": 1}, specs)
    assert room == {"vcpus": 0, "memory_mib": 512, "disk_gib": 1}
    assert question_of({"resources:VCPU": "1"}, {}) is None


def test_the_standard_names_are_those_of_the_libraries() -> None:
    assert set(os_traits.get_traits()) == TRAITS
    assert tuple(os_resource_classes.STANDARDS) == CLASSES
