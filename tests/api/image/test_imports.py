"""Imports: downloads from the network and from another cloud, their tasks, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import AsyncGenerator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api import cloud as one
from tests.api.image import image_cloud
from tests.api.image.image_cloud import P1, Cloud
from tests.waiting import eventually

from pileus.core.clock import ManualClock
from pileus.services.image.imports.fetching import FetchFailed
from pileus.services.image.service import FileStore, ImageConfig, Images
from pileus.services.image.tasks.work import tasks_trim
from pileus.store import Store

CONTENT = b"disk" * 50_000
QUEUED = {"disk_format": "raw", "container_format": "bare"}
REMOTE = "36d4b546-64a2-4bb9-bdd0-ba676aa48f2c"


class Shelf:
    """A fetcher that has a few things, and breaks where it is told to."""

    def __init__(self) -> None:
        self.things: dict[str, list[bytes | Exception]] = {}
        self.tokens: set[str] = set()

    async def pieces(self, uri: str) -> AsyncGenerator[bytes, None]:
        if uri not in self.things:
            raise FetchFailed(f"{uri} answers 404")
        for piece in self.things[uri]:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def trusted(self, url: str, token: str) -> AsyncGenerator[bytes, None]:
        self.tokens.add(token)
        async for piece in self.pieces(url):
            yield piece


async def _find(region: str, interface: str) -> str | None:
    return "https://there/image" if (region, interface) == ("Far", "public") else None


class Importing(Cloud):
    shelf: Shelf

    async def start_import(self, image_id: str, **method: Any) -> Any:
        return await self("POST", f"/v2/images/{image_id}/import", {"method": method})

    async def task_of(self, image_id: str) -> dict[str, Any]:
        """The image's newest task, when it has ended."""

        async def ended() -> Any:
            tasks = (await self("GET", f"/v2/images/{image_id}/tasks")).json["tasks"]
            return tasks and tasks[-1]["status"] in ("success", "failure") and tasks[-1]

        task: dict[str, Any] = await eventually(ended)
        return task


@contextlib.asynccontextmanager
async def importing(
    url: str, folder: Path, config: ImageConfig | None = None, shelf: Shelf | None = None
) -> AsyncGenerator[Importing, None]:
    """An image service whose network is ``shelf``, or the real one."""

    def faces(store: Store, clock: ManualClock) -> list[Images]:
        store_of_files = FileStore(folder)
        return [
            Images(
                store_of_files, b"k" * 32, config or ImageConfig(), clock, find_endpoint=_find, fetcher=shelf
            )
        ]

    async with one.served(Importing, url, faces, people=image_cloud.PEOPLE) as made:
        made.folder = folder
        if shelf is not None:
            made.shelf = shelf
        yield made


def tell_imports(
    story: Any, folder: Path, kind: str = "sqlite", config: ImageConfig | None = None, network: bool = False
) -> None:
    shelf = None if network else Shelf()
    one.tell_on(kind, folder, lambda url: importing(url, folder / "images", config, shelf), story)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_download_makes_an_image_active(kind: str, tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        api.shelf.things["https://a.example/disk"] = [CONTENT[:7], CONTENT[7:]]
        image = (await api.make())["id"]
        answer = await api.start_import(image, name="web-download", uri="https://a.example/disk")
        assert answer.status == 202, answer
        task = await api.task_of(image)
        assert (task["status"], task["message"], task["result"]) == ("success", "", {"image_id": image})
        assert task["input"]["import_req"]["method"]["uri"] == "https://a.example/disk"
        assert (task["owner"], task["image_id"], task["type"]) == (P1, image, "api_image_import")
        shown = (await api("GET", f"/v2/images/{image}")).json
        assert (shown["status"], shown["size"]) == ("active", len(CONTENT))
        assert shown["os_hash_value"] == hashlib.sha512(CONTENT).hexdigest()
        assert (await api("GET", f"/v2/images/{image}/file")).content == CONTENT
        assert api.files() == [f"data/{image}"]
        again = await api.start_import(image, name="web-download", uri="https://a.example/disk")
        assert again.status == 409

    tell_imports(story, tmp_path, kind)


BROKEN: list[tuple[str, list[bytes | Exception], str]] = [
    ("gone", [], ""),
    ("cut", [CONTENT, FetchFailed("it stopped")], "it stopped"),
    ("other", [b"QFI\xfb" + b"\0" * 600], "Image content is refused: as qcow2"),
    ("large", [b"x" * 300_000], "The incoming image is too large"),
]


@pytest.mark.parametrize(("name", "pieces", "why"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_download_that_fails_leaves_the_image_as_it_was(
    name: str, pieces: list[bytes | Exception], why: str, tmp_path: Path
) -> None:
    async def story(api: Importing) -> None:
        uri = f"https://a.example/{name}"
        if pieces:
            api.shelf.things[uri] = pieces
        image = (await api.make())["id"]
        assert (await api.start_import(image, name="web-download", uri=uri)).status == 202
        task = await api.task_of(image)
        assert task["status"] == "failure"
        assert why in task["message"]
        shown = (await api("GET", f"/v2/images/{image}")).json
        assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
        assert api.files() == []
        api.shelf.things[uri] = [b"disk"]
        api.clock.advance(1)
        assert (await api.start_import(image, name="web-download", uri=uri)).status == 202
        assert (await api.task_of(image))["status"] == "success"

    tell_imports(story, tmp_path, config=ImageConfig(largest_bytes=250_000))


def test_an_image_that_goes_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        image = (await api.make())["id"]

        class Gone(FetchFailed):
            """Deletes the image while its data comes."""

        async def pieces(uri: str) -> AsyncGenerator[bytes, None]:
            yield b"di"
            assert (await api("DELETE", f"/v2/images/{image}")).status == 204
            yield b"sk"

        api.shelf.pieces = pieces  # type: ignore[method-assign]
        assert (await api.start_import(image, name="web-download", uri="https://a.example/x")).status == 202
        admin = api.as_("admin")

        async def ended() -> Any:
            tasks = (await admin("GET", "/v2/tasks?status=failure")).json["tasks"]
            return tasks and tasks[0]

        task = (await admin("GET", (await eventually(ended))["self"])).json
        assert "could not be found after upload" in task["message"]
        assert api.files() == []

    tell_imports(story, tmp_path)


def test_an_image_comes_from_another_cloud_with_what_machines_need(tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        url = f"https://there/image/v2/images/{REMOTE}"
        far = {"id": REMOTE, "status": "active", "disk_format": "iso", "container_format": "bare"}
        far |= {"hw_cpu_cores": "5", "trait:STORAGE_DISK_SSD": "required", "os_distro": "rhel", "speed": "8"}
        iso = b"\0" * 0x8001 + b"CD001\x01" + b"\0" * 4000
        api.shelf.things = {url: [msgspec.json.encode(far)], f"{url}/file": [iso]}
        image = (await api.make(os_distro="windows", kept="yes"))["id"]
        asked = {"name": "glance-download", "glance_image_id": REMOTE, "glance_region": "Far"}
        assert (await api.start_import(image, **asked)).status == 202
        task = await api.task_of(image)
        assert task["status"] == "success", task
        shown = (await api("GET", f"/v2/images/{image}")).json
        assert (shown["disk_format"], shown["status"]) == ("iso", "active")
        assert (shown["hw_cpu_cores"], shown["os_distro"], shown["kept"]) == ("5", "rhel", "yes")
        assert "speed" not in shown
        assert (await api("GET", f"/v2/images/{image}/file")).content == iso
        # the token of the caller, and no trace of it in any row
        (token,) = api.shelf.tokens
        assert token
        assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))

        for wrong in ({"glance_region": "Nowhere"}, {"glance_image_id": P1}):
            other = (await api.make(os_distro="windows"))["id"]
            assert (await api.start_import(other, **{**asked, **wrong})).status == 202
            assert (await api.task_of(other))["status"] == "failure"
            shown = (await api("GET", f"/v2/images/{other}")).json
            assert (shown["status"], shown["os_distro"]) == ("queued", "windows")

    tell_imports(story, tmp_path)


def test_what_was_begun_is_taken_up_by_the_next_process(tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        api.shelf.things["https://a.example/disk"] = [CONTENT]
        image = (await api.make())["id"]
        await api.images.close()  # this process begins nothing more
        answer = await api.start_import(image, name="web-download", uri="https://a.example/disk")
        assert answer.status == 202
        assert (await api("GET", f"/v2/images/{image}")).json["status"] == "importing"
        next_one = Images(
            FileStore(api.folder), b"k" * 32, ImageConfig(), api.clock, find_endpoint=_find, fetcher=api.shelf
        )
        await next_one.start(api.store)
        try:
            assert (await api.task_of(image))["status"] == "success"
        finally:
            await next_one.close()
        assert (await api("GET", f"/v2/images/{image}")).json["status"] == "active"

    tell_imports(story, tmp_path)


def test_tasks_are_for_administrators_and_end(tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        admin = api.as_("admin")
        api.shelf.things["https://a.example/disk"] = [CONTENT]
        given = {
            "import_from": "https://a.example/disk",
            "import_from_format": "raw",
            "image_properties": {"name": "made", "visibility": "public", "note": "n"},
        }
        assert (await api("POST", "/v2/tasks", {"type": "import", "input": given})).status == 403
        assert (await api("GET", "/v2/tasks")).status == 403
        made = await admin("POST", "/v2/tasks", {"type": "import", "input": given})
        assert (made.status, made.json["status"]) == (201, "pending")
        assert made.headers["location"].endswith(made.json["self"])

        async def ended() -> Any:
            task = (await admin("GET", made.json["self"])).json
            return task["status"] in ("success", "failure") and task

        task = await eventually(ended)
        assert task["status"] == "success", task
        image = (await api("GET", f"/v2/images/{task['result']['image_id']}")).json
        assert (image["name"], image["note"], image["disk_format"]) == ("made", "n", "raw")
        listed = (await admin("GET", "/v2/tasks?limit=1&type=import&status=success")).json
        assert [one["id"] for one in listed["tasks"]] == [task["id"]]
        assert "input" not in listed["tasks"][0]
        assert listed["schema"] == "/v2/schemas/tasks"
        assert (await admin("DELETE", made.json["self"])).status == 405
        assert (await api("GET", made.json["self"])).status == 403
        assert (await admin("GET", f"/v2/tasks/{REMOTE}")).status == 404
        for name in ("task", "tasks"):
            assert (await api("GET", f"/v2/schemas/{name}")).json["name"] == name
        api.clock.advance(48 * 3600 + 1)
        await api.store.write(tasks_trim, api.clock.now())
        assert (await admin("GET", made.json["self"])).status == 404

    tell_imports(story, tmp_path)


FORBIDDEN = [
    "ftp://a.example/x",
    "file:///etc/passwd",
    "a.example/x",
    "",
    5,
    None,
    "http://",
    "http://user:word@a.example/x",
    "http://a.example:22/x",
    "http://a.example:99999/x",
    "http://127.0.0.1/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://[64:ff9b::7f00:1]/x",
    "http://169.254.169.254/latest",
    "http://10.0.0.1/x",
    "http://0.0.0.0/x",
    "http://224.0.0.1/x",
    "http://100.64.0.1/x",
    "http://[fe80::1%25eth0]/x",
    "http://[fd00::1]/x",
    "http://a.example/\nx",
    "http://a.example/" + "x" * 2000,
]


def test_addresses_that_are_refused_at_once(tmp_path: Path) -> None:
    async def story(api: Importing) -> None:
        image = (await api.make())["id"]
        for uri in FORBIDDEN:
            answer = await api.start_import(image, name="web-download", uri=uri)
            assert answer.status == 400, (uri, answer)
        for method in (
            {"name": "copy-image"},
            {"name": "glance-download", "glance_region": "Far"},
            {"name": "glance-download", "glance_image_id": REMOTE},
            {"name": "glance-download", "glance_image_id": "foo", "glance_region": "Far"},
            {"name": "glance-download", "glance_image_id": 5, "glance_region": "Far"},
        ):
            assert (await api.start_import(image, **method)).status == 400, method
        # there is one store: all of them are just that one
        direct = {"method": {"name": "glance-direct"}, "all_stores": True}
        assert (await api("POST", f"/v2/images/{image}/import", direct)).status == 409
        some = {**direct, "all_stores_must_succeed": False}
        assert (await api("POST", f"/v2/images/{image}/import", some)).status == 400
        bare = (await api("POST", "/v2/images", {})).json["id"]
        refused = await api.start_import(bare, name="web-download", uri="https://a.example/disk")
        assert (refused.status, refused.json["message"]) == (
            409,
            "'container_format' needs to be set before import",
        )
        bob = api.as_("bob")
        answer = await bob("POST", f"/v2/images/{image}/import", {"method": {"name": "glance-direct"}})
        assert answer.status == 404
        assert (await bob("GET", f"/v2/images/{image}/tasks")).status == 404
        assert (await api("GET", f"/v2/images/{image}/tasks")).json == {"tasks": []}

    tell_imports(story, tmp_path)


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        found = self.path == "/disk"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Nothing is told."""


@contextlib.contextmanager
def _site() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def test_the_network_itself(tmp_path: Path) -> None:
    """A site on this host, which a setting lets be asked: data, redirects, and where those lead."""
    with _site() as port:
        here = f"http://127.0.0.1:{port}"
        config = ImageConfig(import_ports=(port,), import_networks=(ipaddress.ip_network("127.0.0.1"),))

        async def story(api: Importing) -> None:
            async def outcome(uri: str) -> str:
                image = (await api.make())["id"]
                answer = await api.start_import(image, name="web-download", uri=uri)
                assert answer.status == 202, answer
                task = await api.task_of(image)
                return str(task["message"] or task["status"])

            assert await outcome(f"{here}/disk") == "success"
            assert await outcome(f"{here}/to/{here}/disk") == "success"
            assert await outcome(f"{here}/to//disk") == "success"
            assert await outcome(f"{here}/nothing") == f"{here}/nothing answers 404"
            for elsewhere in (
                f"http://127.0.0.2:{port}/disk",
                "http://127.0.0.1/disk",
                f"http://localhost.invalid:{port}/disk",
                "file:///etc/passwd",
            ):
                assert "does not pass filtering" in await outcome(f"{here}/to/{elsewhere}"), elsewhere
            around = f"{here}/to/" * 7 + f"{here}/disk"
            assert await outcome(around) == "There are more than 5 redirects"

        tell_imports(story, tmp_path, config=config, network=True)
