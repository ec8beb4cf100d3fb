"""The section of the settings file about physical switches that a node drives."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pileus.core.settings import Description, Section

SwitchName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
PortName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}\Z")]
"""Nothing in it means more than itself to a switch or to a shell."""
Lines = tuple[Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]{1,512}\Z")], ...]


class VtepDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A switch with OVSDB's hardware_vtep schema. ``ovsdb``: ``tcp:HOST:PORT`` or ``unix:PATH``."""

    name: SwitchName
    ovsdb: Annotated[str, Meta(pattern=r"\A(tcp|unix):[!-~]{1,255}\Z")]


class SshDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A switch that is configured by lines written to it over ssh. Secrets come from files."""

    name: SwitchName
    address: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9.:-]{0,254}\Z")]
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    user: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")]
    host_keys: str
    key_file: str = ""
    password_file: str = ""
    ports: tuple[PortName, ...]
    attach: Lines
    detach: Lines
    attach_untagged: Lines = ()
    detach_untagged: Lines = ()
    before: Lines = ()
    after: Lines = ()
    refusal: str = ""


class PhysicalSwitchesSection(Section, frozen=True):
    """``[physical_switches]``: tables ``[[physical_switches.vtep]]`` and ``[[physical_switches.ssh]]``."""

    vtep: Annotated[
        tuple[VtepDeclaration, ...],
        Description(description="switches that are driven by OVSDB's hardware_vtep schema"),
    ] = ()
    ssh: Annotated[
        tuple[SshDeclaration, ...],
        Description(description="switches whose VLANs are set by command templates over ssh"),
    ] = ()
