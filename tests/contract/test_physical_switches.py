"""One suite about physical switches, asked of OVSDB's hardware_vtep schema and of the twin; and switches that
are reached by ssh, asked of a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.waiting import until

from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.physical.simulated import SimulatedPhysicalSwitch
from pileus.drivers.physical.ssh import Commands, Login, SshSwitch
from pileus.drivers.physical.switch import Attachment, CarriedNetwork, PhysicalSwitch, SwitchFailed, Wanted
from pileus.drivers.physical.vtep import COLUMNS, VtepSwitch
from pileus.drivers.process import run

replace = msgspec.structs.replace

SCHEMA = Path("/usr/share/openvswitch/vtep.ovsschema")
NET, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
ONE = CarriedNetwork(NET, 100, {"fa:16:3e:00:00:01": "192.0.2.1"}, ("192.0.2.1", "192.0.2.2"))
TWO = CarriedNetwork(OTHER, 200)
WANTED = Wanted((ONE, TWO), (Attachment("p1", 0, NET), Attachment("p1", 7, OTHER), Attachment("p2", 7, NET)))


@contextlib.asynccontextmanager
async def vtep() -> AsyncIterator[tuple[VtepSwitch, str]]:
    """A driver, and the address of a database with the switch ``tor``."""
    folder = Path(tempfile.mkdtemp(prefix="plv-"))
    address = f"unix:{folder / 'db'}"
    environment = {**os.environ, **{f"OVS_{kind}DIR": str(folder) for kind in ("RUN", "LOG", "DB")}}
    await run(("ovsdb-tool", "create", str(folder / "vtep.db"), str(SCHEMA)))
    server = await asyncio.create_subprocess_exec(
        "ovsdb-server", str(folder / "vtep.db"), f"--remote=p{address}", "--unixctl=none", env=environment
    )
    try:
        await until(lambda: (folder / "db").exists())
        for words in (
            "add-ps tor",
            "add-port tor p1",
            "add-port tor p2",
            "set Physical_Switch tor tunnel_ips=192.0.2.9",
        ):
            await run(("vtep-ctl", f"--db={address}", *words.split()), environment=environment)
        switch = VtepSwitch("tor", address)
        yield switch, address
        await switch.close()
    finally:
        server.terminate()
        await server.wait()
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def twin() -> AsyncIterator[tuple[SimulatedPhysicalSwitch, str]]:
    yield SimulatedPhysicalSwitch("tor", ("p1", "p2"), "192.0.2.9"), ""


KINDS = [
    pytest.param(
        vtep,
        marks=[
            pytest.mark.real,
            pytest.mark.skipif(shutil.which("vtep-ctl") is None, reason="needs Open vSwitch's vtep-ctl"),
        ],
        id="vtep",
    ),
    pytest.param(twin, id="twin"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_networks_are_bound_to_ports_and_leave_them(
    kind: Callable[[], contextlib.AbstractAsyncContextManager[tuple[PhysicalSwitch, str]]],
) -> None:
    async def story() -> None:
        async with kind() as (switch, _):
            facts = await switch.facts()
            assert (facts.ports, facts.tunnel_ip) == (("p1", "p2"), "192.0.2.9")
            assert await switch.bring(WANTED, whole=True) > 0
            assert await switch.bring(WANTED, whole=True) == 0
            moved = replace(ONE, ways={"fa:16:3e:00:00:01": "192.0.2.2", "fa:16:3e:00:00:02": "192.0.2.1"})
            changed = Wanted((moved, TWO), WANTED.attachments[1:])
            assert await switch.bring(changed, whole=False) > 0
            assert await switch.bring(changed, whole=False) == 0
            with pytest.raises(SwitchFailed, match="tor has no port p9"):
                await switch.bring(Wanted((ONE,), (Attachment("p9", 0, NET),)), whole=False)
            assert await switch.learned() == {}
            assert await switch.bring(Wanted(), whole=False) > 0
            assert await switch.bring(Wanted(), whole=True) == 0

    asyncio.run(story())


@pytest.mark.real
@pytest.mark.skipif(shutil.which("vtep-ctl") is None, reason="needs Open vSwitch's vtep-ctl")
def test_rows_of_a_vtep() -> None:
    async def story() -> None:
        async with vtep() as (switch, address):
            await switch.bring(WANTED, whole=True)
            client = OvsdbClient(address, COLUMNS, database="hardware_vtep")
            await client.connect(5)
            logical = client.by_name("Logical_Switch")
            assert {name: row["tunnel_key"] for name, row in logical.items()} == {
                f"pileus-{NET}": 100,
                f"pileus-{OTHER}": 200,
            }
            ids = {name.removeprefix("pileus-"): row.uuid for name, row in logical.items()}
            ports = client.by_name("Physical_Port")
            assert ports["p1"]["vlan_bindings"] == {0: ids[NET], 7: ids[OTHER]}
            assert ports["p2"]["vlan_bindings"] == {7: ids[NET]}
            (everybody,) = client.tables["Mcast_Macs_Remote"].values()
            locators = client.tables["Physical_Locator_Set"][everybody["locator_set"]]["locators"]
            there = {client.tables["Physical_Locator"][one]["dst_ip"] for one in locators}
            assert (everybody["MAC"], there) == ("unknown-dst", {"192.0.2.1", "192.0.2.2"})
            # Somebody else's network, and the VLAN that he has bound to it, stay as they are.
            for words in ("add-ls theirs", "bind-ls tor p2 9 theirs"):
                await run(("vtep-ctl", f"--db={address}", *words.split()))
            await client.wait_until(lambda: 9 in client.by_name("Physical_Port")["p2"]["vlan_bindings"], 5)
            with pytest.raises(SwitchFailed, match="VLAN 9 of port p2"):
                await switch.bring(Wanted((ONE,), (Attachment("p2", 9, NET),)), whole=False)
            await switch.bring(Wanted(), whole=False)
            await client.wait_until(lambda: set(client.by_name("Logical_Switch")) == {"theirs"}, 5)
            assert set(client.by_name("Physical_Port")["p2"]["vlan_bindings"]) == {9}
            assert not client.tables["Ucast_Macs_Remote"] and not client.tables["Physical_Locator"]
            await client.close()

    asyncio.run(story())


CLI = """
import json, sys
journal, port = sys.argv[1], None
for line in sys.stdin:
    line = line.rstrip("\\n")
    with open(journal, "a") as file:
        file.write(json.dumps(line) + "\\n")
    if "999" in line:
        print("% Invalid VLAN")
"""


class Sshd:
    """A server whose only command is a switch's command line, for whoever has the key, or the ``password``
    where there is one: it is root's for this server alone, which has files of users of its own."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host", "key", "other"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        (folder / "cli.py").write_text(CLI)
        public = (folder / "key.pub").read_text()
        forced = f'command="{sys.executable} {folder}/cli.py {self.journal}",restrict {public}'
        (folder / "authorized").write_text(forced)
        self.known = folder / "known"
        self.known.write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
            "KbdInteractiveAuthentication no\n"
            + (
                "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
                if password is None
                else f"PasswordAuthentication yes\nPermitRootLogin yes\n"
                f"ForceCommand {sys.executable} {folder}/cli.py {self.journal}\n"
            )
        )
        self._apart = [] if password is None else self._users(password)

    def _users(self, password: str) -> list[str]:
        """Write the users' files; the words before a program that shall see these."""
        hashed = ctypes.CDLL("libcrypt.so.1").crypt
        hashed.restype = ctypes.c_char_p
        salted = hashed(password.encode(), b"$6$pileus$").decode()
        shadow = self.folder / "shadow"
        shadow.write_text(f"root:{salted}:19000:0:99999:7:::\n")
        shadow.chmod(0o600)
        script = f'mount --bind {shadow} /etc/shadow && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        Path("/run/sshd").mkdir(exist_ok=True)
        daemon = await asyncio.create_subprocess_exec(
            *self._apart,
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            str(self.folder / "sshd_config"),
            stderr=asyncio.subprocess.DEVNULL,
        )

        def listens() -> bool:
            with socket.socket() as wire:
                return wire.connect_ex(("127.0.0.1", self.port)) == 0

        try:
            await until(listens)
            yield
        finally:
            daemon.terminate()
            await daemon.wait()

    def switch(self, ports: tuple[str, ...] = ("eth 1", "e2"), **login: object) -> SshSwitch:
        values = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "host_keys": self.known,
            "key_file": self.folder / "key",
        }
        commands = Commands(
            before=("configure",),
            attach=("interface {port}", "vlan add {vlan}"),
            detach=("interface {port}", "vlan remove {vlan}"),
            attach_untagged=("interface {port}", "vlan access {vlan}"),
            detach_untagged=("interface {port}", "no vlan access"),
            after=("write",),
        )
        return SshSwitch("tor", Login(**{**values, **login}), ports, commands, self.folder / "memory.json")  # type: ignore[arg-type]

    def said(self) -> list[str]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        self.journal.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


def with_sshd(story: Callable[[Sshd], Awaitable[None]], password: str | None = None) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="pls-") as folder:
            sshd = Sshd(Path(folder), password)
            async with sshd.running():
                await story(sshd)

    asyncio.run(main())


ssh = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="needs OpenSSH's server"),
]
VLAN = CarriedNetwork(NET, 100)
ON_BOTH = Wanted((VLAN,), (Attachment("e2", 0, NET), Attachment("eth 1", 100, NET)))


class TestBySsh:
    pytestmark = ssh

    def test_lines_are_written_once_and_taken_back(self) -> None:
        async def story(sshd: Sshd) -> None:
            switch = sshd.switch()
            assert await switch.bring(ON_BOTH, whole=False) == 2
            assert sshd.said() == [
                *("configure", "interface e2", "vlan access 100"),
                *("interface 'eth 1'", "vlan add 100", "write"),
            ]
            assert await switch.bring(ON_BOTH, whole=False) == 0
            assert sshd.said() == []
            # A full pass writes everything again, and another agent knows what there is.
            assert await sshd.switch().bring(ON_BOTH, whole=True) == 0
            assert len(sshd.said()) == 6
            fewer = Wanted((VLAN,), ON_BOTH.attachments[:1])
            assert await sshd.switch().bring(fewer, whole=False) == 1
            assert sshd.said() == ["configure", "interface 'eth 1'", "vlan remove 100", "write"]
            assert await switch.bring(Wanted(), whole=False) == 1
            assert sshd.said() == ["configure", "interface e2", "no vlan access", "write"]

        with_sshd(story)

    def test_what_is_refused_is_tried_again_and_taken_back(self) -> None:
        async def story(sshd: Sshd) -> None:
            switch = sshd.switch()
            bad = Wanted((CarriedNetwork(NET, 999),), (Attachment("e2", 999, NET),))
            for _ in range(2):
                with pytest.raises(SwitchFailed, match="tor refuses: % Invalid VLAN"):
                    await switch.bring(bad, whole=False)
                sshd.said()
            with pytest.raises(SwitchFailed, match="can't translate VLAN 100 to 7"):
                await switch.bring(Wanted((VLAN,), (Attachment("e2", 7, NET),)), whole=False)
            with pytest.raises(SwitchFailed, match="no port e9"):
                await switch.bring(Wanted((VLAN,), (Attachment("e9", 0, NET),)), whole=False)
            assert sshd.said() == []

        with_sshd(story)

    def test_only_the_host_key_of_the_file_is_trusted(self) -> None:
        async def story(sshd: Sshd) -> None:
            sshd.known.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'other.pub').read_text()}")
            with pytest.raises(SwitchFailed, match=r"HOST IDENTIFICATION HAS CHANGED|verification failed"):
                await sshd.switch().bring(ON_BOTH, whole=False)
            sshd.known.write_text("")
            with pytest.raises(SwitchFailed, match="verification failed"):
                await sshd.switch().bring(ON_BOTH, whole=False)
            assert sshd.said() == []

        with_sshd(story)

    def test_a_wrong_key_and_a_wrong_password_ask_nobody(self) -> None:
        async def story(sshd: Sshd) -> None:
            with pytest.raises(SwitchFailed, match="Permission denied"):
                await sshd.switch(key_file=sshd.folder / "other").bring(ON_BOTH, whole=False)
            secret = sshd.folder / "password"
            secret.write_text("wrong\n")
            with pytest.raises(SwitchFailed, match="Permission denied") as failure:
                await sshd.switch(key_file=None, password_file=secret).bring(ON_BOTH, whole=False)
            assert "wrong" not in str(failure.value)

        with_sshd(story)

    def test_a_password_lets_in(self) -> None:
        async def story(sshd: Sshd) -> None:
            secret = sshd.folder / "password"
            secret.write_text("pass word's end\n")
            switch = sshd.switch(key_file=None, password_file=secret)
            assert await switch.bring(ON_BOTH, whole=False) == 2
            assert sshd.said()[:3] == ["configure", "interface e2", "vlan access 100"]
            secret.write_text("another\n")
            with pytest.raises(SwitchFailed, match="Permission denied"):
                await switch.bring(Wanted(), whole=False)
            assert sshd.said() == []

        with_sshd(story, "pass word's end")

    def test_what_looks_like_a_command_stays_a_word(self) -> None:
        async def story(sshd: Sshd) -> None:
            evil = "e1; touch owned $(id) `id`"
            switch = sshd.switch((evil,))
            await switch.bring(Wanted((VLAN,), (Attachment(evil, 0, NET),)), whole=False)
            assert sshd.said()[1] == f"interface '{evil}'"

        with_sshd(story)
