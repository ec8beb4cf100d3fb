"""People and teams in a real LDAP server, and domains that have it as their directory."""

from __future__ import annotations

from typing import Any

from tests.api.identity.cloud import Cloud
from tests.ldap import ADMIN, ADMIN_PASSWORD, SUFFIX, Ldap

PEOPLE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=teams,{SUFFIX}
objectClass: organizationalUnit
ou: teams
"""


def person(key: str, name: str, **more: str) -> str:
    """One person in LDIF; his password is his name with ``-secret``."""
    lines = [f"{attribute}: {value}" for attribute, value in more.items()]
    return "\n".join(
        [
            f"dn: uid={key},ou=people,{SUFFIX}", "objectClass: inetOrgPerson", f"uid: {key}", f"cn: {name}",
            f"sn: {name}", f"mail: {key}@example.org", f"userPassword: {name}-secret", *lines, "", "",
        ]
    )  # fmt: skip


def team(name: str, *members: str) -> str:
    lines = [f"member: uid={key},ou=people,{SUFFIX}" for key in members]
    return "\n".join(
        [f"dn: cn={name},ou=teams,{SUFFIX}", "objectClass: groupOfNames", f"cn: {name}", *lines, "", ""]
    )


def config(server: Ldap, **more: Any) -> dict[str, Any]:
    ldap = {
        "url": server.url, "user": ADMIN, "password": ADMIN_PASSWORD, "suffix": SUFFIX,
        "user_tree_dn": f"ou=people,{SUFFIX}", "user_id_attribute": "uid", "user_name_attribute": "cn",
        "user_enabled_attribute": "employeeType", "group_tree_dn": f"ou=teams,{SUFFIX}",
        "group_id_attribute": "cn", "group_name_attribute": "cn", **more,
    }  # fmt: skip
    return {"identity": {"driver": "ldap"}, "ldap": ldap}


async def make_domain(cloud: Cloud, server: Ldap, name: str = "acme", **more: Any) -> str:
    domain = (await cloud.admin.make("domain", name=name))["id"]
    made = await cloud.admin("PUT", f"/v3/domains/{domain}/config", {"config": config(server, **more)})
    assert made.status == 201 and "password" not in made.json["config"]["ldap"]
    return str(domain)


async def log_in(cloud: Cloud, domain: str, name: str, password: str, scope: Any = None) -> Any:
    return await cloud.login(name, password, scope, name=name, domain={"id": domain})
