"""The declaration of key pairs, by user and name (Compute API reference, "Keypairs")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, request_time
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.keypairs.making import SSH, X509
from pileus.services.compute.tables.keypairs import keypairs


class KeypairNotFound(NotFound):
    message = "Keypair {name} not found for user {user_id}"


def _own(context: Context, values: Mapping[str, Any]) -> str:
    return context.user_id or ""


BRIEF = ("name", "public_key", "fingerprint", "type")

KEYPAIR = Resource(
    "keypair",
    table=keypairs,
    collection="os-keypairs",
    wording=NOVA,
    key="name",
    not_found=KeypairNotFound,
    attributes=(
        Attribute("id", types.integer()),
        Attribute("name", types.string(255, minimum=1), create=True),
        Attribute("type", types.enum(SSH, X509), default=SSH, create=True, versions=("2.2", "")),
        Attribute("public_key", types.nullable(types.string(16384)), create=True),
        Attribute("fingerprint", types.string()),
        Attribute("user_id", types.string(64), default=_own, create=True),
        Attribute("private_key", types.string(None), description="Shown once, of a pair that was made here."),
        Attribute("created_at", types.timestamp_plain, default=request_time),
        Attribute("updated_at", types.null, compute=lambda values: None),
        Attribute("deleted_at", types.null, compute=lambda values: None),
        Attribute("deleted", types.boolean, compute=lambda values: False),
    ),
    description="A public key that guests are given.",
)
