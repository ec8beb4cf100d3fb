"""An agent whose switch is in another place, reached by a prefix only: packets pass there, also after
the death of the switch. The prefix is ``ip netns exec`` by a program that notes what it is asked, and ssh."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.switches import RealHost, eventually, running_host, why_not_real
from tests.unit.l2.switch_server import SwitchServer
from tests.waiting import until

from pileus.app.nodes.agents import node_agents
from pileus.app.nodes.parts import NodeParts
from pileus.app.nodes.real import real_parts
from pileus.app.nodes.switch import RealSwitch
from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.drivers.interfaces.spec import Bridge
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import ProgramFailed, run
from pileus.host.l2.section import SwitchSection
from pileus.host.uplinks.section import HostNetworkSection
from pileus.wire.switch import (
    DeviceDetails,
    FixedIP,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
)

pytestmark = pytest.mark.real

OPEN = (
    SecurityRule("in", "ingress", "IPv4"),
    SecurityRule("out", "egress", "IPv4"),
)


@pytest.fixture
def host() -> Iterator[RealHost]:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    with running_host(RealHost) as running:
        assert isinstance(running, RealHost)
        yield running


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder with a short name: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="plr-"))
    yield folder
    shutil.rmtree(folder)


def noting(host: RealHost, work: Path) -> str:
    """A prefix that notes each command, and goes where the switch is."""
    program = work / "helper"
    program.write_text(f'#!/bin/sh\necho "$@" >>{work}/asked\nexec ip netns exec {host.namespace} "$@"\n')
    program.chmod(0o755)
    return str(program)


async def ssh(host: RealHost, work: Path) -> str:
    """A prefix that is ssh, to a server of this test's own that runs where the switch is."""
    sshd = shutil.which("sshd", path="/usr/sbin")
    if sshd is None:
        pytest.skip("openssh-server is not installed")
    for name in ("host", "user"):
        await run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(work / name)))
    settings = work / "sshd_config"
    settings.write_text(
        f"HostKey {work}/host\nAuthorizedKeysFile {work}/user.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # of privilege separation; the package's unit makes it
    way = f"ip netns exec {host.namespace} {sshd} -i -f {settings}"
    options = (
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        f"UserKnownHostsFile={work}/known",
        f"ProxyCommand={way}",
    )
    words = " ".join(f"-o '{option}'" for option in options)
    return f"ssh -q {words} -i {work}/user root@dom0"


def settings(host: RealHost, prefix: str) -> Settings:
    pipe = f"{sys.executable} -m pileus.drivers.relay.pipe {{socket}}"
    section = SwitchSection(root_helper=prefix, relay=pipe, ovsdb=f"unix:{host.socket}")
    return Settings(
        switch=section, host_network=HostNetworkSection(bridges=(Bridge(name="br-own", ports=("card",)),))
    )


@contextlib.asynccontextmanager
async def agent_for(
    host: RealHost, work: Path, prefix: str, server: SwitchServer
) -> AsyncIterator[NodeParts]:
    """The node's agents, made as ``pileus agent`` makes them; they reach the switch by the prefix alone."""
    folder = StateFolder(work / "state")
    folder.agent.mkdir(parents=True)
    wanted = settings(host, prefix)
    switch = await RealSwitch.open(folder, wanted)
    parts = await real_parts(folder, wanted, "n1", switch)
    agents = node_agents(wanted, "n1", server, parts).all()  # type: ignore[arg-type]
    assert [agent.binary for agent in agents] == ["neutron-openvswitch-agent", "neutron-metering-agent"]
    task = asyncio.create_task(agents[0].run())
    try:
        await until(lambda: agents[0].in_sync.is_set(), 60)
        yield parts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await parts.close()


def cloud() -> SwitchServer:
    server = SwitchServer()
    server.networks["net"] = NetworkDetails("net", Segment("vxlan", None, 100))
    server.put_group(SecurityGroupDetails("open", OPEN))
    for n in (1, 2):
        details = DeviceDetails(
            port_id=f"port-{n}",
            network_id="net",
            mac_address=f"fa:16:3e:00:00:0{n}",
            fixed_ips=(FixedIP(f"10.0.0.{n}", "s4", "10.0.0.0/24"),),
            security_group_ids=("open",),
            device_owner="compute:nova",
        )
        server.put_device(details, "n1")
    return server


async def plug(host: RealHost) -> list[str]:
    """Two guests of the switch's own place."""
    spaces = [f"{host.namespace}-{n}" for n in (1, 2)]
    await host.links.ensure_namespaces(spaces)
    await host.links.ensure_veths(
        Veth(f"tap{n}", "eth0", spaces[n - 1], mac=f"fa:16:3e:00:00:0{n}", mtu=1400) for n in (1, 2)
    )
    await host.links.ensure_addresses(Address(spaces[n - 1], "eth0", f"10.0.0.{n}/24") for n in (1, 2))
    client = await host.client()
    edit = Edit(client)
    for n in (1, 2):
        ids = {"iface-id": f"port-{n}", "attached-mac": f"fa:16:3e:00:00:0{n}"}
        edit.ensure_port("br-int", f"tap{n}", interface={"external_ids": ids})
    await edit.commit(wait_s=10)
    return spaces


@pytest.mark.parametrize("way", ["noting", pytest.param("ssh", marks=pytest.mark.slow)])
def test_a_switch_in_another_place_is_driven_by_a_prefix(host: RealHost, work: Path, way: str) -> None:
    async def story() -> None:
        prefix = noting(host, work) if way == "noting" else await ssh(host, work)
        server = cloud()
        spaces: list[str] = []
        await host.links.ensure_veths([Veth("card", "wire", up=False)])
        try:
            async with agent_for(host, work, prefix, server):
                spaces = await plug(host)

                async def reaches() -> bool:
                    try:
                        await run(
                            ("ip", "netns", "exec", spaces[0], "ping", "-c", "1", "-W", "1", "10.0.0.2")
                        )
                    except ProgramFailed:
                        return False
                    return True

                await until(lambda: all(one.status == "ACTIVE" for one in server.devices.values()), 60)
                assert await reaches()
                assert (await host.links.links())["card"].up
                await host.kill_vswitchd()
                assert not await reaches()
                await host.start_vswitchd()
                await eventually(reaches, 60)
        finally:
            await host.links.delete_namespaces(spaces)
        if way == "noting":
            asked = (work / "asked").read_text()
            for command in (
                "db.sock",
                "br-int.mgmt",
                "nft -j -f -",
                "ip -json link show",
                "ip link set card up",
            ):
                assert command in asked
        # Nothing of it was done here.
        here = await run(("ovs-vsctl", f"--db=unix:{host.socket}", "list-br"))
        assert here.decode().split() == ["br-int", "br-own", "br-tun"]
        assert not Path("/var/run/openvswitch/br-own.mgmt").exists()
        assert list((work / "state" / "agent" / "far").iterdir()) == []

    host.run(story())
