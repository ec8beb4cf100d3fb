"""Keeps which states of this host's devices the server has been told, and finds what is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.host.l2 import plan, rows, taps
from pileus.host.l2.dhcp.untold import untold
from pileus.host.l2.floating import identity
from pileus.host.l2.model import Model
from pileus.wire.distributed import DistributedFloatingIp
from pileus.wire.switch import DeviceDetails, DeviceFailure, DeviceStatus


class StatusBook:
    """Remembers what was told, so that the same thing is not told again while the answer is on its way.

    A device is told up when its status at the server is not ACTIVE, and down when that is not
    DOWN; what was told of a revision of a port counts as the server's status of that revision.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._told: dict[str, tuple[str, int]] = {}
        self._failures: dict[str, str] = {}
        self._means: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        self._tapped: dict[str, tuple[Any, str]] = {}
        self._translated: set[str] = set()

    def forget(self) -> None:
        """Tell again whatever differs."""
        self._told.clear()
        self._failures.clear()
        self._means.clear()
        self._tapped.clear()
        self._translated.clear()

    def has_news(self, model: Model, wiring: plan.Wiring) -> bool:
        """Whether a wired device is to be told up, or a floating IP translated."""
        return bool(self._translations(wiring)) or any(
            self._state(model.devices[port_id]) != "up" for port_id in wiring.devices
        )

    def news(
        self, model: Model, row_plan: rows.RowPlan, wiring: plan.Wiring, failed: Mapping[str, str]
    ) -> DeviceStatus | None:
        """Return what is to be told now; None if nothing is. Devices that the server does not give to this
        host are never mentioned. ``failed``: devices that can't be wired, besides those whose interface
        could not be opened."""
        failures = {failure.port_id: failure.reason for failure in row_plan.failed} | dict(failed)
        down_here = {port.interface.external_ids["iface-id"] for port in row_plan.dead}
        up, down = [], []
        present = wiring.devices.keys() | {outside.gateway.port_id for outside in wiring.outsides}
        for port_id, details in model.devices.items():
            state = self._state(details)
            if port_id in failures or (port_id in row_plan.alive and port_id not in wiring.devices):
                continue  # the latter were plugged a moment ago: vswitchd has not numbered them yet
            if port_id in present:
                if state != "up":
                    up.append(port_id)
            elif state == "up" or (port_id in down_here and state != "down"):
                down.append(port_id)
        means = {
            port_id: "policing" if wired.details.rate_limit is not None and not wired.metered else "meter"
            for port_id, wired in wiring.devices.items()
            if wired.details.rate_limit is not None or wired.details.qos is not None
        }
        incomplete = {port_id: why for port_id, guest in wiring.guests.items() if (why := untold(guest))}
        status = DeviceStatus(
            host=self._host,
            up=tuple(up),
            down=tuple(down),
            failed=tuple(
                DeviceFailure(port_id, reason)
                for port_id, reason in failures.items()
                if self._failures.get(port_id) != reason
            ),
            enforcement={port_id: how for port_id, how in means.items() if self._means.get(port_id) != how},
            taps={
                one.tap_id: state
                for one, state in taps.states(model.devices.values(), wiring.taps)
                if state != one.status and self._tapped.get(one.tap_id) != (one, state)
            },
            floating_ips=tuple(one.floating_ip_id for one in self._translations(wiring)),
            dhcp={port_id: why for port_id, why in incomplete.items() if self._untold.get(port_id) != why},
        )
        self._forget_absent(model, failures, means, incomplete)
        told = (
            *(status.up, status.down, status.failed, status.enforcement),
            *(status.taps, status.floating_ips, status.dhcp),
        )
        return status if any(told) else None

    def told(self, status: DeviceStatus, model: Model) -> None:
        """The server has it."""
        for state, port_ids in (("up", status.up), ("down", status.down)):
            for port_id in port_ids:
                self._told[port_id] = (state, model.devices[port_id].revision)
        self._translated |= {
            identity(one) for one in model.floating_ips if one.floating_ip_id in status.floating_ips
        }
        self._failures |= {failure.port_id: failure.reason for failure in status.failed}
        self._means |= status.enforcement
        self._untold |= status.dhcp
        for one, state in taps.states(
            model.devices.values(), {k for k, v in status.taps.items() if v == "ACTIVE"}
        ):
            if one.tap_id in status.taps:
                self._tapped[one.tap_id] = one, state

    def _translations(self, wiring: plan.Wiring) -> list[DistributedFloatingIp]:
        """Floating IPs that are translated here, which the server has not heard."""
        found = [one.floating for one in wiring.translations if not one.floating.in_force]
        self._translated &= set(map(identity, found))
        return [one for one in found if identity(one) not in self._translated]

    def _state(self, details: DeviceDetails) -> str:
        """The state at the server: what it was told of this revision, else what it says."""
        told = self._told.get(details.port_id)
        if told is not None and told[1] == details.revision:
            return told[0]
        return {"ACTIVE": "up", "DOWN": "down"}.get(details.status, "")

    def _forget_absent(
        self, model: Model, failures: dict[str, str], means: dict[str, str], incomplete: dict[str, str]
    ) -> None:
        self._told = {key: value for key, value in self._told.items() if key in model.devices}
        self._failures = {key: value for key, value in self._failures.items() if key in failures}
        self._means = {key: value for key, value in self._means.items() if key in means}
        self._untold = {key: value for key, value in self._untold.items() if key in incomplete}
