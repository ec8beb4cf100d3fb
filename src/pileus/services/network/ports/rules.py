"""Port security, address pairs and DHCP options: what goes together on one port. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Update
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.services.network.rules.device_owners import is_trusted


class PortSecurityPortHasSecurityGroup(InUse):
    message = (
        "Port has security group associated. Cannot disable port security or IP address "
        "until security group is removed."
    )


class PortSecurityAndIPRequiredForSecurityGroups(Invalid):
    message = (
        "Port security must be enabled and port must have an IP address in order to use security groups."
    )


class AddressPairAndPortSecurityRequired(Conflict):
    message = "Port Security must be enabled in order to have allowed address pairs on a port."


class DuplicateAddressPairInRequest(Invalid):
    message = "Request contains duplicate address pair: mac_address {mac_address} ip_address {ip_address}."


class AllowedAddressPairExhausted(Invalid):
    message = "The number of allowed address pair exceeds the maximum {quota}."


class DhcpOptionsExhausted(Invalid):
    message = "The number of extra DHCP options exceeds the maximum {quota}."


LONGEST_PROFILE = 4095
"""Characters of a binding's profile as JSON."""


def check_profile(profile: Mapping[str, Any]) -> None:
    """InvalidInput where a binding's profile is too long."""
    if len(msgspec.json.encode(profile)) > LONGEST_PROFILE:
        raise InvalidInput("binding:profile value too large")


MOST_OPTIONS = 128
"""As many as a DHCP message has room for."""


def port_security(given: bool | None, device_owner: str, network_default: bool) -> bool:
    """Whether a new port is filtered: as given, never for trusted ones, else as its network says."""
    if given is not None:
        return given
    return False if is_trusted(device_owner) else network_default


def needs_default_group(port: Mapping[str, Any], network_default: bool) -> bool:
    """Whether a new port names no groups and is filtered, so that it gets its project's default group."""
    return (
        port.get("security_groups") is None
        and not is_trusted(port["device_owner"])
        and port_security(port.get("port_security_enabled"), port["device_owner"], network_default)
    )


def is_rebound(update: Update) -> bool:
    """Whether the binding is decided anew: its host or kind differ, or there is none and it is asked for."""
    port, changes = update.original, update.changes
    if not {"binding:host_id", "binding:vnic_type", "binding:profile"} & {*changes}:
        return False
    return port["binding:vif_type"] in (UNBOUND, BINDING_FAILED) or any(
        changes.get(name, port[name]) != port[name] for name in ("binding:host_id", "binding:vnic_type")
    )


def check_security(enabled: bool, groups: Sequence[str], pairs: Sequence[Any], *, groups_given: bool) -> None:
    """Refuse groups or address pairs on a port that is not filtered."""
    if enabled:
        return
    if groups:
        if groups_given:
            raise PortSecurityAndIPRequiredForSecurityGroups()
        raise PortSecurityPortHasSecurityGroup()
    if pairs:
        raise AddressPairAndPortSecurityRequired()


def address_pairs(pairs: Sequence[Mapping[str, str]], mac: str, maximum: int) -> list[dict[str, str]]:
    """The pairs with the port's own hardware address where none is named."""
    if len(pairs) > maximum:
        raise AllowedAddressPairExhausted(quota=maximum)
    complete: list[dict[str, str]] = []
    for pair in pairs:
        if not pair.get("ip_address"):
            raise InvalidInput("AllowedAddressPair must contain ip_address")
        one = {"mac_address": pair.get("mac_address") or mac, "ip_address": pair["ip_address"]}
        if one in complete:
            raise DuplicateAddressPairInRequest(**one)
        complete.append(one)
    return complete


def dhcp_options(
    before: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Options by name and IP version: a None value takes one away, others replace or add.

    Nodes read them all; DhcpOptionsExhausted where they would be more than ``MOST_OPTIONS``.
    """
    options: dict[tuple[str, int], dict[str, Any]] = {
        (one["opt_name"], one["ip_version"]): dict(one) for one in before
    }
    for change in changes:
        key = (change["opt_name"], change.get("ip_version") or 4)
        if change["opt_value"] is None:
            options.pop(key, None)
        else:
            options[key] = {"opt_name": key[0], "opt_value": change["opt_value"], "ip_version": key[1]}
    if len(options) > max(MOST_OPTIONS, len(before)):
        raise DhcpOptionsExhausted(quota=MOST_OPTIONS)
    return list(options.values())
