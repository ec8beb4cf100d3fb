"""The same questions to exports by qemu-storage-daemon and to their simulated twin."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import until

from pileus.drivers.exports.authority import Authority, NotBound, must_be_bound, put_files
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.exports.nbd import (
    NbdExport,
    NbdServers,
    QemuNbd,
    SimulatedNbd,
    missing_programs,
)
from pileus.drivers.libvirt.daemon import qemu_owner
from pileus.drivers.outliving import processes
from pileus.drivers.pools.directory import DirectoryPool
from pileus.drivers.pools.pool import Place, Wanted
from pileus.drivers.process import user_of
from pileus.drivers.qemu_img.driver import QemuImg

Run = Callable[[Any], Any]
ADDRESS = "127.0.0.1"
VOLUME = "11111111-1111-4111-8111-111111111111"
PORTS = range(21809, 21829)


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


class Case:
    """A host that exports, one that may open it, and one that may not."""

    def __init__(self, kind: str, root: Path, run: Run) -> None:
        self.kind, self.root, self.run = kind, root, run
        self.here = Authority(root / "here", "n1", ADDRESS)
        self.friend = Authority(root / "friend", "n2", ADDRESS)
        self.stranger = Authority(root / "stranger", "n2", ADDRESS)
        pool = DirectoryPool(root / "pool", QemuImg(user=qemu_owner()), owner=qemu_owner(), durable=False)
        run(pool.open())
        run(pool.create(Wanted(volume_id=VOLUME, size=8 << 20)))
        self.place: Place = run(pool.place(VOLUME))
        self.servers = self.make()

    def make(self) -> NbdServers:
        if self.kind == "simulated":
            return SimulatedNbd(PORTS)
        return QemuNbd(self.root / "nbd", self.here, user=qemu_owner(), ports=PORTS)

    def again(self) -> None:
        """The agent was killed and is there again."""
        if self.kind != "simulated":
            self.servers = self.make()

    def export(self, export_id: str = "e1", **more: Any) -> NbdExport:
        values = {"name": VOLUME, "place": self.place, "client": "n2", "authority": self.friend.certificate}
        return NbdExport(export_id=export_id, **{**values, **more})

    def io(self, port: int, command: str, who: Authority | None, trusts: str | None = None) -> str:
        """Do something with the volume as QEMU of another host would; what it says."""
        folder, words = self.root / "client", [f"driver=nbd,host={ADDRESS},port={port},export={VOLUME}"]
        tls = []
        if who is not None:
            put_files(folder, who.client_files(trusts or self.here.certificate), None)
            tls = ["--object", f"tls-creds-x509,id=t,endpoint=client,dir={folder}"]
            words.append(f"tls-creds=t,tls-hostname={ADDRESS}")
        done = subprocess.run(
            ["qemu-io", *tls, "-c", command, "--image-opts", ",".join(words)],
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout + done.stderr

    def daemons(self) -> list[int]:
        return [number for number, words in processes() if str(self.root / "nbd") in " ".join(words)]

    def kill(self) -> None:
        if isinstance(self.servers, SimulatedNbd):
            self.servers.exports.clear()
        for number in self.daemons():
            os.kill(number, signal.SIGKILL)
        self.run(until(lambda: not self.daemons()))


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def case(request: pytest.FixtureRequest, run: Run) -> Iterator[Case]:
    if request.param == "real":
        if os.geteuid() != 0:
            pytest.skip("needs root: it becomes another user")
        if missing := missing_programs():
            pytest.skip(f"not installed: {', '.join(missing)}")
    root = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="pileus-nbd-"))
    root.chmod(0o711)
    case = Case(request.param, root, run)
    yield case
    case.kill()
    shutil.rmtree(root)


@pytest.fixture
def real(case: Case) -> Case:
    if case.kind == "simulated":
        pytest.skip("there are no bytes in the twin")
    return case


def test_an_export_comes_is_found_again_and_goes(case: Case, run: Run) -> None:
    one = run(case.servers.open(case.export("e1")))
    two = run(case.servers.open(case.export("e2", read_only=True, place=other(case))))
    assert one != two and one in PORTS
    assert run(case.servers.open(case.export("e1"))) == one
    case.again()
    assert run(case.servers.found()) == {"e1": one, "e2": two}
    assert run(case.servers.open(case.export("e1"))) == one
    run(case.servers.close("e1"))
    run(case.servers.close("e1"))
    assert run(case.servers.found()) == {"e2": two}
    run(case.servers.close("e2"))
    assert run(case.servers.found()) == {}
    assert case.daemons() == []
    assert case.kind == "simulated" or not list((case.root / "nbd").iterdir())


def other(case: Case) -> Place:
    path = case.root / "other.raw"
    path.write_bytes(bytes(1 << 20))
    path.chmod(0o644)
    return Place(path=path, format="raw")


def test_one_that_dies_is_opened_again(case: Case, run: Run) -> None:
    run(case.servers.open(case.export()))
    case.kill()
    assert run(case.servers.found()) == {}
    assert run(case.servers.open(case.export())) in PORTS


def test_what_can_not_be_opened_leaves_nothing(case: Case, run: Run) -> None:
    missing = Place(path=case.root / "missing", format="raw")
    with pytest.raises(ExportFailed, match="No such file"):
        run(case.servers.open(case.export(place=missing)))
    for bad in ({"client": "n2,identity=CN=n3"}, {"name": "a,b"}, {"client": ""}, {"export_id": "../x"}):
        with pytest.raises(ExportFailed, match="name"):
            run(case.servers.open(case.export(**bad)))
    assert run(case.servers.found()) == {}
    assert case.daemons() == []


def test_what_is_written_is_read_back(real: Case, run: Run) -> None:
    port = run(real.servers.open(real.export()))
    assert "wrote 65536" in real.io(port, "write -P 7 1M 64k", real.friend)
    real.kill()
    port = run(real.servers.open(real.export()))
    assert "failed" not in (said := real.io(port, "read -P 7 1M 64k", real.friend)), said
    assert "read 65536" in said
    assert "failed" in real.io(port, "read -P 8 1M 64k", real.friend)
    number, *_ = real.daemons()
    assert user_of(number) == qemu_owner()[0]


def test_nobody_else_gets_in(real: Case, run: Run) -> None:
    port = run(real.servers.open(real.export()))
    good = "read 512/512"
    assert good in real.io(port, "read 0 512", real.friend)
    assert good not in real.io(port, "read 0 512", None), "without TLS"
    assert good not in real.io(port, "read 0 512", real.stranger), "with the same name, by another authority"
    assert good not in real.io(port, "read 0 512", real.friend, real.stranger.certificate), (
        "it asks whom it meets"
    )
    sibling = Authority(real.root / "friend", "n3", ADDRESS)
    assert good not in real.io(port, "read 0 512", sibling), "by that authority, with another name"


def test_an_authority_speaks_for_one_host(real: Case, run: Run, tmp_path: Path) -> None:
    must_be_bound(real.here.certificate, ADDRESS)
    with pytest.raises(NotBound):
        must_be_bound(real.here.certificate, "127.0.0.2")
    elsewhere = Authority(tmp_path / "elsewhere", "n9", "192.0.2.9")
    assert Authority(tmp_path / "elsewhere", "n9", "192.0.2.9").certificate == elsewhere.certificate
    assert Authority(tmp_path / "elsewhere", "n9", "192.0.2.10").certificate != elsewhere.certificate
    elsewhere.address = ADDRESS
    servers = QemuNbd(real.root / "nbd", elsewhere, user=qemu_owner(), ports=PORTS)
    with pytest.raises(ExportFailed, match="validation"):
        run(servers.open(real.export()))


def test_a_read_only_export_is_read_only(real: Case, run: Run) -> None:
    port = run(real.servers.open(real.export(read_only=True)))
    assert "wrote 65536" not in real.io(port, "write -P 7 1M 64k", real.friend)
