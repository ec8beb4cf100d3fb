"""Creating servers: what can be refused is refused here, in one unit of work.

Facts are read (``creation_facts.py``), everything is decided from them, quotas are spent, and then it is
written: the servers (building, to be scheduled), their tags and action, and one operation for the whole
request that the conductor takes up. No host is chosen, and no port made or bound yet.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from pileus.core.context import Context
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.resource.tag_table import tags_save
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.nodes.reading import COMPUTE_BINARY
from pileus.services.compute.quotas.counting import spend_up_to
from pileus.services.compute.rules import states
from pileus.services.compute.rules.untold import is_untold
from pileus.services.compute.servers.block_device_mappings import check_order
from pileus.services.compute.servers.boot_files import must_have_boot_files
from pileus.services.compute.servers.chains.boot import BOOT, VOLUME_BOOT
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.checks import (
    check_files,
    check_metadata,
    hardware_of,
    image_boots,
    image_fits,
)
from pileus.services.compute.servers.creation_facts import HINTED_SERVERS, CreationFacts, creation_facts_read
from pileus.services.compute.servers.devices import devices_decide, devices_reserve, root_image
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.requested_networks import groups_decide, networks_decide
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.servers.server_spec import ServerSpec
from pileus.services.compute.uses.network import ports_free
from pileus.store.operations import operation_create
from pileus.store.tx import Tx


class Plan(NamedTuple):
    """New servers as they are decided on. ``interfaces`` are the networks and ports of each of them,
    ``devices`` the volumes. ``image``: what they begin from; of a root volume, what that was made of."""

    flavor: Values
    image: Values
    hardware: dict[str, Any]
    keypair: Any
    config_drive: bool
    hints: dict[str, Any]
    groups: list[str] | None
    interfaces: list[dict[str, Any]]
    devices: Sequence[dict[str, Any]] = ()

    @property
    def volume_backed(self) -> bool:
        """Whether the root disk is a volume."""
        return any(one["boot_index"] == 0 for one in self.devices)


def servers_create(tx: Tx, access: Access, spec: ServerSpec, *, parts: Parts) -> list[Values]:
    """Write new servers; returns them. A constant number of statements for any number of servers.

    Raises BadRequest, QuotaError and the like in Nova's words.
    """
    facts = creation_facts_read(tx, access, spec, parts.config)
    plan = decide(access, spec, facts, parts.config)
    must_have_boot_files(tx, access, plan.hardware, plan.flavor["ram"])
    count = _spend(tx, access.context, spec, plan)
    made = servers_write(tx, access.context, spec, plan, count)
    if plan.devices:
        devices_reserve(tx, access.context, made[0]["id"], plan.devices, facts.devices)
    return made


def decide(access: Access, spec: ServerSpec, facts: CreationFacts, config: ComputeConfig) -> Plan:
    """Decide what the servers are to be, or refuse; pure."""
    flavor = facts.flavor
    if flavor is None:
        raise BadRequest(f"Flavor {spec.flavor_id} could not be found.")
    asked = facts.wanted_devices
    check_order(asked, image_id=spec.image_id)
    image = root_image(asked, facts.devices, flavor)
    if image is None:
        image = _image(spec, facts, flavor)
        image_boots(image, access, flavor, spec.disk_config)
    elif spec.image_id and facts.image is None:
        raise BadRequest(f"Image {spec.image_id} could not be found.")
    elif facts.image is not None:
        image = facts.image
        image_fits(image, {**flavor, "disk": 0})
    hardware = hardware_of(image, flavor["extra_specs"], flavor["vcpus"])
    devices = devices_decide(asked, facts.devices, flavor, hardware, len(spec.ids))
    needs_drive = hardware.pop("config_drive", None)
    if spec.key_name is not None and facts.keypair is None:
        raise BadRequest("Invalid key_name provided.")
    _check_placement(spec, facts, config)
    if facts.limits is not None:
        check_metadata(facts.limits.together, spec.metadata)
        check_files(facts.limits.together, spec.files)
    _check_server_group(spec, facts)
    groups = groups_decide(spec.groups, facts.groups)
    interfaces = networks_decide(
        access, spec.networks, facts.networks, len(spec.ids), with_groups=bool(spec.groups)
    )
    untold = is_untold(facts.networks.subnets, (one["network_id"] for one in interfaces))
    if not facts.qos_policy_usable:
        raise BadRequest(f"QoS policy {spec.qos_policy_id} could not be found.")
    return Plan(
        flavor=flavor,
        image=image,
        hardware=hardware,
        keypair=facts.keypair,
        config_drive=spec.config_drive or bool(needs_drive) or untold,
        hints=_hints(spec, facts),
        groups=groups,
        interfaces=interfaces,
        devices=devices,
    )


def _image(spec: ServerSpec, facts: CreationFacts, flavor: Values) -> Values:
    if not spec.image_id:
        raise BadRequest("Invalid imageRef provided: servers begin from an image or a bootable volume.")
    if facts.image is None:
        raise BadRequest(f"Image {spec.image_id} could not be found.")
    image_fits(facts.image, flavor)
    return facts.image


def _check_placement(spec: ServerSpec, facts: CreationFacts, config: ComputeConfig) -> None:
    """BadRequest for a zone, host or hypervisor that is not there."""
    nodes = facts.nodes
    if spec.host and not any(one.row.host == spec.host for one in nodes):
        raise BadRequest(f"Compute host {spec.host} could not be found.")
    if spec.node and not any(one.row.hypervisor_hostname == spec.node for one in nodes):
        raise BadRequest(f"No hypervisor matching '{spec.node}' could be found.")
    if spec.zone:
        zones = {one.service.zone for one in nodes if one.service.binary == COMPUTE_BINARY}
        if spec.zone not in {*zones, config.default_zone}:
            raise BadRequest("The requested availability zone is not available")


def _check_server_group(spec: ServerSpec, facts: CreationFacts) -> None:
    """Refuse a server group of the hints that does not exist, or has no room."""
    group_id = spec.hints.get("group")
    if group_id is None:
        return
    if facts.server_group is None or facts.limits is None:
        raise BadRequest(f"Instance group {group_id} could not be found.")
    most = facts.limits.project["server_group_members"]
    if 0 <= most < facts.group_size + len(spec.ids):
        raise QuotaError("Quota exceeded, too many servers in group")


def _hints(spec: ServerSpec, facts: CreationFacts) -> dict[str, Any]:
    """The hints, without those servers that the caller may not know of."""
    kept = {
        hint: [key for key in spec.hints[hint] if key in facts.hinted]
        for hint in HINTED_SERVERS
        if hint in spec.hints
    }
    return {**spec.hints, **kept}


def _spend(tx: Tx, context: Context, spec: ServerSpec, plan: Plan) -> int:
    """Count the servers that the quotas leave; holds the quotas until the end. Raises QuotaError."""
    project_id = context.project_id or ""
    most = len(spec.ids)
    ports_each = sum(1 for one in plan.interfaces if one["port_id"] is None)
    if ports_each:
        most = min(most, ports_free(tx, project_id) // ports_each)
        if most < spec.minimum:
            raise QuotaError("Maximum number of ports exceeded")
    user_id = context.user_id or ""
    cores, ram = plan.flavor["vcpus"], plan.flavor["ram"]
    return spend_up_to(tx, project_id, user_id, spec.minimum, most, cores=cores, ram=ram)


def servers_write(tx: Tx, context: Context, spec: ServerSpec, plan: Plan, count: int) -> list[Values]:
    """Write servers that have been decided on, and the operation that brings them up."""
    chain = VOLUME_BOOT if plan.devices else BOOT
    rows = [_row(context, spec, plan, index) for index in range(count)]
    SERVER.insert(tx, context, rows)
    ids = [row["id"] for row in rows]
    if spec.tags:
        tags_save(tx, context, dict.fromkeys(ids, spec.tags))
    action_begin(tx, context, ids, "create")
    operation_create(
        tx,
        operation_id=spec.operation_id,
        kind=chain.kind,
        resource_id=spec.reservation_id,
        step=chain.first.name,
        now=context.now,
        data={
            "servers": ids,
            "plugs": plan.interfaces,
            "groups": plan.groups,
            "qos_policy_id": spec.qos_policy_id,
            "hints": plan.hints,
            "host": spec.host,
            "node": spec.node,
            "forced": spec.forced,
            "image": dict(plan.image["properties"]),
            "user_id": context.user_id,
            **({"devices": list(plan.devices)} if plan.devices else {}),
        },
        project_id=context.project_id or "",
        request_id=context.request_id,
    )
    flavor = plan.flavor["name"]
    tx.emit_many(
        [
            event(context, "server.create", row["id"], row["project_id"], name=row["name"], flavor=flavor)
            for row in rows
        ]
    )
    return rows


def sanitize_hostname(name: str, server_id: str) -> str:
    """A name as a host may have it: letters, digits and hyphens; the server's id where nothing is left."""
    text = re.sub(r"[ _.]", "-", name.encode("ascii", "ignore").decode())
    text = re.sub(r"[^\w-]+", "", text).lower().strip("-")[:63].rstrip("-")
    return text or f"server-{server_id}"


def _row(context: Context, spec: ServerSpec, plan: Plan, index: int) -> Values:
    """One of the servers, as it is before anything has been done for it."""
    server_id = spec.ids[index]
    name = f"{spec.name}-{index + 1}" if len(spec.ids) > 1 else spec.name
    return Values(
        {
            "id": server_id,
            "project_id": context.project_id or "",
            "user_id": context.user_id or "",
            "name": name,
            "hostname": spec.hostname or sanitize_hostname(name, server_id),
            # before 2.19 the description was the name, and clients of old see none
            "description": spec.description,
            "disk_config": spec.disk_config,
            "access_ip_v4": spec.access_ip_v4,
            "access_ip_v6": spec.access_ip_v6,
            "launch_index": index,
            "reservation_id": spec.reservation_id,
            "group_id": spec.hints.get("group"),
            **_machine(spec, plan),
            **_for_guest(spec, plan),
            **_state(context, spec),
        }
    )


def _machine(spec: ServerSpec, plan: Plan) -> dict[str, Any]:
    flavor = plan.flavor
    root = 0 if plan.volume_backed else flavor["disk"]
    return {
        "image_id": (spec.image_id or None) if plan.volume_backed else plan.image["id"],
        "flavor_id": flavor["id"],
        "flavor": flavor_copy(flavor),
        "vcpus": flavor["vcpus"],
        "memory_mib": flavor["ram"],
        "disk_gib": root + flavor["OS-FLV-EXT-DATA:ephemeral"],
        "hardware": plan.hardware or None,
    }


def _for_guest(spec: ServerSpec, plan: Plan) -> dict[str, Any]:
    """The values that the guest is told about itself."""
    key = plan.keypair
    return {
        "key_name": key.name if key is not None else None,
        "key_type": key.type if key is not None else None,
        "key_data": key.public_key if key is not None else None,
        "user_data": spec.user_data,
        "config_drive": plan.config_drive,
        "properties": spec.metadata,
        "files": spec.files,
        # only a config drive carries it into the guest
        "password": spec.password if plan.config_drive else None,
        "random_seed": secrets.token_hex(32),
    }


def _state(context: Context, spec: ServerSpec) -> dict[str, Any]:
    return {
        "vm_state": states.BUILDING,
        "task_state": states.SCHEDULING,
        "task_since": context.now,
        "power_state": states.NOSTATE,
        "wanted": states.WANT_RUNNING,
        "generation": 1,
        "in_place": False,
        "host": None,
        "node": None,
        "availability_zone": spec.zone,
        "pinned_availability_zone": spec.zone,
        "locked_by": None,
        "locked_reason": None,
        "quarantined": None,
        "fault": None,
        "launched_at": None,
        "terminated_at": None,
        "deleted_at": None,
        "created_at": context.now,
        "updated_at": context.now,
    }


def flavor_copy(flavor: Values) -> dict[str, Any]:
    """The copy that a server keeps of its flavor."""
    return {
        "id": flavor["id"],
        "name": flavor["name"],
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "ephemeral": flavor["OS-FLV-EXT-DATA:ephemeral"],
        "swap": flavor["swap"],
        "extra_specs": dict(flavor["extra_specs"]),
    }
