"""Settings of compute in the form that its units of work are given: ratios, limits, times."""

from __future__ import annotations

import datetime as dt

import msgspec

from pileus.services.compute.rules.filters import USUAL
from pileus.services.compute.rules.scheduler import Manner, Ratios, Weights
from pileus.services.compute.section import ComputeSection


class ComputeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in the form that decisions need them. Times in seconds."""

    cpu_ratio: float = 4.0
    ram_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserved_memory_mib: int = 0
    default_zone: str = "nova"
    service_down_time_s: float = 60
    build_timeout_s: float = 600
    task_timeout_s: float = 120
    delete_timeout_s: float = 60
    step_deadline_s: float = 10
    ticket_lifetime_s: float = 3600
    keep_deleted_servers_days: float = 90
    gateway_image: str = "gateway"
    gateway_flavor: str = "m1.tiny"
    gateway_patience_s: float = 180
    disk_timeout_s: float = 3600
    shelved_offload_time_s: float = 0
    reclaim_instance_interval_s: float = 0
    resize_confirm_window_s: float = 0
    allow_resize_to_same_host: bool = True
    max_concurrent_live_migrations: int = 1
    console_token_lifetime_s: float = 600
    filters: tuple[str, ...] = USUAL
    weights: Weights = Weights()

    @property
    def manner(self) -> Manner:
        """How hosts are chosen."""
        return Manner(Ratios(self.cpu_ratio, self.ram_ratio, self.disk_ratio), self.filters, self.weights)

    def alive_since(self, now: dt.datetime) -> dt.datetime:
        """Hosts that were heard of at or after this moment count as alive."""
        return now - dt.timedelta(seconds=self.service_down_time_s)


def from_settings(settings: ComputeSection) -> ComputeConfig:
    """The settings file's section."""
    return ComputeConfig(
        cpu_ratio=settings.cpu_allocation_ratio,
        ram_ratio=settings.ram_allocation_ratio,
        disk_ratio=settings.disk_allocation_ratio,
        reserved_memory_mib=settings.reserved_host_memory_mib,
        default_zone=settings.default_availability_zone,
        service_down_time_s=settings.service_down_time_s,
        build_timeout_s=settings.build_timeout_s,
        keep_deleted_servers_days=settings.keep_deleted_servers_days,
        gateway_image=settings.gateway_image,
        gateway_flavor=settings.gateway_flavor,
        gateway_patience_s=settings.gateway_patience_s,
        disk_timeout_s=settings.disk_timeout_s,
        shelved_offload_time_s=settings.shelved_offload_time_s,
        reclaim_instance_interval_s=settings.reclaim_instance_interval_s,
        resize_confirm_window_s=settings.resize_confirm_window_s,
        allow_resize_to_same_host=settings.allow_resize_to_same_host,
        max_concurrent_live_migrations=settings.max_concurrent_live_migrations,
        console_token_lifetime_s=settings.console_token_lifetime_s,
        filters=settings.scheduler_filters,
        weights=Weights(
            settings.ram_weight, settings.cpu_weight, settings.disk_weight, settings.io_ops_weight
        ),
    )
