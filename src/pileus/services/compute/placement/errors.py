"""Refusals of the Placement API; messages and codes are Placement's (placement.errors)."""

from __future__ import annotations

from typing import ClassVar

from pileus.core.errors import Conflict, Invalid, NotFound


class BadRequest(Invalid):
    """A request that can't be (400), in a sentence of its own."""


class BadParameter(Invalid):
    error_code: ClassVar[str | None] = "placement.query.bad_value"


class MissingParameter(Invalid):
    error_code: ClassVar[str | None] = "placement.query.missing_value"


class DoubleParameter(Invalid):
    error_code: ClassVar[str | None] = "placement.query.duplicate_key"


class ConcurrentUpdate(Conflict):
    error_code: ClassVar[str | None] = "placement.concurrent_update"
    message = "resource provider generation conflict"


class InventoryInUse(Conflict):
    error_code: ClassVar[str | None] = "placement.inventory.inuse"
    message = "update conflict: Inventory for '{classes}' on resource provider '{provider}' in use."


class DuplicateName(Conflict):
    error_code: ClassVar[str | None] = "placement.duplicate_name"
    message = "Conflicting resource provider {duplicates} already exists."


class ProviderInUse(Conflict):
    error_code: ClassVar[str | None] = "placement.resource_provider.inuse"
    message = "Unable to delete resource provider {id}: Resource provider has allocations."


class ProviderHasChildren(Conflict):
    error_code: ClassVar[str | None] = "placement.resource_provider.cannot_delete_parent"
    message = "Unable to delete parent resource provider {id}: It has child resource providers."


class ProviderIsDerived(Conflict):
    """The provider is there because a node tells of it, and what the node tells can't be changed here."""

    message = "Resource provider {id} is what its host reports: {reason}"


class UnknownProvider(Invalid):
    """A provider that is named in a body and is not there (400)."""

    error_code: ClassVar[str | None] = "placement.resource_provider.not_found"
    message = "Resource provider '{id}' not found."


class ProviderNotFound(NotFound):
    message = "No resource provider with uuid {id} found{purpose}"


class CannotAllocate(Conflict):
    message = "Unable to allocate inventory: {reason}"
