"""The same questions to exports by tgt and to their simulated twin; QEMU's own initiator reads and writes."""

from __future__ import annotations

import asyncio
import contextlib
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

from pileus.drivers.exports import iscsi
from pileus.drivers.exports.errors import ExportFailed
from pileus.drivers.exports.iscsi import (
    IscsiExport,
    IscsiServers,
    Login,
    SimulatedTgt,
    Tgt,
    is_served,
    missing_programs,
)
from pileus.drivers.outliving import processes
from pileus.drivers.pools.pool import Place

Run = Callable[[Any], Any]
ADDRESS, PORT = "127.0.0.1", 23260
INITIATOR = "iqn.2026-11.org.example:one"


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


class Case:
    """A host that exports."""

    def __init__(self, kind: str, root: Path, run: Run) -> None:
        self.kind, self.root, self.run = kind, root, run
        self.servers = self.make()

    def make(self) -> IscsiServers:
        return SimulatedTgt(PORT) if self.kind == "simulated" else Tgt(self.root / "t", ADDRESS, PORT)

    def again(self) -> None:
        """The agent was killed and is there again."""
        if self.kind != "simulated":
            self.servers = self.make()

    def export(self, export_id: str = "e1", **more: Any) -> IscsiExport:
        path = self.root / f"{export_id}.raw"
        if not path.exists() and "/" not in export_id:
            path.write_bytes(bytes(8 << 20))
        return IscsiExport(export_id=export_id, **{"place": Place(path=path, format="raw"), **more})

    def io(self, login: Login, command: str, *, password: str | None = None, name: str = INITIATOR) -> str:
        """Do something with the volume as QEMU of another host would; what it says."""
        secret = self.root / "secret"
        secret.write_text(login.password if password is None else password)
        words = f"driver=iscsi,transport=tcp,portal={ADDRESS}:{PORT},target={login.target},lun={login.lun}"
        words += f",initiator-name={name},user={login.username},password-secret=s"
        done = subprocess.run(
            ["qemu-io", "--object", f"secret,id=s,file={secret}", "-c", command, "--image-opts", words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr

    def daemons(self) -> list[int]:
        return [number for number, words in processes() if f"portal={ADDRESS}:{PORT}" in words]

    def kill(self) -> None:
        if isinstance(self.servers, SimulatedTgt):
            self.servers.logins.clear()
        for number in self.daemons():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.run(until(lambda: not self.daemons()))


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def case(request: pytest.FixtureRequest, run: Run) -> Iterator[Case]:
    if request.param == "real":
        if os.geteuid() != 0:
            pytest.skip("needs root: tgtd does")
        if missing := missing_programs():
            pytest.skip(f"not installed: {', '.join(missing)} (the package tgt)")
    root = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="pi"))
    case = Case(request.param, root, run)
    yield case
    case.kill()
    shutil.rmtree(root)


@pytest.fixture
def real(case: Case) -> Case:
    if case.kind == "simulated":
        pytest.skip("there are no bytes in the twin")
    if not any(Path("/usr/lib").glob("*/qemu/block-iscsi.so")):
        pytest.skip("not installed: QEMU's initiator (the package qemu-block-extra)")
    return case


def test_an_export_comes_is_found_again_and_goes(case: Case, run: Run) -> None:
    one = run(case.servers.open(case.export("e1")))
    two = run(case.servers.open(case.export("e2", read_only=True, initiator=INITIATOR)))
    assert one.password != two.password and one.target != two.target
    assert 12 <= len(one.password) <= 16
    case.again()
    assert sorted(run(case.servers.found())) == ["e1", "e2"]
    assert run(case.servers.open(case.export("e1"))) == one
    run(case.servers.close("e1"))
    run(case.servers.close("e1"))
    assert list(run(case.servers.found())) == ["e2"]
    assert run(case.servers.open(case.export("e1"))).password != one.password
    for left in ("e1", "e2"):
        run(case.servers.close(left))
    assert list(run(case.servers.found())) == []
    if isinstance(case.servers, Tgt):
        assert not list((case.root / "t").glob("*.json"))
        run(case.servers.stop())
        run(until(lambda: not case.daemons()))


def test_a_server_that_dies_serves_the_same_again(case: Case, run: Run) -> None:
    one = run(case.servers.open(case.export()))
    case.kill()
    assert list(run(case.servers.found())) == []
    assert run(case.servers.open(case.export())) == one


def test_an_address_that_is_taken_is_waited_for_and_no_other_is_served(real: Case, run: Run) -> None:
    """tgtd would listen everywhere instead."""
    servers = real.servers
    assert isinstance(servers, Tgt)

    async def story() -> Login:
        held = await asyncio.start_server(lambda _reader, _writer: None, ADDRESS, PORT)
        opening = asyncio.create_task(servers.open(real.export()))
        await until(lambda: bool(real.daemons()))
        await asyncio.sleep(0.3)
        assert not opening.done()
        held.close()
        return await opening

    login = run(story())
    assert "read 512/512" in real.io(login, "read 0 512")
    assert run(servers._portals()) == [f"{ADDRESS}:{PORT}"]


def test_what_can_not_be_opened_leaves_nothing(case: Case, run: Run) -> None:
    for bad in (
        {"place": Place(path=case.root / "missing", format="raw")},
        {"place": Place(path=case.root / "a,b", format="raw")},
        {"place": Place(path=case.root / "x", format="qcow2")},
        {"initiator": "two words"},
        {"export_id": "../x"},
    ):
        with pytest.raises(ExportFailed):
            run(case.servers.open(case.export(**bad)))
    assert list(run(case.servers.found())) == []


def test_what_was_half_made_or_made_otherwise_is_made_anew(case: Case, run: Run) -> None:
    servers = case.servers
    if not isinstance(servers, Tgt):
        pytest.skip("the twin makes nothing by halves")
    one = run(servers.open(case.export("e1")))

    def said() -> str:
        return run(servers._targets())[one.target].said  # type: ignore[no-any-return]

    assert said().endswith("ALL\n")
    # Killed before it had said who may log in:
    run(servers._ask(iscsi._TARGET, iscsi._UNBIND, 1, {"initiator-address": "ALL"}))
    assert "ALL" not in said()
    case.again()
    assert run(case.servers.open(case.export("e1"))) == one
    assert said().endswith("ALL\n")
    # Wanted for another while nobody was there to hear it:
    case.again()
    assert run(case.servers.open(case.export("e1", initiator=INITIATOR, read_only=True))) == one
    assert INITIATOR in said() and " ALL" not in said()
    assert "Readonly: Yes" in said()


def test_what_is_written_is_read_back(real: Case, run: Run) -> None:
    login = run(real.servers.open(real.export()))
    assert is_served(real.root / "e1.raw") and not is_served(real.root / "e2.raw")
    assert "wrote 65536" in (said := real.io(login, "write -P 7 1M 64k")), said
    real.kill()
    login = run(real.servers.open(real.export()))
    said = real.io(login, "read -P 7 1M 64k")
    assert "read 65536" in said and "failed" not in said
    assert (real.root / "e1.raw").read_bytes()[1 << 20] == 7


def test_nobody_else_gets_in(real: Case, run: Run) -> None:
    login = run(real.servers.open(real.export(initiator=INITIATOR)))
    other = run(real.servers.open(real.export("e2")))
    good = "read 512/512"
    assert good in real.io(login, "read 0 512")
    assert good not in real.io(login, "read 0 512", password="wrong-password")
    assert good not in real.io(login, "read 0 512", password=other.password)
    assert good not in real.io(login, "read 0 512", name="iqn.2026-11.org.example:two")
    for number in real.daemons():
        arguments = (
            Path(f"/proc/{number}/cmdline").read_bytes() + Path(f"/proc/{number}/environ").read_bytes()
        )
        assert login.password.encode() not in arguments


def test_a_read_only_export_is_read_only(real: Case, run: Run) -> None:
    login = run(real.servers.open(real.export(read_only=True)))
    assert "wrote 65536" not in real.io(login, "write -P 7 1M 64k")
