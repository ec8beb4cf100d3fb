"""Units of work of agents: administrators change and delete them."""

from __future__ import annotations

from collections.abc import Callable

from pileus.core.context import Context
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.event import event
from pileus.services.network.config import NetworkConfig
from pileus.store.tx import Tx
from pileus.wire import scopes


def agent_updater(
    resource: Resource, config: NetworkConfig
) -> Callable[[Tx, Context, list[Update]], list[Values]]:
    """The unit that changes agents: whether new work goes there, and what people say about them.

    The agent is told by its host's scope, marks itself for resync, and goes on serving what it serves, but
    for routers that others can take.
    """

    def agent_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
        after = resource.change(tx, context, updates)
        tx.emit_many(
            [
                event(
                    context,
                    "agent.update",
                    agent["id"],
                    None,
                    [scopes.host(agent["host"])],
                    host=agent["host"],
                    admin_state_up=agent["admin_state_up"],
                )
                for agent in after
            ]
        )
        enabled = {
            new["agent_type"]
            for one, new in zip(updates, after, strict=True)
            if new["admin_state_up"] and not one.original["admin_state_up"]
        }
        for follow in config.followers.agents_enabled if enabled else ():
            follow(tx, context, sorted(enabled), config)
        disabled = [
            new["id"]
            for one, new in zip(updates, after, strict=True)
            if one.original["admin_state_up"] and not new["admin_state_up"]
        ]
        for follow in config.followers.agents_disabled if disabled else ():
            follow(tx, context, disabled, config)
        return after

    return agent_update


def agent_deleter(resource: Resource, config: NetworkConfig) -> Callable[[Tx, Context, list[Values]], None]:
    """The unit that deletes agents: what they served goes to others, a living one comes back with its next
    report."""

    def agent_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
        ids = [agent["id"] for agent in originals]
        after = [follow(tx, context, ids, config) for follow in config.followers.agents_deleting]
        resource.remove(tx, originals)
        concerned = [scope for follow in after for scope in follow()]
        tx.emit_many(
            [
                event(
                    context,
                    "agent.delete",
                    agent["id"],
                    None,
                    [
                        scopes.host(agent["host"]),
                        scopes.dhcp(agent["host"]),
                        scopes.l3(agent["host"]),
                        scopes.tunnels(),
                        *concerned,
                    ],
                    host=agent["host"],
                )
                for agent in originals
            ]
        )

    return agent_delete
