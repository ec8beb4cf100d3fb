"""Lists of security groups, of what their rules name, and of logs; and such things in the scene."""

from __future__ import annotations

from tests.api.network.cloud import P1, Cloud
from tests.api.reference.network_rows import by, paged, tags
from tests.api.reference.runner import Example, Operations

OPERATIONS: Operations = {
    "/v2.0/security-groups": {
        "id": "id={group}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "revision_number": "revision_number=2",
        "name": "name=first",
        "description": "description=the first",
        "stateful": "stateful=False",
        "shared": "shared=True",
        **tags(),
        **paged("name", marker="group"),
    },
    "/v2.0/security-group-rules": {
        "id": "id={rule}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "remote_group_id": "remote_group_id={group}",
        "remote_address_group_id": "remote_address_group_id={addresses}",
        "direction": "direction=ingress",
        "protocol": "protocol=TCP",
        "ethertype": "ethertype=ipv6",
        "port_range_max": "port_range_max=81",
        "port_range_min": "port_range_min=80",
        "remote_ip_prefix": "remote_ip_prefix=10.0.0.5",
        "security_group_id": "security_group_id={group}",
        "revision_number": "revision_number=2",
        "description": "description=the first",
        "normalized_cidr": "normalized_cidr=10.0.0.5/32",
        "belongs_to_default_sg": "belongs_to_default_sg=True",
        **paged("direction", "protocol", "ethertype", "port_range_min", "remote_ip_prefix", marker="rule"),
    },
    "/v2.0/address-groups": {
        "id": "id={addresses}",
        "project_id": Example(f"project_id={P1}", person="admin"),
        "revision_number": "revision_number=2",
        "name": "name=first",
        "description": "description=the first",
        **paged("name", "description", marker="addresses"),
    },
    "/v2.0/default-security-group-rules": {
        "id": "id={default_rule}",
        "direction": "direction=ingress",
        "protocol": "protocol=sctp",
        "ethertype": "ethertype=IPv6",
        "port_range_max": "port_range_max=81",
        "port_range_min": "port_range_min=80",
        "remote_ip_prefix": "remote_ip_prefix=10.0.0.0/8",
        "remote_group_id": "remote_group_id=PARENT",
        "remote_address_group_id": "remote_address_group_id={addresses}",
        "used_in_default_sg": "used_in_default_sg=False",
        "used_in_non_default_sg": "used_in_non_default_sg=False",
        "description": "description=the first",
        **paged("direction", "ethertype", "protocol", marker="default_rule"),
    },
    "/v2.0/log/loggable-resources": {"fields": Example("fields=x", person="admin")},
    "/v2.0/log/logs": by(
        "admin",
        {
            "id": "id={log}",
            "project_id": f"project_id={P1}",
            "name": "name=first",
            "description": "description=the first",
            "revision_number": "revision_number=2",
            "resource_type": "resource_type=none",
            "resource_id": "resource_id={group}",
            "target_id": "target_id={port}",
            "event": "event=DROP",
            "enabled": "enabled=False",
            **paged("name", marker="log"),
        },
    ),
}


async def address_groups(api: Cloud) -> str:
    one = await api.make("address_group", name="first", description="the first", addresses=["10.0.0.0/8"])
    await api("PUT", f"/v2.0/address-groups/{one['id']}/add_addresses", {"addresses": ["10.0.0.0/9"]})
    await api.make("address_group", name="other")
    await api.as_("bob").make("address_group", name="another's")
    return str(one["id"])


async def logs(api: Cloud, group: str, port: str) -> str:
    manager, admin = api.as_("manager"), api.as_("admin")
    ids = []
    for person, values in (
        (manager, {"resource_id": group, "event": "DROP", "enabled": False, "name": "first"}),
        (manager, {"target_id": port}),
        (admin, {}),
    ):
        body = {"log": {"resource_type": "security_group", **values}}
        ids.append((await person("POST", "/v2.0/log/logs", body)).json["log"]["id"])
    await manager("PUT", f"/v2.0/log/logs/{ids[0]}", {"log": {"description": "the first"}})
    return str(ids[0])


async def default_rules(api: Cloud, addresses: str) -> str:
    admin = api.as_("admin")
    made = await admin.make(
        "default_security_group_rule", direction="ingress", protocol="sctp", port_range_min=80,
        port_range_max=81, remote_ip_prefix="10.0.0.0/8", description="the first",
    )  # fmt: skip
    await admin.make(
        "default_security_group_rule", direction="egress", protocol="udp", remote_address_group_id=addresses
    )
    return str(made["id"])


async def rules(api: Cloud, group: str, addresses: str) -> str:
    base = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    rule = await api.make(
        "security_group_rule", **base, port_range_min=80, port_range_max=81, remote_ip_prefix="10.0.0.5",
        description="the first",
    )  # fmt: skip
    await api.make("security_group_rule", **{**base, "protocol": "udp"}, remote_group_id=group)
    await api.make("security_group_rule", **{**base, "protocol": "sctp"}, remote_address_group_id=addresses)
    await api.as_("bob").make("security_group", name="another's", tags=["red"])
    made = await api.make("security_group", name="other", tags=["red"])
    await api.make("security_group_rule", security_group_id=made["id"], direction="egress", protocol="udp")
    return str(rule["id"])
