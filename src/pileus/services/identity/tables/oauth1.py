"""OAuth 1.0a: consumers, the tokens with which they ask, and those with which they act for a user.

Their secrets are sealed with the keys of credentials (``sealed``). ``secret`` holds those that an earlier
version wrote, until the next start seals them.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.store.schema import Id, JsonText, LongText, Moment, UserId, metadata

consumers = Table(
    "oauth1_consumers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("description", LongText),
    Column("secret", String(64)),
    Column("sealed", LongText),
    Column("extra", JsonText),
)

request_tokens = Table(
    "oauth1_request_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("secret", String(64)),
    Column("sealed", LongText),
    Column(
        "consumer_id", Id, ForeignKey("oauth1_consumers.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("role_ids", JsonText),
    Column("verifier", String(16)),
    Column("expires_at", Moment, index=True),
)

access_tokens = Table(
    "oauth1_access_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("secret", String(64)),
    Column("sealed", LongText),
    Column(
        "consumer_id", Id, ForeignKey("oauth1_consumers.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", UserId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role_ids", JsonText, nullable=False),
    Column("expires_at", Moment),
)

# Of a signature that was used, as long as its time would let it be used again.
nonces = Table(
    "oauth1_nonces",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires_at", Moment, nullable=False, index=True),
)
