"""The agent process: all agents of this node, or of many simulated nodes."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from pileus.app import bootstrap, privileges
from pileus.app.nodes import guests
from pileus.app.nodes.agents import node_agents
from pileus.app.nodes.limits import restore_limits
from pileus.app.nodes.machines import remove_own_libvirt, simulated_cache
from pileus.app.nodes.parts import NodeParts
from pileus.app.nodes.real import real_parts
from pileus.app.nodes.simulated import host_name, simulated_parts
from pileus.app.nodes.storage import end_exports
from pileus.app.nodes.switch import RealSwitch
from pileus.app.prepare import put
from pileus.app.processes import lifecycle
from pileus.app.processes.notify import notify
from pileus.app.processes.renewal import keep_tokens
from pileus.app.settings import Settings
from pileus.app.state import StateFolder, default_root
from pileus.bus.client import WireClient
from pileus.bus.node import node_secret, node_token, read_token
from pileus.core import log
from pileus.core.errors import Fault
from pileus.drivers.keepalived.simulated import SimulatedVrrp
from pileus.host.agent import Agent

logger = log.get("agent")


def main(state: Path | None, config: Path | None, simulated: bool, purge: bool) -> None:
    """Run until SIGTERM or SIGINT; with ``purge`` remove what this node's agents built, and end."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    settings = lifecycle.start(folder, config, {})
    if simulated:
        secret = node_secret(folder.node_secret)
        privileges.drop(settings.server.user)
        lifecycle.run(lambda: _simulated(folder, settings, secret))
    elif purge:
        lifecycle.run(lambda: _purge(folder, settings))
    else:
        lifecycle.run(lambda: _real(folder, settings))


async def _real(folder: StateFolder, settings: Settings) -> None:
    host = bootstrap.host_name(settings.agent.host)
    _renew_own_token(folder, settings, host)
    file = Path(settings.agent.token_file) if settings.agent.token_file else folder.node_token
    try:
        token = file.read_text().strip()
        read_token(token)
    except OSError as error:
        bootstrap.fail(
            f"the node token can't be read: {error}. `pileus node token {host}` on a server prints it"
        )
    _check_private(settings)
    switch = await RealSwitch.open(folder, settings)
    parts = await real_parts(folder, settings, host, switch)
    async with WireClient(_server_address(folder, settings), token, _tls(settings)) as client:
        agents = node_agents(settings, host, client, parts)
        keeping = [keep_tokens([client], {client: file}), *(keep() for keep in parts.keepers)]
        keepers = [asyncio.create_task(one) for one in keeping]
        try:
            await _run(agents.all())
        finally:
            for keeper in keepers:
                keeper.cancel()
            await parts.close()


def _renew_own_token(folder: StateFolder, settings: Settings, host: str) -> None:
    """Beside the server of its cloud a node has a token without being given one: root may read the secret."""
    if settings.agent.server or settings.agent.token_file or not folder.node_secret.exists():
        return
    token = node_token(node_secret(folder.node_secret), host, settings.server.node_token_lifetime_s)
    put(folder.node_token, token, 0o600)


async def _simulated(folder: StateFolder, settings: Settings, secret: bytes) -> None:
    """``simulation.hosts`` nodes, each with the twins of all parts."""
    clients: list[WireClient] = []
    parts: list[NodeParts] = []
    agents: list[Agent] = []
    cache = simulated_cache(folder)
    vrrp = SimulatedVrrp(folder.hosts / "vrrp.json")
    for number in range(1, settings.simulation.hosts + 1):
        host = host_name(number)
        parts.append(await simulated_parts(folder, settings, number, cache, vrrp))
        token = node_token(secret, host, settings.server.node_token_lifetime_s)
        clients.append(WireClient(_server_address(folder, settings), token, _tls(settings)))
        agents += node_agents(settings, host, clients[-1], parts[-1]).all()
    keeper = asyncio.create_task(keep_tokens(clients))
    try:
        await _run(agents)
    finally:
        keeper.cancel()
        await asyncio.gather(*(client.close() for client in clients))
        await asyncio.gather(*(some.close() for some in parts))


def _check_private(settings: Settings) -> None:
    if settings.agent.server.startswith("http:"):
        bootstrap.fail(
            f"agent.server is {settings.agent.server}: a node token goes over TLS (https://) or the server's "
            "Unix socket (unix:) only"
        )


async def _purge(folder: StateFolder, settings: Settings) -> None:
    switch = await RealSwitch.open(folder, settings)
    host = bootstrap.host_name(settings.agent.host)
    await end_exports(folder, settings)
    parts = await real_parts(folder, settings, host, switch)
    database = switch.client()
    await database.connect(guests.SWITCH_WITHIN_S)
    on_switch = database.by_name("Interface")
    found = guests.labelled(await parts.links.links())
    plugged = {name: namespace for name, namespace in found.items() if name in on_switch}
    await database.close()
    async with WireClient(_server_address(folder, settings), "") as client:
        agents = node_agents(settings, host, client, parts)
        if agents.machines is not None:
            await agents.machines.purge()
            await remove_own_libvirt(folder)
        for agent in agents.namespaces:
            await agent.purge()
        restore_limits(folder.limits)
        await agents.switch.purge(guests=True)
        await agents.switch.release()
    await guests.remove_guests(parts.links, parts.links, list(plugged.values()), list(plugged))
    await switch.close(folder)


async def _run(agents: Sequence[Agent]) -> None:
    """Run agents until a signal; ready when each has made its first full pass."""
    stop = lifecycle.stop_requested()
    tasks = [asyncio.create_task(agent.run(), name=agent.host) for agent in agents]
    stopping = asyncio.create_task(stop.wait())
    in_sync = asyncio.create_task(_until_in_sync(agents))
    await asyncio.wait([stopping, in_sync, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if in_sync.done():
        notify("READY=1")
        logger.info("the agents are ready", agents=len(agents))
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    in_sync.cancel()
    stopping.cancel()
    notify("STOPPING=1")
    for agent in agents:
        agent.stop()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for agent, result in zip(agents, results, strict=True):
        if isinstance(result, Exception):
            logger.error("an agent failed", agent=agent.binary, host=agent.host, exc_info=result)
    if any(isinstance(result, Exception) for result in results):
        raise SystemExit(1)
    logger.info("the agents have stopped; what they built stays")


async def _until_in_sync(agents: Sequence[Agent]) -> None:
    await asyncio.gather(*(agent.in_sync.wait() for agent in agents))


def _server_address(folder: StateFolder, settings: Settings) -> str:
    return settings.agent.server or f"unix:{folder.socket}"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.agent.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=settings.agent.ca_file)
    except OSError as error:
        bootstrap.fail(f"agent.ca_file {settings.agent.ca_file} can't be used: {error}")


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]) if sys.argv[2] else None,
            simulated="simulated" in sys.argv[3:],
            purge="purge" in sys.argv[3:],
        )
    except Fault as fault:
        bootstrap.fail(fault.text)
