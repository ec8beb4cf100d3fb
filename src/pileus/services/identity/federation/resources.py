"""The declarations of identity providers, their protocols, mappings and service providers.

Source: the Identity API v3 extension OS-FEDERATION.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.tables.federation import (
    federation_protocols,
    identity_provider_remote_ids,
    identity_providers,
    mappings,
    service_providers,
)
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx

_KEY = types.string(64, minimum=1)
_URL = types.string(225, pattern=r"[Hh][Tt][Tt][Pp][Ss]?://.+")
_ID = Attribute("id", _KEY, filter=True, sort=True)
_ENABLED = Attribute(
    "enabled", types.strict_boolean, default=False, create=True, update=True, filter=True, sort=True
)
_DESCRIPTION = Attribute("description", types.nullable(types.string(None)), create=True, update=True)


class IdentityProviderNotFound(NotFound):
    """There is no such identity provider (404)."""

    message = "Could not find Identity Provider: {id}."


class FederatedProtocolNotFound(NotFound):
    """The identity provider has no such protocol (404)."""

    message = "Could not find federated protocol {id} for Identity Provider: {idp_id}."


class MappingNotFound(NotFound):
    """There is no such mapping (404)."""

    message = "Could not find mapping: {id}."


class ServiceProviderNotFound(NotFound):
    """There is no such service provider (404)."""

    message = "Could not find Service Provider: {id}."


class FederationTaken(Conflict):
    """There is one with that id, or that remote id (409)."""

    message = "Conflict occurred attempting to store {kind} - Duplicate entry found with ID {id}."


class RemoteIdTaken(Conflict):
    """Another identity provider has the remote id (409)."""

    message = "Conflict occurred attempting to store identity_provider - Duplicate remote ID: {id}."


class InvalidMappingId(ValidationError):
    """A protocol names a mapping that is not there (400)."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Invalid mapping id: {key}")


_REMOTE_IDS = select(
    identity_provider_remote_ids.c.idp_id, identity_provider_remote_ids.c.remote_id
).order_by(identity_provider_remote_ids.c.remote_id)


def remote_ids_load(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    """The remote ids of identity providers."""
    found: dict[str, list[str]] = {}
    for row in tx.rows(_REMOTE_IDS.where(column_in(tx, identity_provider_remote_ids.c.idp_id, ids))):
        found.setdefault(row.idp_id, []).append(row.remote_id)
    return found


def remote_ids_save(tx: Tx, context: Context, chosen: Mapping[str, Sequence[str] | None]) -> None:
    """Replace the remote ids of identity providers. Raises RemoteIdTaken."""
    column = identity_provider_remote_ids.c.idp_id
    tx.execute(identity_provider_remote_ids.delete().where(column_in(tx, column, list(chosen))))
    rows = [{"idp_id": key, "remote_id": one} for key, several in chosen.items() for one in several or ()]
    try:
        with tx.savepoint():
            tx.insert(identity_provider_remote_ids, rows)
    except Duplicate:
        raise RemoteIdTaken(id=rows[0]["remote_id"]) from None


IDENTITY_PROVIDER = Resource(
    "identity_provider",
    table=identity_providers,
    wording=KEYSTONE,
    not_found=IdentityProviderNotFound,
    attributes=(
        _ID,
        _ENABLED,
        _DESCRIPTION,
        Attribute("domain_id", types.nullable(types.string(64, minimum=1)), create=True, filter=True),
        Attribute("authorization_ttl", types.nullable(types.integer(0, 2**31 - 1)), create=True, update=True),
        Attribute(
            "remote_ids",
            types.list_of(types.string(255, minimum=1), unique=True, maximum=100, none_is_empty=True),
            loader=remote_ids_load,
            saver=remote_ids_save,
            empty=[],
            default=[],
            create=True,
            update=True,
        ),
    ),
)

MAPPING = Resource(
    "mapping",
    table=mappings,
    wording=KEYSTONE,
    not_found=MappingNotFound,
    attributes=(
        _ID,
        Attribute("rules", types.list_of(types.anything), create=True, update=True, required=True),
        Attribute(
            "schema_version",
            types.with_default_none(types.string(5, minimum=1), "1.0"),
            default="1.0",
            create=True,
            update=True,
        ),
    ),
)

PROTOCOL = Resource(
    "protocol",
    table=federation_protocols,
    wording=KEYSTONE,
    not_found=FederatedProtocolNotFound,
    attributes=(
        _ID,
        Attribute("idp_id", _KEY, visible=False),
        Attribute("mapping_id", _KEY, create=True, update=True, required=True),
        Attribute("remote_id_attribute", types.nullable(types.string(64)), create=True, update=True),
    ),
)

SERVICE_PROVIDER = Resource(
    "service_provider",
    table=service_providers,
    wording=KEYSTONE,
    not_found=ServiceProviderNotFound,
    attributes=(
        _ID,
        _ENABLED,
        _DESCRIPTION,
        Attribute("auth_url", _URL, create=True, update=True, required=True),
        Attribute("sp_url", _URL, create=True, update=True, required=True),
        Attribute(
            "relay_state_prefix",
            types.nullable(types.string(256)),
            default="ss:mem:",
            create=True,
            update=True,
        ),
    ),
)


def is_new(found: Sequence[Mapping[str, Any]], kind: str, key: str) -> None:
    """Raise FederationTaken where one was found."""
    if found:
        raise FederationTaken(kind=kind, id=key)
