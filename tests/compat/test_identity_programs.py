"""Programs that log in by keystoneauth: clients of OAuth 2.0, with TLS too, and Heat's way with trusts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1 import exceptions, loading
from keystoneauth1.session import Session
from keystoneclient.v3 import client as keystone
from tests.certificates import make_certificate
from tests.clouds import Cloud, simulated_cloud

DEFAULT = {"user_domain_id": "default", "project_domain_id": "default"}
MAPPING = [
    {
        "local": [{"user": {"name": "{0}", "domain": {"id": "default"}}}],
        "remote": [{"type": "SSL_CLIENT_SUBJECT_DN_CN"}],
    }
]


class Site:
    """A cloud behind TLS that asks for clients' certificates, as its programs see it."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.ca = str(folder / "server.pem")
        self.own = (str(folder / "worker.pem"), str(folder / "worker.key"))
        self.url = f"https://{cloud.address}/identity/v3"
        self.password = cloud.folder.admin_password.read_text().strip()
        self.admin = self.session(
            "v3password", username="admin", project_name="admin", password=self.password
        )
        self.keystone = keystone.Client(session=self.admin)

    def session(self, kind: str, *, cert: tuple[str, str] | None = None, **options: Any) -> Session:
        """A session by one of keystoneauth's plugins."""
        if kind == "v3password":
            options = {**DEFAULT, **options}
            if "trust_id" in options or "project_name" not in options:
                del options["project_domain_id"]
        plugin = loading.get_plugin_loader(kind).load_from_options(auth_url=self.url, **options)
        return Session(auth=plugin, verify=self.ca, cert=cert)

    def projects(self, session: Session) -> list[str]:
        """The names of the caller's projects."""
        found = session.get(f"{self.url}/auth/projects").json()
        return [one["name"] for one in found["projects"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(folder, "server")
    authority, _ = make_certificate(folder, "worker")
    settings = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": authority}
    lines = "".join(f"{name} = {json.dumps(str(path))}\n" for name, path in settings.items())
    with simulated_cloud(f"[server]\n{lines}", hosts=1) as cloud:
        yield Site(cloud, folder)


def test_a_client_with_a_secret(site: Site) -> None:
    users = site.keystone.users
    user = users.create("robot", domain="default", password="secret")
    project = site.keystone.projects.create("works", domain="default")
    site.keystone.roles.grant(site.keystone.roles.find(name="member"), user=user, project=project)
    robot = site.session("v3password", username="robot", project_name="works", password="secret")
    made = keystone.Client(session=robot).application_credentials.create("program", user=user.id)
    client = site.session(
        "v3oauth2clientcredential",
        oauth2_endpoint=f"{site.url}/OS-OAUTH2/token",
        oauth2_client_id=made.id,
        oauth2_client_secret=made.secret,
    )
    assert site.projects(client) == ["works"]
    headers = client.get_auth_headers()
    assert headers["Authorization"].startswith("Bearer ")
    wrong = site.session(
        "v3oauth2clientcredential",
        oauth2_endpoint=f"{site.url}/OS-OAUTH2/token",
        oauth2_client_id=made.id,
        oauth2_client_secret="wrong",
    )
    with pytest.raises(exceptions.ClientException):
        site.projects(wrong)


def test_a_client_with_a_certificate(site: Site) -> None:
    project = site.keystone.projects.create("mill", domain="default")
    user = site.keystone.users.create("worker", domain="default", default_project=project)
    site.keystone.roles.grant(site.keystone.roles.find(name="reader"), user=user, project=project)
    site.keystone.federation.mappings.create("oauth2_mapping", rules=MAPPING)
    options = {"oauth2_endpoint": f"{site.url}/OS-OAUTH2/token", "oauth2_client_id": user.id}
    client = site.session("v3oauth2mtlsclientcredential", cert=site.own, **options)
    assert site.projects(client) == ["mill"]
    token = client.get_token()
    elsewhere = Session(verify=site.ca)
    answer = elsewhere.get(f"{site.url}/auth/projects", headers={"X-Auth-Token": token}, raise_exc=False)
    assert answer.status_code == 401, "the token is bound to the certificate"
    bare = site.session("v3oauth2mtlsclientcredential", **options)
    with pytest.raises(exceptions.ClientException):
        site.projects(bare)


def test_heat_acts_later_for_who_has_asked_it(site: Site) -> None:
    """Deferred authentication by trusts, step by step as Heat does it with keystoneclient."""
    admin = site.keystone
    heat = admin.users.create("heat", domain="default", password="service")
    service = admin.projects.create("service-of-heat", domain="default")
    admin.roles.grant(admin.roles.find(name="service"), user=heat, project=service)
    project = admin.projects.create("stacks", domain="default")
    ann = admin.users.create("ann", domain="default", password="secret")
    for name in ("member", "reader"):
        admin.roles.grant(admin.roles.find(name=name), user=ann, project=project)

    # the user's request: Heat has her token, and makes the trust with it
    asked = site.session("v3password", username="ann", project_name="stacks", password="secret")
    hers = site.session("v3token", token=asked.get_token(), project_id=project.id)
    access = hers.auth.get_access(hers)
    trust = keystone.Client(session=hers).trusts.create(
        trustor_user=access.user_id,
        trustee_user=heat.id,
        project=access.project_id,
        impersonation=True,
        role_names=list(access.role_names),
        allow_redelegation=False,
    )

    # later: the service user logs in with the trust alone
    deferred = site.session("v3password", username="heat", password="service", trust_id=trust.id)
    found = deferred.auth.get_access(deferred)
    assert (found.user_id, found.project_id, found.trust_scoped) == (ann.id, project.id, True)
    assert found.trustee_user_id == heat.id and set(found.role_names) >= {"member", "reader"}
    networks = deferred.get("/v2.0/networks", endpoint_filter={"service_type": "network"})
    assert networks.status_code == 200
    made = deferred.post(
        "/v2.0/networks", endpoint_filter={"service_type": "network"}, json={"network": {"name": "stack"}}
    )
    assert made.json()["network"]["project_id"] == project.id
    assert keystone.Client(session=deferred).ec2.create(ann.id, project.id).trust_id == trust.id

    # a role is gone, then the trust itself
    admin.roles.revoke(admin.roles.find(name="member"), user=ann, project=project)
    again = site.session("v3password", username="heat", password="service", trust_id=trust.id)
    with pytest.raises(exceptions.Forbidden):
        again.get_token()
    admin.roles.grant(admin.roles.find(name="member"), user=ann, project=project)
    assert again.get_token()
    keystone.Client(session=asked).trusts.delete(trust.id)
    with pytest.raises(exceptions.Unauthorized):
        site.session("v3password", username="heat", password="service", trust_id=trust.id).get_token()
