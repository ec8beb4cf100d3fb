"""A node's right to speak: renewing its token, and what the administrator asks of tokens."""

from __future__ import annotations

from pileus.wire.records import Record
from pileus.wire.types import HostName, Moment, TokenText


class NodeTokenRequest(Record, frozen=True):
    """A node asks for a newer token of its own, with the one that it has."""

    host: HostName


class NodeTokenReply(Record, frozen=True):
    """A token that begins now."""

    token: TokenText


class NodeTokenFacts(Record, frozen=True):
    """The newest token that a host has shown; moments in ISO 8601 (UTC). Tokens issued up to
    ``refused_before`` are refused."""

    host: HostName
    issued_at: Moment | None
    ends_at: Moment | None
    refused_before: Moment | None = None


class NodeTokenList(Record, frozen=True):
    """All hosts that ever showed a token, or whose tokens were revoked."""

    tokens: tuple[NodeTokenFacts, ...] = ()


class Everything(Record, frozen=True):
    """A request that asks for all there is."""


class Revocation(Record, frozen=True):
    """Refuse all tokens that ``host`` has now."""

    host: HostName
