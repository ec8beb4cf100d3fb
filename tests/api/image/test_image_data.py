"""The bytes of images: in, out, in ranges, by ticket; hang-ups, crashes, full stores, and constant memory."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.image.image_cloud import HANG_UP, P1, Cloud, cloud, tell
from tests.unit.image import samples
from tests.waiting import PATIENCE_S

from pileus.services.image.images.tables import images
from pileus.services.image.service import DOWNLOAD, UPLOAD, ImageConfig
from pileus.services.image.store.files import FileSink, FileSource, FileStore
from pileus.store import Tx

MIB = 1 << 20


def hashes(data: bytes) -> dict[str, str]:
    return {
        "checksum": hashlib.md5(data).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(),
    }


async def status(api: Cloud, image_id: str) -> str:
    shown: dict[str, Any] = (await api("GET", f"/v2/images/{image_id}")).json
    return str(shown["status"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_bytes_in_and_out(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        data = bytes(range(256)) * 12_000
        image = await api.make()
        path = f"/v2/images/{image['id']}/file"
        empty = await api("GET", path)
        assert (empty.status, empty.content) == (204, b"")
        api.clock.advance(5)
        parts = [data[:5], data[5:70_000], data[70_000:]]
        assert (await api.upload(image["id"], parts)).status == 204
        shown = (await api("GET", f"/v2/images/{image['id']}")).json
        expected = {"status": "active", "size": len(data), "virtual_size": len(data), **hashes(data)}
        assert {name: shown[name] for name in expected} == expected
        assert shown["updated_at"] == "2026-01-01T00:00:05Z"

        got = await api("GET", path)
        assert got.status == 200 and got.content == data
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["content-length"] == str(len(data))
        assert got.headers["content-md5"] == shown["checksum"]
        part = await api("GET", path, headers={"range": "bytes=10-19"})
        assert (part.status, part.content) == (206, data[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
        last = await api("GET", path, headers={"range": "bytes=-4"})
        assert (last.status, last.content) == (206, data[-4:])
        beyond = await api("GET", path, headers={"range": f"bytes={len(data)}-"})
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
        head = await api("HEAD", path)
        assert (head.status, head.content) == (200, b"")

        assert (await api.upload(image["id"], [b"again"])).status == 409
        assert (await api("GET", path)).content == data
        assert (await api.as_("reader")("GET", path)).status == 403
        assert (await api.as_("bob")("GET", path)).status == 404
        assert (await api.as_("")("GET", path)).status == 401

        for _ in range(2):
            assert (await api("POST", f"/v2/images/{image['id']}/actions/deactivate")).status == 204
        assert await status(api, image["id"]) == "deactivated"
        assert (await api("GET", path)).status == 403
        assert (await api.as_("admin")("GET", path)).content == data
        assert (await api("POST", f"/v2/images/{image['id']}/actions/reactivate")).status == 204
        assert (await api("GET", path)).content == data

        assert len(api.files()) == 1
        assert (await api("DELETE", f"/v2/images/{image['id']}")).status == 204
        assert api.files() == []

    tell(story, tmp_path, kind)


def test_an_upload_that_may_not_begin(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bare = (await api("POST", "/v2/images", {})).json["id"]
        assert (await api.upload(bare, [b"x"])).status == 400
        image = (await api.make())["id"]
        assert (await api.upload(image, [b"x"], content_type="text/plain")).status == 415
        assert (await api.upload(image, [b"x"], content_length="nine")).status == 400
        assert (await api.as_("reader").upload(image, [b"x"])).status == 403
        assert (await api.as_("bob").upload(image, [b"x"])).status == 404
        assert (await api.as_("").upload(image, [b"x"])).status == 401
        assert (await api("POST", f"/v2/images/{image}/actions/deactivate")).status == 403
        assert await status(api, image) == "queued"
        assert api.files() == []

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_client_that_hangs_up_leaves_nothing(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]
        block = b"x" * MIB
        for parts in ([HANG_UP], [b"x", HANG_UP], [block, block, block, HANG_UP]):
            answer = await api.upload(image, parts)
            assert answer.status == 0, "nobody is there to be answered"
            shown = (await api("GET", f"/v2/images/{image}")).json
            assert (shown["status"], shown["size"]) == ("queued", None)
            assert api.files() == []
            assert (await api("PUT", f"/v2/images/{image}/stage", data=parts)).status == 0
            assert await status(api, image) == "queued"
            assert api.files() == []
        assert (await api.upload(image, [b"whole"])).status == 204
        assert (await api("GET", f"/v2/images/{image}/file")).content == b"whole"

    tell(story, tmp_path, kind)


@pytest.mark.parametrize(
    ("owner", "moment", "ends"),
    [(FileStore, "create", "queued"), (FileSink, "write", "queued"), (FileSink, "commit", "active")],
)
def test_a_request_cancelled_while_a_thread_works(
    owner: Any, moment: str, ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(api: Cloud) -> None:
        inside, go_on = threading.Event(), threading.Event()
        real = getattr(owner, moment)

        def slow(*arguments: Any) -> Any:
            inside.set()
            go_on.wait(60)
            return real(*arguments)

        monkeypatch.setattr(owner, moment, slow)
        image = (await api.make())["id"]
        task = asyncio.ensure_future(api.upload(image, [b"x" * MIB, b"y" * MIB, b"z"]))
        await asyncio.to_thread(inside.wait, 60)
        task.cancel()
        await asyncio.sleep(0.02)
        assert await status(api, image) == "saving"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE_S):
            while await status(api, image) == "saving":
                await asyncio.sleep(0.01)
        # what was being put away goes on to its end; before that nothing stays
        assert await status(api, image) == ends
        assert api.files() == ([f"data/{image}"] if ends == "active" else [])
        if ends == "active":
            assert len((await api("GET", f"/v2/images/{image}/file")).content) == 2 * MIB + 1

    tell(story, tmp_path)


def test_an_image_deleted_while_its_data_comes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]
        going, gone = asyncio.Event(), asyncio.Event()

        def parts() -> Iterator[bytes]:
            yield b"x" * MIB
            going.set()
            while not gone.is_set():
                yield b"x"

        upload = asyncio.ensure_future(api.upload(image, parts()))
        await going.wait()
        assert await status(api, image) == "saving"
        assert (await api.upload(image, [b"other"])).status == 409
        assert (await api("DELETE", f"/v2/images/{image}")).status == 204
        # another of the same name is not confused with it
        again = await api.make(b"new", id=image)
        gone.set()
        assert (await upload).status == 409
        assert (await api("GET", f"/v2/images/{again['id']}/file")).content == b"new"
        assert len(api.files()) == 1

    tell(story, tmp_path)


def test_content_must_be_what_the_image_says(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        async def sent(disk_format: str, data: bytes, container: str = "bare") -> tuple[int, Any]:
            image = (await api.make(disk_format=disk_format, container_format=container))["id"]
            answer = await api.upload(image, [data[:3], data[3:]])
            shown = (await api("GET", f"/v2/images/{image}")).json
            if answer.status != 204:
                assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
                return answer.status, answer.json["message"]
            return answer.status, shown["virtual_size"]

        for name, (data, size) in samples.GOOD.items():
            assert await sent(name.split()[0], data) == (204, size)
            code, message = await sent("raw", data)
            assert code == 415 and "does not match the disk_format" in message
        code, message = await sent("qcow2", samples.qcow2(backing=512, backing_size=9))
        assert code == 415 and "backing file" in message
        assert (await sent("qcow2", samples.qcow2(features=4)))[0] == 415
        assert (await sent("qcow2", samples.qcow2(backing=512), "ova"))[0] == 415
        assert (await sent("qcow2", b"<html>not found</html>"))[0] == 415
        assert (await sent("ami", b"kernel"))[0] == 204

    tell(story, tmp_path)


def test_made_up_content_where_it_is_let_in(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = await api.make(b"made up", disk_format="qcow2")
        assert (image["status"], image["size"]) == ("active", 7)
        other = (await api.make(disk_format="raw"))["id"]
        assert (await api.upload(other, [samples.qcow2()])).status == 415

    tell(story, tmp_path, config=ImageConfig(require_format_match=False))


def test_staging_and_import(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]
        path = f"/v2/images/{image}"
        method = {"method": {"name": "glance-direct"}}
        assert (await api("POST", f"{path}/import", method)).status == 409
        assert (await api("PUT", f"{path}/stage", data=[b"da", b"ta"])).status == 204
        shown = (await api("GET", path)).json
        assert (shown["status"], shown["size"], shown["checksum"]) == ("uploading", 4, None)
        assert (await api("GET", f"{path}/file")).status == 204
        assert (await api.upload(image, [b"x"])).status == 409
        for body in ({}, [], {"method": "x"}, {"method": {}}, {"method": {"name": "web-download"}}):
            assert (await api("POST", f"{path}/import", body)).status == 400
        assert (await api("POST", f"{path}/import", method)).status == 202
        shown = (await api("GET", path)).json
        expected = {"status": "active", "size": 4, **hashes(b"data")}
        assert {name: shown[name] for name in expected} == expected
        assert (await api("GET", f"{path}/file")).content == b"data"
        assert (await api("POST", f"{path}/import", method)).status == 409

        # the format may be said after staging; the content is judged at the import
        late = (await api("POST", "/v2/images", {"container_format": "bare"})).json["id"]
        path = f"/v2/images/{late}"
        await api("PUT", f"{path}/stage", data=[samples.qcow2(backing=512)])
        assert (await api("POST", f"{path}/import", method)).status == 409
        assert (await api("DELETE", path)).status == 204
        late = (await api.make(disk_format="qcow2"))["id"]
        await api("PUT", f"/v2/images/{late}/stage", data=[samples.qcow2(backing=512)])
        assert (await api("POST", f"/v2/images/{late}/import", method)).status == 415
        await api("DELETE", f"/v2/images/{late}")
        assert len(api.files()) == 1

    tell(story, tmp_path)


def test_a_crash_is_taken_up_by_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "images"

    async def main(url: str) -> None:
        async with cloud(url, folder) as api:
            kept = await api.make(b"kept")
            staged = (await api.make())["id"]
            await api("PUT", f"/v2/images/{staged}/stage", data=[b"staged"])
            torn = (await api.make())["id"]
            others = (await api.make())["id"]
            worker = (folder / "store.id").read_bytes().hex()

            def as_if_saving(tx: Tx, image_id: str, name: str, worker: str) -> None:
                values = {"status": "saving", "object": name, "worker": worker}
                tx.execute(images.update().where(images.c.id == image_id).values(values))

            await api.store.write(as_if_saving, torn, "half", worker)
            await api.store.write(as_if_saving, others, "theirs", "another worker")
            (folder / "incoming" / "half").write_bytes(b"torn")
            (folder / "data" / "orphan").write_bytes(b"deleted, but for the file")
        async with cloud(url, folder) as api:
            assert await status(api, torn) == "queued"
            assert await status(api, others) == "saving", "another server's"
            assert await status(api, staged) == "uploading"
            assert api.files() == sorted([f"data/{kept['id']}", f"data/{staged}"])
            assert (await api("GET", f"/v2/images/{kept['id']}/file")).content == b"kept"
            assert (await api.upload(torn, [b"whole"])).status == 204

    with databases.fresh("sqlite", tmp_path) as url:
        asyncio.run(main(url))


def test_nodes_move_bytes_with_a_ticket(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        node = api.as_("")
        image = (await api.make(visibility="private"))["id"]
        write = {"x-image-ticket": api.images.ticket(image, UPLOAD)}
        read = {"x-image-ticket": api.images.ticket(image, DOWNLOAD)}
        path = f"/v2/images/{image}/file"
        assert (await node("PUT", path, data=[b"x"], headers=read)).status == 403
        assert (await node("PUT", path, data=[b"snap", b"shot"], headers=write)).status == 204
        assert (await node("GET", path, headers=write)).status == 403
        assert (await node("GET", path, headers=read)).content == b"snapshot"
        other = (await api.make())["id"]
        assert (await node("GET", f"/v2/images/{other}/file", headers=read)).status == 403
        assert (await node("GET", f"/v2/images/{image}", headers=read)).status == 401
        api.clock.advance(301)
        assert (await node("GET", path, headers=read)).status == 403

    tell(story, tmp_path)


def test_a_big_image_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 96
    largest = 0

    async def story(api: Cloud) -> None:
        nonlocal largest
        image = (await api.make())["id"]
        digest = hashlib.md5()

        def parts() -> Iterator[bytes]:
            for number in range(size * 16):
                part = number.to_bytes(4, "big") * (1 << 14)
                digest.update(part)
                yield part

        kept: list[int] = []
        tracemalloc.start()
        try:
            assert (await api.upload(image, parts())).status == 204
            kept.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
            reader = hashlib.md5()
            monkeypatch.setattr(api, "app", _Drain(api.app, reader))
            assert (await api("GET", f"/v2/images/{image}/file")).status == 200
            kept.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert reader.hexdigest() == digest.hexdigest()
        largest = max(kept)

    tell(story, tmp_path)
    assert largest < 12 * MIB


class _Drain:
    """The app, with the bytes of replies hashed and thrown away."""

    def __init__(self, app: Any, digest: Any) -> None:
        self._app, self._digest = app, digest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def drain(message: Any) -> None:
            self._digest.update(message.get("body", b""))
            await send({**message, "body": b""} if "body" in message else message)

        await self._app(scope, receive, drain)


def test_a_download_ends_when_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        image = await api.make(b"x" * (20 * MIB))
        reads, closes = 0, 0
        read, close = FileSource.read, FileSource.close

        def counted(self: FileSource, offset: int, length: int) -> bytes:
            nonlocal reads
            reads += 1
            return read(self, offset, length)

        def closed(self: FileSource) -> None:
            nonlocal closes
            closes += 1
            close(self)

        monkeypatch.setattr(FileSource, "read", counted)
        monkeypatch.setattr(FileSource, "close", closed)
        await api("GET", f"/v2/images/{image['id']}/file", leave_after=2)
        assert reads < 6
        assert closes

    tell(story, tmp_path)


@pytest.mark.parametrize("moment", ["create", "write", "commit"])
def test_a_store_that_fails(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]

        def broken(*_: Any) -> None:
            raise OSError(28, "No space left on device") if moment == "commit" else OSError(5, "I/O error")

        with monkeypatch.context() as patch:
            if moment == "create":
                patch.setattr("pileus.services.image.store.files.FileStore.create", broken)
            elif moment == "write":
                patch.setattr(FileSink, "write", broken)
            else:
                patch.setattr("os.fsync", broken)
            answer = await api.upload(image, [b"x" * MIB, b"y" * MIB])
        assert answer.status == (413 if moment == "commit" else 500)
        assert await status(api, image) == "queued"
        assert api.files() == []
        assert (await api.upload(image, [b"now"])).status == 204
        assert (await api("GET", "/v2/info/usage")).json["usage"]["image_count_total"]["usage"] == 1
        assert (await api("GET", f"/v2/images/{image}")).json["owner"] == P1

    tell(story, tmp_path)


def test_data_that_somebody_took_away(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = await api.make(b"data")
        for path in (api.folder / "data").iterdir():
            path.unlink()
        answer = await api("GET", f"/v2/images/{image['id']}/file")
        assert answer.status == 500 and "missing in the store" in answer.json["message"]
        assert (await api("DELETE", f"/v2/images/{image['id']}")).status == 204

    tell(story, tmp_path)
