"""The most that uploads may take: of one image, of a project, of the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.image.image_cloud import HANG_UP, Cloud, tell

from pileus.services.image.service import ImageConfig
from pileus.services.image.store import files

MIB = 1 << 20


async def status(api: Cloud, image_id: str) -> str:
    shown: dict[str, Any] = (await api("GET", f"/v2/images/{image_id}")).json
    return str(shown["status"])


def stored_bytes(api: Cloud) -> int:
    """What lies in the store, whole or half."""
    return sum(path.stat().st_size for part in ("data", "incoming") for path in (api.folder / part).iterdir())


def test_what_is_too_much(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]
        assert (await api.upload(image, [b"x"], content_length=str(4 * MIB))).status == 413
        assert (await api.upload(image, [b"x" * MIB] * 4)).status == 413
        assert await status(api, image) == "queued"
        assert api.files() == []
        # two MiB a project: the second image is one too many, also when its size is not announced
        assert (await api.upload(image, [b"x" * MIB] * 2)).status == 204
        usage = (await api("GET", "/v2/info/usage")).json["usage"]
        assert usage["image_size_total"] == {"limit": 2, "usage": 2}
        second = (await api.make())["id"]
        answer = await api.upload(second, [b"x"])
        assert answer.status == 413 and "image_size_total of 2" in answer.json["message"]
        third = (await api.as_("bob").make())["id"]
        assert (await api.as_("bob").upload(third, [b"x" * MIB, b"x" * MIB, b"x"])).status == 413
        assert len(api.files()) == 1

    tell(story, tmp_path, config=ImageConfig(largest_bytes=3 * MIB, project_mib=2))


@pytest.mark.parametrize("way", ["file", "stage"])
def test_uploads_at_the_same_time_have_one_quota(way: str, tmp_path: Path) -> None:
    """Four uploads of 3 MiB whose sizes nobody announces, side by side, and 8 MiB for the project."""

    async def story(api: Cloud) -> None:
        async def upload() -> int:
            image = (await api.make())["id"]
            answer = await api("PUT", f"/v2/images/{image}/{way}", data=[b"x" * (MIB // 4)] * 12)
            if answer.status == 413:
                assert await status(api, image) == "queued"
            return answer.status

        answers = sorted(await asyncio.gather(*(upload() for _ in range(4))))
        assert answers.count(204) <= 2 and answers.count(413) == 4 - answers.count(204)
        assert stored_bytes(api) == answers.count(204) * 3 * MIB
        used = (await api("GET", "/v2/info/usage")).json["usage"]["image_size_total"]["usage"]
        assert used == answers.count(204) * 3

    tell(story, tmp_path, config=ImageConfig(project_mib=8))


def test_what_is_under_way_counts(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        announced = (await api.make())["id"]
        other = (await api.make())["id"]

        async def usage() -> int:
            found = (await api("GET", "/v2/info/usage")).json["usage"]["image_size_total"]["usage"]
            return int(found)

        def parts() -> Iterator[bytes | None]:
            yield b"x" * MIB
            counted.append(asyncio.ensure_future(usage()))
            while not counted[-1].done():
                yield b""
            counted.append(asyncio.ensure_future(api.upload(other, [b"y" * (2 * MIB)])))
            while not counted[-1].done():
                yield b""
            yield HANG_UP

        counted: list[asyncio.Future[Any]] = []
        await api.upload(announced, parts(), content_length=str(3 * MIB))
        assert await counted[0] == 3, "all that was announced"
        assert (await counted[1]).status == 413
        assert await usage() == 0 and api.files() == []
        assert (await api.upload(other, [b"y" * MIB] * 4)).status == 204

    tell(story, tmp_path, config=ImageConfig(project_mib=4))


def test_some_of_the_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        free = 100 * MIB
        monkeypatch.setattr(files, "free_bytes", lambda folder: free - stored_bytes(api))
        monkeypatch.setattr(api.images.data._data, "_kept_bytes", 96 * MIB)
        image = (await api.make())["id"]
        said = await api.upload(image, [b"x"], content_length=str(5 * MIB))
        assert said.status == 413 and "storage media is full" in said.json["message"]
        assert (await api.upload(image, [b"x" * MIB] * 6)).status == 413, "nobody announced it"
        assert api.files() == [] and await status(api, image) == "queued"
        assert (await api.upload(image, [b"x" * MIB] * 4)).status == 204
        assert stored_bytes(api) == 4 * MIB

    tell(story, tmp_path)
