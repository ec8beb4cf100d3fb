"""Node tokens: what a node's agents show to be believed that they speak for that node.

A token is ``host.signature``: the host's name in URL-safe base64 and an HMAC-SHA256
over it with a secret that only servers hold. So any server can check it without a
look into the database, and a node can't speak for another one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import msgspec

from pileus.core.errors import Unauthenticated
from pileus.core.files import read_or_create_secret

SECRET_BYTES = 32


class BadNodeToken(Unauthenticated):
    message = "The node token is missing or not valid."


class Node(msgspec.Struct, frozen=True):
    """Who asks on the bus: the agents of one host."""

    host: str


def node_secret(path: Path) -> bytes:
    """The servers' secret, made at first use and kept in a file of mode 0600."""
    return read_or_create_secret(path, SECRET_BYTES)


def _sign(secret: bytes, host: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, host.encode(), hashlib.sha256)).decode().rstrip("=")


def node_token(secret: bytes, host: str) -> str:
    """The token of ``host``."""
    name = base64.urlsafe_b64encode(host.encode()).decode().rstrip("=")
    return f"{name}.{_sign(secret, host)}"


def node_of_token(secret: bytes, token: str) -> Node:
    """The node that ``token`` speaks for; raises BadNodeToken."""
    name, _, signature = token.partition(".")
    try:
        host = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except ValueError:
        raise BadNodeToken from None
    if not host or not hmac.compare_digest(_sign(secret, host).encode(), signature.encode()):
        raise BadNodeToken
    return Node(host)
