"""The declaration of credentials that users keep here: EC2 keys, and any other text of a client.

Source: the Identity API v3 reference, "Credentials". The blob is sealed before it comes to a table. An EC2
credential's id is the SHA-256 of its access key, so that it is found without opening any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, EXTRA, ID
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.tables.credentials import credentials
from pileus.web.reading import read_json

EC2 = "ec2"
TOTP = "totp"


class CredentialNotFound(NotFound):
    """There is no such credential (404)."""

    message = "Could not find credential: {id}."


class MissingInCredential(ValidationError):
    """Something that such a credential must have is not there (400)."""

    message = (
        "Expecting to find {attribute} in credential. The server could not comply with the request since it "
        "is either malformed or otherwise incorrect. The client is assumed to be in error."
    )


_TEXT = types.string(64, minimum=1)

CREDENTIAL = Resource(
    "credential",
    table=credentials,
    wording=KEYSTONE,
    not_found=CredentialNotFound,
    additional=ADDITIONAL,
    attributes=(
        ID,
        Attribute("user_id", _TEXT, create=True, update=True, required=True, filter=True),
        Attribute("project_id", types.nullable(_TEXT), create=True, update=True),
        Attribute("type", types.string(255), create=True, update=True, required=True, filter=True),
        Attribute("blob", types.string(None), create=True, update=True, required=True),
        Attribute("sealed", types.string(None), visible=False),
        EXTRA,
    ),
)


BOUNDS = ("trust_id", "app_cred_id", "access_token_id")
"""The keys in an EC2 credential's blob that say through whom it was made, and bound what it opens."""


def ec2_id(access: str) -> str:
    """The id of the credential with that access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def is_ec2(values: Mapping[str, Any]) -> bool:
    """Whether the credential is one of EC2's, or shall be."""
    return str(values.get("type", "")).lower() == EC2


def logs_in(values: Mapping[str, Any]) -> bool:
    """Whether the credential logs its owner in: EC2 keys, and keys of passcodes."""
    return str(values.get("type", "")).lower() in (EC2, TOTP)


def ec2_blob(text: str) -> dict[str, Any]:
    """Read an EC2 credential's blob. Raises Invalid where it has no access key."""
    try:
        blob = read_json(text.encode())
    except ValueError:
        raise ValidationError("Invalid blob in credential") from None
    if not blob or not isinstance(blob, dict):
        raise MissingInCredential(attribute="blob")
    if not isinstance(blob.get("access"), str):
        raise MissingInCredential(attribute="access")
    return blob


def refuse_change_of_kind(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to change the type or owner of a credential. Raises ValidationError.

    Were an EC2 credential turned into another type and back, it would lose its bounds on the way.
    """
    for name in ("type", "user_id", "project_id"):
        if before[name] != after[name]:
            raise ValidationError(f"{name} can not be updated for credential")


def refuse_change_of_bounds(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to change through whom an EC2 credential was made. Raises ValidationError.

    One that was made through somebody keeps its access key too.
    """
    old, new = ec2_blob(before["blob"]), ec2_blob(after["blob"])
    bound = any(old.get(name) is not None for name in BOUNDS)
    for name in (*BOUNDS, "access") if bound else BOUNDS:
        if old.get(name) != new.get(name):
            raise ValidationError(f"{name} can not be updated for credential")


def credential_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a credential."""
    return {} if values is None else {"target.credential.user_id": values.get("user_id")}
