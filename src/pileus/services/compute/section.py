"""The section of the settings file that the compute service reads."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from pileus.core.settings import Description, Section

FilterName = Literal[
    "AvailabilityZoneFilter",
    "ImagePropertiesFilter",
    "ComputeCapabilitiesFilter",
    "SameHostFilter",
    "DifferentHostFilter",
    "ServerGroupAffinityFilter",
    "ServerGroupAntiAffinityFilter",
    "SimpleCIDRAffinityFilter",
    "AggregateInstanceExtraSpecsFilter",
    "AggregateImagePropertiesIsolation",
    "AggregateMultiTenancyIsolation",
    "AggregateTypeAffinityFilter",
    "JsonFilter",
    "IoOpsFilter",
    "NumInstancesFilter",
]
"""The filters of ``rules/filters.py`` that may be chosen: this file is read without them."""

USUAL_FILTERS: tuple[FilterName, ...] = get_args(FilterName)[:-3]


class ComputeSection(Section, frozen=True):
    """``[compute]``: the control side of servers."""

    cpu_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="virtual CPUs given out for each CPU of a host")
    ] = 4.0
    ram_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="memory given out for each byte of a host's")
    ] = 1.0
    disk_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="disk given out for each byte of a host's")
    ] = 1.0
    reserved_host_memory_mib: Annotated[
        int, msgspec.Meta(ge=0, description="memory of each host that no server gets, in MiB")
    ] = 0
    default_availability_zone: Annotated[
        str, Description(description="zone of hosts whose agent names none")
    ] = "nova"
    service_down_time_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds without a word after which a host counts as down")
    ] = 75.0
    keep_deleted_servers_days: Annotated[
        float,
        msgspec.Meta(gt=0, description="days that deleted servers are kept, for lists and usage reports"),
    ] = 90.0
    gateway_image: Annotated[
        str, Description(description="name of the public image that gateway machines begin from")
    ] = "gateway"
    gateway_flavor: Annotated[str, Description(description="name of the flavor of gateway machines")] = (
        "m1.tiny"
    )
    gateway_project: Annotated[
        str,
        Description(
            description="project of the default domain that has the gateway machines; made if missing"
        ),
    ] = "service"
    gateway_patience_s: Annotated[
        float,
        msgspec.Meta(
            gt=0, description="seconds that a gateway machine may run without working until it is replaced"
        ),
    ] = 180.0
    build_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds that a server may take to become ACTIVE")
    ] = 600.0
    disk_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds that a disk may take from one place to another"),
    ] = 3600.0
    shelved_offload_time_s: Annotated[
        float,
        msgspec.Meta(
            ge=-1, description="seconds after which a shelved server leaves its host; -1 is never, 0 at once"
        ),
    ] = 0.0
    reclaim_instance_interval_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="seconds for which a deleted server can be restored; 0: it is deleted at once"
        ),
    ] = 0.0
    resize_confirm_window_s: Annotated[
        float,
        msgspec.Meta(ge=0, description="seconds after which a resize is confirmed by itself; 0: never"),
    ] = 0.0
    allow_resize_to_same_host: Annotated[
        bool, Description(description="whether a resized server may stay on its host")
    ] = True
    max_concurrent_live_migrations: Annotated[
        int,
        msgspec.Meta(ge=0, description="servers that leave a host at the same time; others wait; 0: all"),
    ] = 1
    scheduler_filters: Annotated[
        tuple[FilterName, ...],
        Description(description="filters that each host is asked, by Nova's names, beside those of room"),
    ] = USUAL_FILTERS
    ram_weight: Annotated[
        float, Description(description="how free memory counts for a host: positive spreads, negative packs")
    ] = 1.0
    cpu_weight: Annotated[float, Description(description="the same of virtual CPUs")] = 0.0
    disk_weight: Annotated[float, Description(description="the same of disk")] = 0.0
    io_ops_weight: Annotated[
        float, Description(description="how few servers under work count for a host; positive: avoid others")
    ] = 0.0
    console_token_lifetime_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds for which the address of a console can be opened")
    ] = 600.0
