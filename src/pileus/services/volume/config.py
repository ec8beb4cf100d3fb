"""Settings of the volume service in the form that its units of work are given. Times in seconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import msgspec

from pileus.services.volume.section import VolumeSection
from pileus.store.tx import Tx

Holders = Callable[[Tx, Sequence[str]], dict[str, str]]
"""``(tx, attachment ids) -> {attachment id: server id}``: those that servers of this cloud live by."""


def _nobody(tx: Tx, attachment_ids: Sequence[str]) -> dict[str, str]:
    return {}


class VolumeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in the form that decisions need them. ``holders``: what only the compute service may
    detach."""

    default_type: str = "__DEFAULT__"
    default_zone: str = "nova"
    service_down_time_s: float = 75.0
    operation_timeout_s: float = 3600.0
    copy_timeout_s: float = 86400.0
    connection_wait_s: float = 20.0
    message_days: float = 30.0
    step_deadline_s: float = 10.0
    holders: Holders = _nobody

    def alive_since(self, now: dt.datetime) -> dt.datetime:
        """Pools that were heard of at or after this moment count as alive."""
        return now - dt.timedelta(seconds=self.service_down_time_s)


def from_settings(settings: VolumeSection, holders: Holders = _nobody) -> VolumeConfig:
    """The settings file's section."""
    return VolumeConfig(
        default_type=settings.default_volume_type,
        default_zone=settings.default_availability_zone,
        service_down_time_s=settings.service_down_time_s,
        operation_timeout_s=settings.operation_timeout_s,
        copy_timeout_s=settings.copy_timeout_s,
        connection_wait_s=settings.connection_wait_s,
        message_days=settings.message_days,
        holders=holders,
    )
