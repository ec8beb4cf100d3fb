"""Application credentials, EC2 keys and inherited roles by the stock ``openstack`` command."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import openstack_command
from tests.clouds import Cloud, program, simulated_cloud
from tests.compat.test_openstack_client import Shell


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture
def openstack(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(cloud, monkeypatch, f"{openstack_command.folder()}/openstack")


def as_application(cloud: Cloud, folder: Path, made: dict[str, Any], line: str) -> tuple[int, str, str]:
    """The command with a clouds.yaml that holds an application credential and nothing else."""
    path = folder / "clouds.yaml"
    auth = {
        "auth_url": f"http://{cloud.address}/identity/v3",
        "application_credential_id": made["ID"],
        "application_credential_secret": made["Secret"],
    }
    app = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "RegionOne"}
    path.write_text(json.dumps({"clouds": {"app": app}}))  # JSON is YAML
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    environment |= {"OS_CLIENT_CONFIG_FILE": str(path), "OS_CLOUD": "app"}
    done = subprocess.run(
        [program("openstack"), *line.split()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_application_credential(openstack: Shell, cloud: Cloud, tmp_path: Path) -> None:
    made = openstack.json(
        "application credential create --role reader --expiration 2199-01-01T00:00:00 --description d app"
    )
    assert made["Secret"] and made["Unrestricted"] is False and made["Description"] == "d"
    listed = openstack.json("application credential list")
    assert [(one["ID"], one["Name"]) for one in listed] == [(made["ID"], "app")]
    shown = openstack.json("application credential show app")
    assert shown["ID"] == made["ID"] and "Secret" not in shown

    status, said, complaint = as_application(cloud, tmp_path, made, "token issue -f json")
    assert status == 0, complaint
    assert json.loads(said)["project_id"] == made["Project ID"]
    status, said, complaint = as_application(cloud, tmp_path, made, "network list -f json")
    assert status == 0 and json.loads(said) == [], complaint
    status, _, complaint = as_application(cloud, tmp_path, made, "network create mine")
    assert status == 1 and "disallowed by policy" in complaint, "a reader makes none"
    status, _, complaint = as_application(cloud, tmp_path, made, "application credential create more")
    assert status == 1 and "is not allowed for managing additional application credentials" in complaint

    openstack("application credential delete app")
    status, _, complaint = as_application(cloud, tmp_path, made, "token issue")
    assert status == 1 and "requires authentication" in complaint
    assert openstack.json("application credential list") == []


def test_ec2_keys(openstack: Shell) -> None:
    made = openstack.json("ec2 credentials create")
    assert made["secret"] and made["project_id"]
    listed = openstack.json("ec2 credentials list")
    assert [(one["Access"], one["Secret"]) for one in listed] == [(made["access"], made["secret"])]
    shown = openstack.json(f"ec2 credentials show {made['access']}")
    assert shown["secret"] == made["secret"]
    assert [one["Type"] for one in openstack.json("credential list")] == ["ec2"]
    openstack(f"ec2 credentials delete {made['access']}")
    assert openstack.json("ec2 credentials list") == []


def test_inherited_roles(openstack: Shell) -> None:
    openstack("project create top")
    openstack("project create --parent top below")
    openstack("user create worker")
    openstack("role add --user worker --project top --inherited member")
    found = openstack.json("role assignment list --user worker --names")
    assert [(one["Role"], one["Project"], one["Inherited"]) for one in found] == [
        ("member", "top@Default", True)
    ]
    effective = openstack.json("role assignment list --user worker --effective --names")
    assert {(one["Role"], one["Project"]) for one in effective} == {
        ("member", "below@Default"),
        ("reader", "below@Default"),
    }
    openstack("role remove --user worker --project top --inherited member")
    assert openstack.json("role assignment list --user worker") == []
    openstack("user delete worker")
    openstack("project delete below")
    openstack("project delete top")
