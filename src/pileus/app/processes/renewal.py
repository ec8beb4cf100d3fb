"""Renewing node tokens before they end, for as long as the agents run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pileus.bus.client import WireClient
from pileus.bus.node import read_token, renew_in_s
from pileus.core import log
from pileus.core.errors import Fault
from pileus.core.files import write_atomically
from pileus.wire.calls import NODE_TOKEN
from pileus.wire.nodes import NodeTokenRequest

RETRY_S = 30.0
"""Seconds until a renewal that failed is tried again, in the least."""
LONGEST_S = 86400.0

logger = log.get("agent")


async def keep_tokens(clients: Sequence[WireClient], files: Mapping[WireClient, Path] | None = None) -> None:
    """Give each client a newer token at half of its token's life, and write it to the client's file, whole or
    not at all; runs until it is cancelled."""
    while True:
        await asyncio.sleep(min([LONGEST_S, *(renew_in_s(one.token, time.time()) for one in clients)]))
        failed = False
        for client in clients:
            if renew_in_s(client.token, time.time()) <= 0:
                failed |= not await _renew(client, (files or {}).get(client))
        if failed:
            await asyncio.sleep(RETRY_S)


async def _renew(client: WireClient, file: Path | None) -> bool:
    host = read_token(client.token).host
    try:
        client.token = (await client.call(NODE_TOKEN, NodeTokenRequest(host))).token
        logger.info("the node token was renewed", host=host)
        if file is not None:
            await asyncio.to_thread(write_atomically, file, client.token.encode(), 0o600)
    except (Fault, OSError) as error:
        logger.warning("the node token could not be renewed", host=host, error=str(error))
        return False
    return True
