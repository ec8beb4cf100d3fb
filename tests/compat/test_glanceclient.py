"""What glanceclient (``glance``, Horizon, Heat) understands of the image API, errors above all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from glanceclient import Client, exc
from keystoneauth1 import session
from keystoneauth1.identity import v3
from tests.clouds import Cloud, simulated_cloud
from tests.unit.image import samples

UNKNOWN = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with simulated_cloud(hosts=1) as cloud:
        cloud.api.login()
        yield cloud


@pytest.fixture(scope="module", params=["session", "endpoint"])
def glance(cloud: Cloud, request: pytest.FixtureRequest) -> Any:
    """Through keystoneauth, as Horizon and Heat do, and with a bare endpoint, as the command may."""
    url = f"http://{cloud.address}"
    if request.param == "endpoint":
        return Client("2", f"{url}/image", token=cloud.api.token)
    auth = v3.Token(f"{url}/identity/v3", cloud.api.token, project_name="admin", project_domain_id="default")
    return Client("2", session=session.Session(auth=auth))


def test_an_image_from_its_making_to_its_end(glance: Any) -> None:
    image = glance.images.create(name="a", disk_format="raw", container_format="bare")
    glance.images.upload(image.id, io.BytesIO(b"data"))
    assert b"".join(glance.images.data(image.id)) == b"data"
    changed = glance.images.update(image.id, name="b", os_distro="debian")
    assert (changed.name, changed.os_distro) == ("b", "debian")
    assert image.id in [one.id for one in glance.images.list(filters={"name": "b"})]
    glance.images.delete(image.id)
    with pytest.raises(exc.HTTPNotFound):
        glance.images.get(image.id)


def test_refusals_are_told_in_their_words(glance: Any) -> None:
    with pytest.raises(exc.HTTPNotFound) as missing:
        glance.images.get(UNKNOWN)
    assert f"No image found with ID {UNKNOWN}" in str(missing.value)
    assert "<" not in str(missing.value) and "{" not in str(missing.value)
    kept = glance.images.create(name="a", disk_format="raw", container_format="bare", protected=True)
    with pytest.raises(exc.HTTPForbidden, match="protected"):
        glance.images.delete(kept.id)
    glance.images.upload(kept.id, io.BytesIO(b"data"))
    with pytest.raises(exc.HTTPConflict, match="transition"):
        glance.images.upload(kept.id, io.BytesIO(b"again"))
    with pytest.raises(exc.HTTPBadRequest, match="Invalid sort key"):
        list(glance.images.list(sort_key=["name"], filters={"sort_key": "colour"}))
    odd = glance.images.create(name="<b>&", disk_format="raw", container_format="bare")
    with pytest.raises(exc.HTTPException) as refused:
        glance.images.upload(odd.id, io.BytesIO(samples.qcow2()))
    assert "<h1>" not in str(refused.value)
