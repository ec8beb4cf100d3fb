"""Federation, passcodes and user options by the stock ``openstack`` command, against a small provider."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from tests import openstack_command
from tests.clouds import Cloud, program, simulated_cloud
from tests.compat.test_openstack_client import Shell
from tests.openid_provider import Provider

RULES = [
    {
        "local": [{"user": {"name": "{0}"}}, {"group": {"name": "staff", "domain": {"id": "default"}}}],
        "remote": [{"type": "HTTP_OIDC_PREFERRED_USERNAME"}],
    }
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as one:
        one.people["ann"] = ("secret", {"preferred_username": "ann"})
        yield one


@pytest.fixture(scope="module")
def cloud(provider: Provider) -> Iterator[Cloud]:
    settings = (
        f'[federation]\nopenid_client_id = "{provider.client_id}"\n'
        f'openid_client_secret = "{provider.client_secret}"\n'
        f'openid_plain_issuers = ["{provider.issuer}"]\n'
    )
    with simulated_cloud(settings) as cloud:
        yield cloud


@pytest.fixture
def openstack(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(cloud, monkeypatch, f"{openstack_command.folder()}/openstack")


def as_somebody(cloud: Cloud, *options: str) -> tuple[int, dict[str, Any], str]:
    """``openstack token issue`` with those options and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment["OS_CLIENT_CONFIG_FILE"] = "/dev/null"
    url = f"http://{cloud.address}/identity/v3"
    command = [program("openstack"), "--os-auth-url", url, *options, "token", "issue", "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_log_ins_by_a_provider(openstack: Shell, cloud: Cloud, provider: Provider, tmp_path: Path) -> None:
    openstack("group create staff")
    openstack("project create lab")
    openstack("role add --group staff --project lab reader")
    openstack(f"identity provider create --remote-id {provider.issuer} --domain default corp")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    openstack(f"mapping create --rules {rules} corp")
    openstack("federation protocol create --identity-provider corp --mapping corp openid")
    assert openstack.json("federation protocol list --identity-provider corp") == [
        {"id": "openid", "mapping": "corp"}
    ]
    assert openstack.json("mapping show corp")["rules"] == RULES
    endpoint = f"{provider.issuer}/.well-known/openid-configuration"
    common = (
        "--os-identity-provider", "corp", "--os-protocol", "openid",
        "--os-project-name", "lab", "--os-project-domain-id", "default",
    )  # fmt: skip
    client = (
        "--os-client-id", provider.client_id, "--os-client-secret", provider.client_secret,
        "--os-discovery-endpoint", endpoint, "--os-openid-scope", "openid",
    )  # fmt: skip
    token = provider.token({"sub": "ann", "preferred_username": "ann"})
    project = openstack.json("project show lab")["id"]
    for kind, options in (
        ("v3oidcpassword", (*client, "--os-username", "ann", "--os-password", "secret")),
        ("v3oidcclientcredentials", client),
        ("v3oidcaccesstoken", ("--os-access-token", token)),
        ("v3oidcdeviceauthz", client),
    ):
        status, issued, complaint = as_somebody(cloud, "--os-auth-type", kind, *common, *options)
        assert status == 0, (kind, complaint)
        assert issued["project_id"] == project
    wrong = (*client, "--os-username", "ann", "--os-password", "wrong")
    assert as_somebody(cloud, "--os-auth-type", "v3oidcpassword", *common, *wrong)[0] != 0


def test_options_and_passcodes(openstack: Shell, cloud: Cloud) -> None:
    openstack("user create --password secret --multi-factor-auth-rule password,totp bob")
    user = openstack.json("user show bob")
    assert user["options"] == {"multi_factor_auth_rules": [["password", "totp"]]}
    key = base64.b32encode(b"12345678901234567890").decode()
    openstack(f"credential create --type totp bob {key}")
    openstack("project create bobs")
    openstack("role add --user bob --project bobs reader")
    who = ("--os-username", "bob", "--os-user-domain-id", "default", "--os-password", "secret")
    scope = ("--os-project-name", "bobs", "--os-project-domain-id", "default")
    status, _, complaint = as_somebody(cloud, "--os-auth-type", "v3password", *who, *scope)
    assert status != 0, complaint
    code = TOTP(b"12345678901234567890", 6, SHA1(), 30).generate(int(time.time())).decode()
    both = ("--os-auth-methods", "v3password,v3totp", "--os-passcode", code)
    status, issued, complaint = as_somebody(cloud, "--os-auth-type", "v3multifactor", *both, *who, *scope)
    assert status == 0, complaint
    assert issued["user_id"] == user["id"]
    openstack("user set --disable-multi-factor-auth --enable-lock-password bob")
    assert openstack.json("user show bob")["options"]["lock_password"] is True
