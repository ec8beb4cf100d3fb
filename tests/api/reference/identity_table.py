"""Lists of the identity API. Source: Identity API v3 reference (``api-ref/source/v3`` of Keystone)."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.identity.cloud import PASSWORD, Client, Cloud, cloud
from tests.api.reference.runner import Example, Operations, Scene

from pileus.services.identity.tables.groups import groups
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx

_PAGES: dict[str, str | Example] = {"limit": "limit=1", "marker": "marker={admin}"}
_ORDER: dict[str, str | Example] = {
    "sort_key": Example("sort_key=name", without="sort_key=name&sort_dir=desc"),
    "sort_dir": Example("sort_key=name&sort_dir=desc", without="sort_key=name"),
}
_USERS: dict[str, str | Example] = {
    "domain_id": "domain_id={domain}",
    "enabled": "enabled=false",
    "name": "name=ann",
    "name__contains": "name__contains=nn",
    "password_expires_at": "password_expires_at=lt:2026-01-01T00:00:00Z",
}
_ROLES: dict[str, str | Example] = {}
_LIMITS: dict[str, str | Example] = {
    "service_id": "service_id={service}",
    "region_id": "region_id={region}",
    "resource_name": "resource_name=cores",
}

OPERATIONS: Operations = {
    "/v3/users": {
        **_USERS,
        **_PAGES,
        **_ORDER,
        "enabled (bare)": Example("enabled", without="enabled=0"),
        "idp_id": "idp_id=x",
        "protocol_id": "protocol_id=x",
        "unique_id": "unique_id=x",
    },
    "/v3/users/{id}/groups": {"name": Example("name=g1", path="/v3/users/{ann}/groups")},
    "/v3/users/{id}/projects": {
        name: Example(query, path="/v3/users/{ann}/projects")
        for name, query in (
            ("domain_id", "domain_id=default"),
            ("enabled", "enabled=false"),
            ("name", "name=p1"),
        )
    },
    "/v3/users/{id}/application_credentials": {
        "name": Example("name=app1", path="/v3/users/{admin}/application_credentials")
    },
    "/v3/users/{id}/credentials/OS-EC2": {},
    "/v3/groups": {
        "name": "name=g1",
        "domain_id": "domain_id=default",
        "limit": "limit=1",
        "marker": "marker={group}",
        **_ORDER,
    },
    "/v3/groups/{id}/users": {
        name: Example(query if isinstance(query, str) else query.query, path="/v3/groups/{group}/users")
        for name, query in _USERS.items()
    },
    "/v3/projects": {
        "domain_id": "domain_id=default",
        "enabled": "enabled=false",
        "is_domain": "is_domain=true",
        "name": "name=p1",
        "parent_id": "parent_id={project}",
        "limit": "limit=1",
        "marker": "marker={project}",
        "tags": Example("tags=red,big", without="tags=red"),
        "tags-any": Example("tags-any=red,big", without="tags=red,big"),
        "not-tags": Example("not-tags=red,big", without="not-tags-any=red,big"),
        "not-tags-any": "not-tags-any=red,big",
    },
    "/v3/domains": {
        "name": "name=d",
        "enabled": "enabled=false",
        "limit": "limit=1",
        "marker": "marker=default",
    },
    "/v3/roles": {"name": "name=admin", "domain_id": "domain_id={domain}"},
    "/v3/services": {"name": "name=neutron", "type": "type=network"},
    "/v3/endpoints": {
        "interface": "interface=public",
        "service_id": "service_id={service}",
        "region_id": "region_id={region}",
    },
    "/v3/regions": {"parent_region_id": "parent_region_id={region}"},
    "/v3/credentials": {"user_id": "user_id={ann}", "type": "type=totp"},
    "/v3/role_assignments": {
        "effective": "effective",
        "include_names": "include_names",
        "include_names (no)": Example("include_names=0", without="include_names=1"),
        "include_subtree": Example(
            "scope.project.id={project}&include_subtree", without="scope.project.id={project}"
        ),
        "group.id": "group.id={group}",
        "role.id": "role.id={reader}",
        "scope.system": "scope.system=all",
        "scope.domain.id": "scope.domain.id={domain}",
        "scope.project.id": "scope.project.id={project}",
        "user.id": "user.id={ann}",
        "scope.OS-INHERIT:inherited_to": "scope.OS-INHERIT:inherited_to=projects",
    },
    "/v3/projects/{id}/tags": {},
    "/v3/auth/projects": {},
    "/v3/auth/domains": {},
    "/v3/auth/system": {},
    "/v3/roles/{id}/implies": {},
    "/v3/role_inferences": {},
    "/v3/OS-TRUST/trusts": {
        "trustor_user_id": "trustor_user_id={ann}",
        "trustee_user_id": "trustee_user_id={admin}",
    },
    "/v3/OS-TRUST/trusts/{id}/roles": {},
    "/v3/users/{id}/access_rules": {
        name: Example(f"{name}={value}", path="/v3/users/{admin}/access_rules")
        for name, value in (("service", "compute"), ("method", "GET"), ("path", "/v2.1/servers"))
    },
    "/v3/OS-OAUTH1/consumers": {},
    "/v3/users/{id}/OS-OAUTH1/access_tokens": {},
    "/v3/users/{id}/OS-OAUTH1/access_tokens/{token_id}/roles": {},
    "/v3/OS-REVOKE/events": {"since": "since=2099-01-01T00:00:00Z"},
    "/v3/policies": {"type": "type=text/plain"},
    "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints": {},
    **{
        f"/v3/OS-EP-FILTER/{path}": {}
        for path in (
            "endpoint_groups",
            "endpoint_groups/{endpoint_group_id}/endpoints",
            "endpoint_groups/{endpoint_group_id}/projects",
            "endpoints/{endpoint_id}/projects",
            "projects/{project_id}/endpoint_groups",
            "projects/{project_id}/endpoints",
        )
    },
    "/v3/registered_limits": _LIMITS,
    "/v3/limits": {**_LIMITS, "domain_id": "domain_id={domain}", "project_id": "project_id={project}"},
    "/v3/OS-FEDERATION/identity_providers": {"id": "id=idp1", "enabled": "enabled=true"},
    "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols": {},
    "/v3/OS-FEDERATION/mappings": {},
    "/v3/OS-FEDERATION/service_providers": {"id": "id=sp1", "enabled": "enabled=true"},
    "/v3/OS-FEDERATION/projects": {},
    "/v3/OS-FEDERATION/domains": {},
    "/v3/OS-PILEUS-DIRECTORY/mappings": {
        "domain_id": "domain_id={domain}",
        "public_id": "public_id=m1",
        "local_id": "local_id=u2",
        "type": "type=group",
    },
    "/v3/OS-PILEUS-AUDIT/events": {
        "action": "action=created.user",
        "event_type": "event_type=identity.user.created",
        "outcome": "outcome=failure",
        "target_type": "target_type=data/security/project",
        "target_id": "target_id={ann}",
        "initiator_id": "initiator_id={admin}",
        "initiator_name": "initiator_name=nobody",
        "project_id": "project_id={project}",
        "address": "address=192.0.2.77",
        "request_id": "request_id=req-none",
        "since": "since=2100-01-01T00:00:00",
        "until": "until=2000-01-01T00:00:00",
        "limit": "limit=1",
        "marker": "marker={event}",
    },
    **{
        f"/v3/{place}/{{actor_id}}/roles": _ROLES
        for place in (
            *(f"{kind}s/{{id}}/{actor}s" for kind in ("project", "domain") for actor in ("user", "group")),
            "system/users",
            "system/groups",
        )
    },
    **{
        f"/v3/OS-INHERIT/{kind}s/{{id}}/{actor}s/{{actor_id}}/roles/inherited_to_projects": _ROLES
        for kind in ("project", "domain")
        for actor in ("user", "group")
    },
}
NO_LISTS = {
    "/v3/auth/tokens",
    "/v3/auth/catalog",
    "/v3/auth/OS-FEDERATION/identity_providers/{idp_id}/protocols/{id}/websso",
    "/v3/auth/OS-FEDERATION/websso-callback",
    "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{id}/auth",
    "/v3/OS-FEDERATION/saml2/metadata",
    "/v3/OS-OAUTH2/token",
    "/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy",
    "/v3/limits/model",
    "/v3/domains/{id}/config",
    "/v3/domains/{id}/config/security_compliance",
    "/v3/domains/config/default",
    "/v3/domains/config/{group}/default",
    "/v3/domains/config/{group}/{option}/default",
    *(
        f"/v3/OS-INHERIT/{kind}s/{{id}}/{actor}s/{{actor_id}}/roles/{{role_id}}/inherited_to_projects"
        for kind in ("project", "domain")
        for actor in ("user", "group")
    ),
}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """People, groups and projects in two domains that differ in everything that a list can ask for."""
    with databases.fresh("sqlite", folder) as url:
        async with cloud(url, folder) as api:
            await api.identity.start(api.store)
            facts = await _fill(api)
            await _revoke_one(api)
            await api.store.write(_mapped, facts["domain"])
            await api.identity.audit.flush()
            events = (await api.admin("GET", "/v3/OS-PILEUS-AUDIT/events")).json["events"]
            facts["event"] = events[0]["id"]

            async def ask(person: str, version: str, path: str) -> tuple[int, Any]:
                answer = await Client(api.app, api.admin.token)("GET", path)
                return answer.status, answer.json

            yield Scene(api.identity.service, ask, facts)


def _mapped(tx: Tx, domain: str) -> None:
    """Users and a group that came from directories."""
    user = {"enabled": True, "tokens_after": dt.datetime(2026, 1, 1), "failed_auth_count": 0}
    for key, place in (("1", "default"), ("2", domain)):
        named = {"id": f"m{key}", "name": f"m{key}", "local_id": f"u{key}", "domain_id": place}
        tx.insert(users, [{**named, **user}])
    tx.insert(
        groups, [{"id": "m3", "name": "m3", "local_id": "g", "domain_id": "default", "description": ""}]
    )


async def _revoke_one(api: Cloud) -> None:
    """A token that ended before its time."""
    token = (await api.login()).token
    assert token is not None
    assert (await Client(api.app, token)("DELETE", "/v3/auth/tokens", X_Subject_Token=token)).status == 204


async def _fill(api: Cloud) -> dict[str, str]:
    admin = api.admin
    domain = (await admin.make("domain", name="d"))["id"]
    await admin.make("domain", name="off", enabled=False)
    ann = (await admin.make("user", name="ann", password=PASSWORD))["id"]
    bob = (await admin.make("user", name="bob", domain_id=domain, enabled=False))["id"]
    group = (await admin.make("group", name="g1"))["id"]
    other = (await admin.make("group", name="g2", domain_id=domain))["id"]
    for pair in ((group, ann), (group, bob), (other, ann)):
        await _put(admin, "groups/{}/users/{}".format(*pair))
    project = (await admin.make("project", name="p1", tags=["red", "big"]))["id"]
    below = (await admin.make("project", name="p2", parent_id=project, tags=["red"]))["id"]
    far = (await admin.make("project", name="p3", domain_id=domain, enabled=False, tags=["big"]))["id"]
    member, reader = await api.role("member"), await api.role("reader")
    for place, actor, role in (
        (f"projects/{project}", f"users/{ann}", member),
        (f"projects/{below}", f"users/{ann}", reader),
        (f"projects/{far}", f"users/{ann}", member),
        (f"projects/{project}", f"groups/{group}", member),
        (f"domains/{domain}", f"users/{ann}", member),
        ("system", f"users/{ann}", reader),
    ):
        await _put(admin, f"{place}/{actor}/roles/{role}")
    await _put(admin, f"OS-INHERIT/domains/{domain}/users/{ann}/roles/{member}/inherited_to_projects")
    await admin.make("role", name="r", domain_id=domain)
    region = (await admin.make("region"))["id"]
    await admin.make("region", parent_region_id=region)
    service = (await admin.make("service", type="x", name="x"))["id"]
    await admin.make("endpoint", service_id=service, interface="internal", url="http://x", region_id=region)
    await admin.make("credential", type="totp", blob="x", user_id=ann)
    me = (await admin("GET", "/v3/users?name=admin")).json["users"][0]["id"]
    await admin.make("credential", type="cert", blob="x", user_id=me)
    for name, method, path in (("app1", "GET", "/v2.1/servers"), ("app2", "POST", "/v3/users")):
        rule = {"service": "compute" if name == "app1" else "identity", "method": method, "path": path}
        body = {"application_credential": {"name": name, "secret": "s", "access_rules": [rule]}}
        made = await admin("POST", f"/v3/users/{me}/application_credentials", body)
        assert made.status == 201, made
    await _fill_extensions(api, region, service, {"project_id": project}, {"domain_id": domain})
    await _trust(api, me, ann, project)
    return {
        "admin": me,
        "ann": ann,
        "domain": domain,
        "group": group,
        "project": project,
        "reader": reader,
        "region": region,
        "service": service,
    }


async def _fill_extensions(
    api: Cloud, region: str, service: str, project: dict[str, str], domain: dict[str, str]
) -> None:
    admin = api.admin
    for kind in ("text/plain", "application/json"):
        made = await admin("POST", "/v3/policies", {"policy": {"type": kind, "blob": "x"}})
        assert made.status == 201, made
    other = (await admin.make("service", type="y", name="y"))["id"]
    cores = {"service_id": service, "region_id": region, "resource_name": "cores"}
    disks = {"service_id": other, "resource_name": "disks"}
    kinds = [{**one, "default_limit": 5} for one in (cores, disks)]
    limits = [{**cores, **project, "resource_limit": 3}, {**disks, **domain, "resource_limit": 3}]
    for name, body in (("registered_limits", kinds), ("limits", limits)):
        made = await admin("POST", f"/v3/{name}", {name: body})
        assert made.status == 201, made
    for number, enabled in ((1, True), (2, False)):
        provider = {"enabled": enabled}
        await _put(admin, f"OS-FEDERATION/identity_providers/idp{number}", {"identity_provider": provider})
        urls = {"auth_url": "https://sp.example/auth", "sp_url": "https://sp.example/sp"}
        await _put(
            admin, f"OS-FEDERATION/service_providers/sp{number}", {"service_provider": provider | urls}
        )


async def _trust(api: Cloud, admin: str, ann: str, project: str) -> None:
    """Ann and the administrator trust each other."""
    found = (await api.admin("GET", "/v3/projects?name=admin")).json["projects"]
    by_ann = await api.as_("ann", {"project": {"id": project}})
    for client, pair, place, role in (
        (by_ann, (ann, admin), project, "member"),
        (api.admin, (admin, ann), found[0]["id"], "admin"),
    ):
        trust = {
            **dict(zip(("trustor_user_id", "trustee_user_id"), pair, strict=True)),
            "impersonation": True,
            "project_id": place,
            "roles": [{"name": role}],
        }
        made = await client("POST", "/v3/OS-TRUST/trusts", {"trust": trust})
        assert made.status == 201, made


async def _put(admin: Client, path: str, body: Any = None) -> None:
    answer = await admin("PUT", f"/v3/{path}", body)
    assert answer.status == (204 if body is None else 201), (path, answer)
