"""A client that a program has made of the OpenAPI document works against the cloud that serves it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.clouds import Cloud, simulated_cloud

PACKAGE = "pileus_generated_client"

NEED_MORE = {
    "identity_get_v3_auth_tokens",  # a token in a header
    "image_get_v2_info_stores",  # several stores
    "block_storage_get_v3_group_types_default",  # a type that the settings name
    "placement_get_allocation_candidates",  # what is looked for
    "placement_get_usages",  # whose
    "identity_get_v3_auth_os_federation_websso_callback",  # a state that the browser carried to a provider
}
"""Operations, by their ids in the document, that a token alone does not suffice for."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def document(cloud: Cloud) -> Any:
    return cloud.api.ask("GET", "/openapi.json").json


@pytest.fixture(scope="module")
def package(document: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package, imported."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yaml").write_text(f"package_name_override: {PACKAGE}\npost_hooks: []\n")
    arguments = (
        "--path",
        "openapi.json",
        "--config",
        "config.yaml",
        "--output-path",
        PACKAGE,
        "--meta",
        "none",
    )
    generator = Path(sys.executable).with_name("openapi-python-client")
    made = subprocess.run(
        (str(generator), "generate", *arguments, "--output-path", PACKAGE),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Endpoint will not be generated" not in made.stdout, made.stdout
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(cloud: Cloud, package: ModuleType) -> Any:
    return package.AuthenticatedClient(
        base_url=f"http://{cloud.address}",
        token=cloud.api.login(),
        prefix="",
        auth_header_name="X-Auth-Token",
        # the document describes the newest microversions
        headers={"OpenStack-API-Version": "compute latest, volume latest, placement latest"},
    )


def operations(package: ModuleType) -> Iterator[tuple[str, ModuleType]]:
    """The generated functions, by their ids."""
    for one in pkgutil.walk_packages(importlib.import_module(f"{PACKAGE}.api").__path__, f"{PACKAGE}.api."):
        module = importlib.import_module(one.name)
        if hasattr(module, "sync_detailed"):
            yield one.name.rpartition(".")[2], module


def _letters(name: str) -> str:
    """A name as generators and documents agree on it, who set underscores and capitals differently."""
    return "".join(one for one in name.lower() if one.isalnum())


def test_the_document_is_openapi(document: Any) -> None:
    found = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert not found
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))


def test_lists_are_read_as_they_are_described(package: ModuleType, client: Any, document: Any) -> None:
    """Every GET without parameters in its path: the reply is of the described form."""
    asked = 0
    described = {
        _letters(one["operationId"]): one for path in document["paths"].values() for one in path.values()
    }
    need_more = {_letters(name) for name in NEED_MORE}
    assert need_more <= set(described)
    for name, module in operations(package):
        parameters = inspect.signature(module.sync_detailed).parameters.values()
        required = [one.name for one in parameters if one.default is inspect.Parameter.empty]
        operation = described[_letters(name)]
        ended = operation.get("x-openstack-versions", ("", ""))[1]
        if (
            ended
            or _letters(name) in need_more
            or required != ["client"]
            or ("_list_" not in name and "_get_" not in name)
        ):
            continue
        reply = module.sync_detailed(client=client)
        assert str(reply.status_code.value) in operation["responses"], (name, reply.content)
        asked += 1
    assert asked > 30


def test_a_network_and_a_port(package: ModuleType, client: Any) -> None:
    api = f"{PACKAGE}.api.network"
    models = importlib.import_module(f"{PACKAGE}.models")

    def call(name: str, **arguments: Any) -> Any:
        reply = importlib.import_module(f"{api}.network_{name}").sync_detailed(client=client, **arguments)
        assert reply.status_code < 300, reply.content
        return reply.parsed

    network = call(
        "create_network", body=models.NetworkCreateNetworkBodyType0(models.NetworkNetworkCreate(name="made"))
    ).network
    assert network.name == "made"
    key = str(network.id)
    subnet = models.NetworkSubnetCreate(network_id=key, cidr="10.77.0.0/24", ip_version=4)
    call("create_subnet", body=models.NetworkCreateSubnetBodyType0(subnet))
    port = call(
        "create_port",
        body=models.NetworkCreatePortBodyType0(models.NetworkPortCreate(network_id=key, name="p")),
    ).port
    assert port.fixed_ips[0].ip_address.startswith("10.77.0.")
    port = call(
        "update_port",
        id=str(port.id),
        body=models.NetworkUpdatePortBody(models.NetworkPortUpdate(name="q")),
    ).port
    assert port.name == "q"
    assert [one.name for one in call("list_ports", network_id=key).ports if one.name] == ["q"]
    call("delete_port", id=str(port.id))
    call("delete_network", id=key)
