"""Security groups of servers. Source: Compute API reference, "Server security groups"."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict, NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import INTEGER_OR_NULL, TEXT, TEXT_OR_NULL, UUID, always, named_list
from pileus.services.compute.rules.security_groups import group_view, peer_of, peers_of
from pileus.services.compute.servers.attached import ports_of
from pileus.services.compute.servers.lookup import find_server, must_be_free
from pileus.services.compute.uses.network import (
    NetworkConfig,
    as_update,
    groups_by_id,
    groups_named,
    port_update,
)
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, Route


class GroupNotFound(NotFound):
    message = "Security group {name} not found for project {project_id}."


class SecurityGroupHandlers:
    """Handlers that know the network's settings."""

    def __init__(self, network: NetworkConfig) -> None:
        self._network = network

    def _regroup(self, tx: Tx, request: Request, name: str, add: bool) -> None:
        server = find_server(tx, request, lock=True)
        must_be_free(request, server)
        found = groups_named(tx, request.context, [name])
        found = [one for one in found if one["id"] == name] or found
        if not found:
            raise GroupNotFound(name=name, project_id=request.context.project_id)
        if len(found) > 1:
            raise Conflict(
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        group_id = found[0]["id"]
        ports = [port for port in ports_of(tx, server["id"]) if port["port_security_enabled"]]
        updates = []
        for port in ports:
            groups = list(port["security_groups"])
            if add and group_id not in groups:
                updates.append(as_update(port, security_groups=[*groups, group_id]))
            elif not add and group_id in groups:
                updates.append(as_update(port, security_groups=[one for one in groups if one != group_id]))
        if not add and not updates:
            raise GroupNotFound(f"Security group {name} not associated with the instance {server['id']}")
        if updates:
            port_update(tx, request.context, updates, config=self._network)

    async def add_group(self, request: Request, argument: Any) -> Reply:
        """The verb ``addSecurityGroup``."""
        await request.write(self._regroup, request, argument["name"], True)
        return Reply.empty(202)

    async def remove_group(self, request: Request, argument: Any) -> Reply:
        """The verb ``removeSecurityGroup``."""
        await request.write(self._regroup, request, argument["name"], False)
        return Reply.empty(202)

    def _groups(self, tx: Tx, request: Request) -> list[dict[str, Any]]:
        server = find_server(tx, request)
        ids = {group for port in ports_of(tx, server["id"]) for group in port["security_groups"]}
        groups = groups_by_id(tx, ids)
        peers = {one["id"]: peer_of(one) for one in [*groups, *groups_by_id(tx, peers_of(groups) - ids)]}
        return [group_view(one, peers) for one in groups]

    async def list_groups(self, request: Request) -> Reply:
        """List the groups of all its ports."""
        return Reply.json({"security_groups": await request.read(self._groups, request)})


_PEER = always({}, {"name": TEXT, "tenant_id": TEXT})
GROUP_RULE = always(
    {
        "id": UUID,
        "parent_group_id": UUID,
        "ip_protocol": TEXT_OR_NULL,
        "from_port": INTEGER_OR_NULL,
        "to_port": INTEGER_OR_NULL,
        "ip_range": always({}, {"cidr": TEXT}),
        "group": _PEER,
    }
)
GROUP = always(
    {
        "id": UUID,
        "name": TEXT,
        "description": TEXT,
        "tenant_id": TEXT,
        "rules": types.list_of(GROUP_RULE),
    }
)
_NAME = types.dict_of({"name": types.string(255, minimum=1)}, required=("name",), additional=types.anything)
_RULE = "os_compute_api:os-security-groups:"


def security_group_actions(handlers: SecurityGroupHandlers) -> dict[str, Action]:
    """The actions by name."""
    return {
        "addSecurityGroup": Action(
            _NAME, handlers.add_group, rule=_RULE + "add", summary="Add a security group to a server"
        ),
        "removeSecurityGroup": Action(
            _NAME,
            handlers.remove_group,
            rule=_RULE + "remove",
            summary="Remove a security group from a server",
        ),
    }


def security_groups_noun(handlers: SecurityGroupHandlers) -> Noun:
    """The noun; its actions are ``security_group_actions``."""
    return Noun(
        name="server_security_group",
        rules=rules(
            {
                "os-security-groups:add": ADMIN_OR_MEMBER,
                "os-security-groups:remove": ADMIN_OR_MEMBER,
                "os-security-groups:list": ADMIN_OR_READER,
            }
        ),
        extensions=(Extension("os-security-groups", "SecurityGroups", "Security group support."),),
        routes=(
            Route(
                "GET",
                "/v2.1/servers/{id}/os-security-groups",
                handlers.list_groups,
                rule=_RULE + "list",
                reply=named_list("security_groups", GROUP),
                summary="List a server's security groups",
            ),
        ),
    )
