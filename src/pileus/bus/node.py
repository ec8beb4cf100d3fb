"""Node tokens: what a node's agents show to be believed that they speak for that node.

A token is ``host.began.issued.ends.signature``: the host's name in URL-safe base64, moments in milliseconds,
and an HMAC-SHA256 over these with a secret that only servers hold. So any server can check it without
a look into the database, and a node can't speak for another one. It ends; agents renew theirs before.
``began`` is when the administrator gave out the first of a line of renewed tokens. All lines of a host that
began before a moment can be refused (``NodeTokens.refuse``): a node that renews its token while it is being
revoked, or asks a server that has not heard of it yet, gains nothing.

Whoever may read the secret (the administrator, on a server) speaks as the *controller*, with a
token of a minute that is signed for that alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from pileus.core.errors import Unauthenticated
from pileus.core.files import read_or_create_secret

SECRET_BYTES = 32
LIFETIME_S = 30 * 86400
RENEW_AFTER = 0.5
"""The part of a token's life after which its node asks for another."""
_CONTROLLER_S = 60
_CLOCKS_DIFFER_MS = 300_000


class BadNodeToken(Unauthenticated):
    message = "The node token is missing or not valid."


class OldNodeToken(BadNodeToken):
    message = (
        "The node token is of an earlier version, which had no end: "
        "`pileus node token {host}` on a server prints another."
    )


class EndedNodeToken(BadNodeToken):
    message = "The node token of {host} has ended: `pileus node token {host}` on a server prints another."


class RevokedNodeToken(BadNodeToken):
    message = "The node token of {host} was revoked: `pileus node token {host}` on a server prints another."


class Node(msgspec.Struct, frozen=True):
    """Who asks on the bus: the agents of one host, when their token was issued and ends, and when the first
    of its line was issued."""

    host: str
    issued_ms: int = 0
    ends_ms: int = 0
    began_ms: int = 0


def node_secret(path: Path) -> bytes:
    """The servers' secret, made at first use and kept in a file of mode 0600."""
    return read_or_create_secret(path, SECRET_BYTES)


def _sign(secret: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(secret, f"pileus {purpose}\n{text}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def node_token(
    secret: bytes,
    host: str,
    lifetime_s: float = LIFETIME_S,
    now_s: float | None = None,
    began_ms: int | None = None,
) -> str:
    """A token of ``host`` that begins now, of the line that began at ``began_ms`` (None: of a new one)."""
    issued = round((time.time() if now_s is None else now_s) * 1000)
    name = base64.urlsafe_b64encode(host.encode()).decode().rstrip("=")
    began = issued if began_ms is None else began_ms
    text = f"{name}.{began}.{issued}.{issued + round(lifetime_s * 1000)}"
    return f"{text}.{_sign(secret, 'node', text)}"


def read_token(token: str) -> Node:
    """Read what a token says of itself, unchecked; raises BadNodeToken where it is none."""
    parts = token.split(".")
    try:
        host = base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)).decode()
        if len(parts) == 2 and host:
            raise OldNodeToken(host=host)
        if len(parts) == 4:  # from before tokens said when their line began
            parts.insert(1, parts[1])
        _, began, issued, ends, _ = parts
        if not host or not all(text.isascii() and text.isdigit() for text in (began, issued, ends)):
            raise ValueError(token)
        return Node(host, int(issued), int(ends), int(began))
    except ValueError:
        raise BadNodeToken from None


def renew_in_s(token: str, now_s: float) -> float:
    """Seconds until a token's node should ask for another; 0 where it is high time."""
    node = read_token(token)
    at = node.issued_ms + (node.ends_ms - node.issued_ms) * RENEW_AFTER
    return max(0.0, at / 1000 - now_s)


class NodeTokens:
    """The tokens that a server takes. ``seen`` is told of each node that shows a newer token than before."""

    def __init__(
        self, secret: bytes, *, lifetime_s: float = LIFETIME_S, now_s: Callable[[], float] = time.time
    ) -> None:
        self._secret = secret
        self._lifetime_s = lifetime_s
        self._now_s = now_s
        self._refused: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self.seen: Callable[[Node], None] = lambda node: None

    def refuse(self, before_ms: Mapping[str, int]) -> None:
        """Refuse the lines of tokens that began up to a moment, by host."""
        self._refused = dict(before_ms)

    def check(self, token: str) -> Node:
        """Who shows ``token``; raises BadNodeToken."""
        node = read_token(token)
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_sign(self._secret, "node", text).encode(), signature.encode()):
            raise BadNodeToken
        self.check_time(node)
        if node.issued_ms > self._newest.get(node.host, -1):
            self._newest[node.host] = node.issued_ms
            self.seen(node)
        return node

    def check_time(self, node: Node) -> None:
        """Raise EndedNodeToken or RevokedNodeToken if this node's token has come to its end."""
        now = self._now_s() * 1000
        if node.issued_ms - _CLOCKS_DIFFER_MS > now:
            raise BadNodeToken
        if node.ends_ms <= now:
            raise EndedNodeToken(host=node.host)
        if node.began_ms <= self._refused.get(node.host, -1):
            raise RevokedNodeToken(host=node.host)

    def renew(self, node: Node) -> str:
        """A newer token of the same line."""
        return node_token(self._secret, node.host, self._lifetime_s, self._now_s(), node.began_ms)

    def check_controller(self, token: str) -> None:
        """Raise BadNodeToken unless the controller shows ``token``."""
        ends, _, signature = token.partition(".")
        good = hmac.compare_digest(_sign(self._secret, "controller", ends).encode(), signature.encode())
        if not good or not ends.isdigit() or int(ends) < self._now_s():
            raise BadNodeToken


def controller_token(secret: bytes) -> str:
    """Make the token of an administrator who may read the servers' secret; good for a minute."""
    ends = str(round(time.time()) + _CONTROLLER_S)
    return f"{ends}.{_sign(secret, 'controller', ends)}"
