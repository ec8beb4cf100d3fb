"""Identity providers, what their claims become, and the users who came from them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.store.schema import Id, JsonText, LongText, Moment, Name, UserId, metadata

identity_providers = Table(
    "identity_providers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("domain_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("enabled", Boolean, nullable=False),
    Column("description", LongText),
    Column("authorization_ttl", Integer),
)

identity_provider_remote_ids = Table(
    "identity_provider_remote_ids",
    metadata,
    Column("remote_id", Name, primary_key=True),
    Column(
        "idp_id",
        String(64),
        ForeignKey("identity_providers.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
)

mappings = Table(
    "mappings",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("rules", JsonText, nullable=False),
    Column("schema_version", String(5), nullable=False),
)

federation_protocols = Table(
    "federation_protocols",
    metadata,
    Column("idp_id", String(64), ForeignKey("identity_providers.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("mapping_id", String(64), nullable=False),
    Column("remote_id_attribute", String(64)),
)

service_providers = Table(
    "service_providers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("auth_url", String(256), nullable=False),
    Column("sp_url", String(256), nullable=False),
    Column("description", LongText),
    Column("enabled", Boolean, nullable=False),
    Column("relay_state_prefix", String(256)),
)

federated_users = Table(
    "federated_users",
    metadata,
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("idp_id", String(64), ForeignKey("identity_providers.id", ondelete="CASCADE"), nullable=False),
    Column("protocol_id", String(64), nullable=False),
    Column("unique_id", Name, nullable=False),
    UniqueConstraint("idp_id", "protocol_id", "unique_id"),
)

# Memberships that a provider's claims gave, until the user comes back or they end.
expiring_memberships = Table(
    "expiring_memberships",
    metadata,
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", UserId, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("expires_at", Moment, nullable=False),
)
