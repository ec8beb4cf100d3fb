"""``pileus demo``: a cloud that boots, shown working from end to end.

Each step looks first whether it is done already, so running it again takes seconds and repeats
nothing. Everything is made through the API, as any client would; only the start of the cloud,
the guest image and this machine's way to the external network are our own affair.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pileus.app import bootstrap
from pileus.app.commands import demo_machine, leftovers
from pileus.app.commands.external_range import ExternalRange, RangeTaken, choose, same
from pileus.app.commands.timeline import render
from pileus.app.local import COMPUTE, IDENTITY, IMAGE, NETWORK, LocalApi
from pileus.app.prepare import public_url
from pileus.app.processes import launch
from pileus.app.state import StateFolder
from pileus.core.errors import Fault, Unavailable

NAME = "demo"
PRIVATE_CIDR = "10.20.0.0/24"
SERVERS = ("demo-1", "demo-2")
FLAVOR = {"name": "demo.tiny", "ram": 192, "vcpus": 1, "disk": 1}
STILL_S, EMULATED_STILL_S = 300.0, 1200.0
"""A guest whose status, timeline and console show nothing new for this long does not come up any more. How
long a boot takes as a whole says little. An emulated one is silent for minutes before its kernel speaks,
and on a machine that is itself emulated for a quarter of an hour."""
LOOK_EVERY_S, LOOK_AT_LEAST_EVERY_S = 0.25, 5.0
SAY_EVERY_S = 15.0
SSH_WITHIN_S = 300.0
DELETED_WITHIN_S = 180.0
_STARTS_TRIED = 2
_STARTS = {"SHUTOFF": "os-start", "PAUSED": "unpause", "SUSPENDED": "resume"}
SSH = (
    "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR",
    "-o", "StrictHostKeyChecking=yes",
)  # fmt: skip


class DemoFailed(Unavailable):
    """A step did not end as it should; the text says what was waited for and what was seen."""


class _Step:
    """One line of progress: the text at once, what was found and the seconds when it is over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._began = self._said = time.monotonic()
        self._found = ""
        self._shown = ""
        if sys.stdout.isatty():
            sys.stdout.write(f"  … {text}")
            sys.stdout.flush()

    def __call__(self, found: str) -> None:
        """Note the outcome, for the line that stays."""
        self._found = found

    def waiting(self, seen: str) -> None:
        """Say what is being waited for: at a terminal in the line itself, else in a line now and then."""
        if sys.stdout.isatty():
            if seen != self._shown:
                self._shown = seen
                sys.stdout.write(f"\r\033[K  … {self._text}: {seen}"[:200])
                sys.stdout.flush()
        elif time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            sys.stdout.write(f"  … {self._text}: {seen} ({self._said - self._began:.0f} s)\n")
            sys.stdout.flush()

    def over(self, well: bool) -> None:
        """Write the line as it stays."""
        start = "\r\033[K" if sys.stdout.isatty() else ""
        if well:
            tail = f": {self._found}" if self._found else ""
            text = f"  ✓ {self._text}{tail} ({time.monotonic() - self._began:.1f} s)"
        else:
            text = f"  ✗ {self._text}"
        sys.stdout.write(f"{start}{text}\n")
        sys.stdout.flush()


@contextmanager
def _step(text: str) -> Iterator[_Step]:
    step = _Step(text)
    try:
        yield step
    except BaseException:
        step.over(False)
        raise
    step.over(True)


def demo(state: Path | None, listen: str | None, external_range: str = "") -> None:
    """Bring up what the demo shows, step by step, and say where to go next. ``external_range``: of the
    external network; empty: one in which this machine reaches nothing."""
    started = time.monotonic()
    folder = StateFolder((state or demo_machine.DEFAULT_STATE).absolute())
    try:
        with _step("A cloud on this machine") as found:
            found(demo_machine.ensure_cloud(folder, listen))
        emulated = demo_machine.why_emulated(folder)
        if emulated:
            sys.stdout.write(f"  ! Machines are emulated here, which is slow: {emulated}\n")
        with LocalApi(folder) as api:
            Demo(folder, api).show(external_range)
    except Fault as fault:
        bootstrap.fail(fault.text)
    url = public_url(bootstrap.settings_in_force(folder))
    sys.stdout.write(
        f"\nDone in {time.monotonic() - started:.0f} s. Where to go next:\n"
        f"  source {folder.openrc} && openstack server list\n"
        f"  OS_CLIENT_CONFIG_FILE={folder.clouds} openstack --os-cloud pileus server list\n"
        f"  the API at {url}; logs in {folder.logs}\n"
        f"  pileus timeline {SERVERS[0]} --state {folder.root}\n"
        f"  pileus demo --clean --state {folder.root} takes everything away again\n"
    )


def clean(state: Path | None, everything: bool = False) -> None:
    """Remove what the demo made: its servers and networks, and the cloud if the demo started it. Say what
    stays; with ``everything`` remove that, too, unless another cloud is there."""
    folder = StateFolder((state or demo_machine.DEFAULT_STATE).absolute())
    user = bootstrap.read_settings(folder, None, {}).settings.server.user
    if folder.keys.is_dir():
        _remove_demo(folder)
    else:
        sys.stdout.write("There is no demo here.\n")
    if everything and folder.keys.is_dir():
        bootstrap.fail(f"the cloud in {folder.root} is not the demo's: `pileus down --purge` removes it")
    left = leftovers.find(user)
    if not left.lines():
        return
    try:
        if everything:
            with _step(f"Remove {', '.join(left.lines())}"):
                leftovers.remove(left)
        else:
            sys.stdout.write(
                f"Still here: {', '.join(left.lines())}. `pileus demo --clean --all` removes that, too.\n"
            )
    except Fault as fault:
        bootstrap.fail(fault.text)


def _remove_demo(folder: StateFolder) -> None:
    try:
        if launch.running(folder):
            with LocalApi(folder) as api:
                Demo(folder, api).remove()
        demo_machine.remove_cloud(folder)
    except Fault as fault:
        bootstrap.fail(fault.text)
    sys.stdout.write("Everything that the demo made is gone.\n")


def look_again_after(still_s: float) -> float:
    """The pause before the next look at a guest of which nothing new was seen for so long: who waits for long
    looks rarely, since each look takes from the guest what it boots with."""
    return min(max(LOOK_EVERY_S, still_s / 20), LOOK_AT_LEAST_EVERY_S)


class Demo:
    """The steps. ``folder`` keeps the demo's key and image."""

    def __init__(self, folder: StateFolder, api: LocalApi) -> None:
        self._folder = folder
        self._api = api
        self._home = folder.root / "demo"
        self._project = api.get(f"{IDENTITY}/auth/projects")["projects"][0]["id"]

    def show(self, external_range: str = "") -> None:
        """All of it, in order."""
        outside = self._external_range(external_range)
        image = self._image()
        network = self._networks(outside)
        with _step("Key pair, flavor and security group"):
            self._key_pair()
            flavor = self._flavor()
            group = self._security_group()
        servers = self._servers(image, flavor, network, group)
        for name in SERVERS:
            self._wait_for_boot(name, servers[name])
        address = self._floating_ip(servers[SERVERS[0]])
        self._log_in(address, servers)
        with _step("How the first one booted"):
            steps = self._api.get(f"{COMPUTE}/servers/{servers[SERVERS[0]]['id']}/os-pileus-timeline")
        sys.stdout.write(render(steps["timeline"]))

    # -- what is made, each found again by its name

    def _find(self, path: str, collection: str, name: str) -> dict[str, Any] | None:
        """The one of this name; of the project's own where there are others'."""
        mine = f"&project_id={self._project}" if path.startswith(NETWORK) else ""
        found: list[dict[str, Any]] = self._api.get(f"{path}?name={name}{mine}")[collection]
        return found[0] if found else None

    def _ensure(self, path: str, noun: str, body: dict[str, Any]) -> dict[str, Any]:
        collection = f"{noun}s"
        found = self._find(path, collection, body["name"])
        if found is None:
            found = self._api.call("POST", path, {noun: body})[noun]
        return found

    def _image(self) -> str:
        found = self._find(f"{IMAGE}/images", "images", NAME)
        if found is not None and found["status"] == "active":
            return str(found["id"])
        file = self._home / "guest.qcow2"
        if not file.exists():
            with _step("A small guest image, from Debian packages"):
                demo_machine.build_guest_image(file)
        with _step("Upload the image") as say:
            if found is None:
                body = {"name": NAME, "disk_format": "qcow2", "container_format": "bare", "min_ram": 128}
                found = self._api.call("POST", f"{IMAGE}/images", body)
            self._api.upload(f"{IMAGE}/images/{found['id']}/file", file)
            say(f"{file.stat().st_size / (1 << 20):.1f} MiB")
        return str(found["id"])

    def _external_range(self, wanted: str) -> ExternalRange:
        """The one that there is already, else the one that is wanted, else one in which nothing is."""
        found = self._find(f"{NETWORK}/subnets", "subnets", "public")
        if found is None:
            return choose(demo_machine.occupied(), wanted, [PRIVATE_CIDR])
        if wanted and not same(wanted, found["cidr"]):
            raise RangeTaken(
                range=wanted,
                why=f"it has {found['cidr']} already; `pileus demo --clean --state {self._folder.root}` "
                "takes that away",
            )
        pool = found["allocation_pools"][0]
        return ExternalRange(found["cidr"], found["gateway_ip"], (pool["start"], pool["end"]))

    def _networks(self, outside: ExternalRange) -> str:
        with _step("External network, project network, router") as say:
            public = self._ensure(
                f"{NETWORK}/networks",
                "network",
                {
                    "name": "public",
                    "router:external": True,
                    "provider:network_type": "flat",
                    "provider:physical_network": demo_machine.PHYSICAL_NETWORK,
                },
            )
            self._ensure(
                f"{NETWORK}/subnets",
                "subnet",
                {
                    "name": "public",
                    "network_id": public["id"],
                    "ip_version": 4,
                    "cidr": outside.cidr,
                    "gateway_ip": outside.gateway,
                    "enable_dhcp": False,
                    "allocation_pools": [{"start": outside.pool[0], "end": outside.pool[1]}],
                },
            )
            private = self._ensure(f"{NETWORK}/networks", "network", {"name": NAME})
            subnet = self._ensure(
                f"{NETWORK}/subnets",
                "subnet",
                {"name": NAME, "network_id": private["id"], "ip_version": 4, "cidr": PRIVATE_CIDR},
            )
            router = self._ensure(
                f"{NETWORK}/routers",
                "router",
                {"name": NAME, "external_gateway_info": {"network_id": public["id"]}},
            )
            ports = self._api.get(f"{NETWORK}/ports?device_id={router['id']}&network_id={private['id']}")[
                "ports"
            ]
            if not ports:
                path = f"{NETWORK}/routers/{router['id']}/add_router_interface"
                self._api.call("PUT", path, {"subnet_id": subnet["id"]})
            demo_machine.ensure_external_address(self._folder, outside.address)
            say(f"{outside.cidr} outside, {PRIVATE_CIDR} inside")
        return str(private["id"])

    def _key_pair(self) -> None:
        key = self._home / "id_ed25519"
        if not key.exists():
            self._home.mkdir(mode=0o700, exist_ok=True)
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", NAME, "-f", str(key)]
            subprocess.run(argv, check=True)
        known = [one["keypair"]["name"] for one in self._api.get(f"{COMPUTE}/os-keypairs")["keypairs"]]
        if NAME not in known:
            body = {"name": NAME, "public_key": key.with_suffix(".pub").read_text()}
            self._api.call("POST", f"{COMPUTE}/os-keypairs", {"keypair": body})

    def _flavor(self) -> str:
        for flavor in self._api.get(f"{COMPUTE}/flavors")["flavors"]:
            if flavor["name"] == FLAVOR["name"]:
                return str(flavor["id"])
        return str(self._api.call("POST", f"{COMPUTE}/flavors", {"flavor": FLAVOR})["flavor"]["id"])

    def _security_group(self) -> str:
        group = self._ensure(f"{NETWORK}/security-groups", "security_group", {"name": NAME})
        path = f"{NETWORK}/security-group-rules"
        rules = self._api.get(f"{path}?security_group_id={group['id']}&direction=ingress")
        if not rules["security_group_rules"]:
            common = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4"}
            ssh = {**common, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
            self._api.call("POST", path, {"security_group_rules": [ssh, {**common, "protocol": "icmp"}]})
        return str(group["name"])

    def _servers(self, image: str, flavor: str, network: str, group: str) -> dict[str, dict[str, Any]]:
        known = {one["name"]: one for one in self._api.get(f"{COMPUTE}/servers/detail")["servers"]}
        for name in SERVERS:
            if name not in known:
                body = {
                    "name": name,
                    "imageRef": image,
                    "flavorRef": flavor,
                    "networks": [{"uuid": network}],
                    "key_name": NAME,
                    "security_groups": [{"name": group}],
                }
                made = self._api.call("POST", f"{COMPUTE}/servers", {"server": body})["server"]
                known[name] = made
            else:
                self._start(known[name])
        return {name: known[name] for name in SERVERS}

    def _start(self, server: dict[str, Any]) -> bool:
        """Start a server that is off, paused or suspended; whether it was."""
        action = _STARTS.get(server.get("status", ""))
        if action is None or server.get("OS-EXT-STS:task_state") is not None:
            return False
        self._api.call("POST", f"{COMPUTE}/servers/{server['id']}/action", {action: None})
        return True

    # -- what is waited for

    def _wait_for_boot(self, name: str, server: dict[str, Any]) -> None:
        path = f"{COMPUTE}/servers/{server['id']}"
        with _step(f"{name} boots: ACTIVE, has a lease, has read its metadata") as say:
            console = ""
            shown: tuple[str, str, str] | None = None
            changed = time.monotonic()
            starts = 0
            still_s = EMULATED_STILL_S if demo_machine.why_emulated(self._folder) else STILL_S
            while time.monotonic() < changed + still_s:
                now = self._api.get(path)["server"]
                if self._start(now):
                    starts += 1
                    if starts > _STARTS_TRIED:
                        raise DemoFailed(f"{name} does not stay on: it is {now['status']} again")
                if now["status"] == "ERROR":
                    raise DemoFailed(
                        f"{name} is in ERROR: {now.get('fault', {}).get('message', 'no reason')}"
                    )
                if now["status"] == "ACTIVE":
                    server.update(now)
                    console = self._console(path)
                    if "pileus-guest: ssh ready" in console and "pileus-guest: metadata" in console:
                        lease = re.search(r"pileus-guest: lease (\S+)", console)
                        say(lease[1] if lease else now["status"])
                        return
                seen = (now["status"], self._last_step(path), _last_line(console))
                if seen != shown:
                    shown, changed = seen, time.monotonic()
                say.waiting(", ".join(filter(None, seen)))
                time.sleep(look_again_after(time.monotonic() - changed))
            last = _last_line(console) or "nothing on its console"
            raise DemoFailed(
                f"{name} is {now['status']}, and nothing new was seen of it for {still_s:.0f} s; last: {last}"
            )

    def _last_step(self, path: str) -> str:
        """The newest entry of a server's timeline."""
        try:
            entries = self._api.get(f"{path}/os-pileus-timeline")["timeline"]
        except Fault:
            return ""
        return str(entries[-1]["step"]) if entries else ""

    def _console(self, path: str) -> str:
        try:
            return str(self._api.call("POST", f"{path}/action", {"os-getConsoleOutput": {}})["output"])
        except Fault:
            return ""  # not there yet

    def _floating_ip(self, server: dict[str, Any]) -> str:
        with _step("Floating IP") as say:
            port = self._api.get(f"{NETWORK}/ports?device_id={server['id']}")["ports"][0]
            found = self._api.get(f"{NETWORK}/floatingips?port_id={port['id']}")["floatingips"]
            if not found:
                public = self._find(f"{NETWORK}/networks", "networks", "public")
                body = {"floating_network_id": public["id"] if public else "", "port_id": port["id"]}
                found = [self._api.call("POST", f"{NETWORK}/floatingips", {"floatingip": body})["floatingip"]]
            address = str(found[0]["floating_ip_address"])
            say(f"{address} for {server['name']}")
        return address

    def _log_in(self, address: str, servers: dict[str, dict[str, Any]]) -> None:
        first, second = (servers[name] for name in SERVERS)
        console = self._console(f"{COMPUTE}/servers/{first['id']}")
        keys = re.findall(r"pileus-guest: host-key (\S+ \S+)", console)
        other = next(iter(second["addresses"].values()))[0]["addr"]
        with _step(f"ssh to {address}, and ping {other} from there") as say:
            # The guest says its host key on its console, so nothing has to be trusted blindly.
            known_hosts = self._home / "known_hosts"
            known_hosts.write_text("".join(f"{address} {key}\n" for key in keys))
            argv = ["ssh", *SSH, "-o", f"UserKnownHostsFile={known_hosts}"]
            argv += ["-i", str(self._home / "id_ed25519"), f"root@{address}", "ping", "-c", "3", other]
            deadline = time.monotonic() + SSH_WITHIN_S
            while True:
                try:
                    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
                    why = (done.stderr or done.stdout).strip()
                    if done.returncode == 0:
                        break
                except subprocess.TimeoutExpired:
                    why = "no answer within 120 s"
                if time.monotonic() > deadline:
                    raise DemoFailed(f"ssh {address}: {why}")
                say.waiting(why.splitlines()[-1] if why else "no answer")
                time.sleep(0.5)
            summary = re.search(r"\d+ packets transmitted.*", done.stdout)
            say(summary[0] if summary else "answered")

    # -- the way back

    def remove(self) -> None:
        """Delete what ``show`` made, in reverse order."""
        with _step("Delete servers"):
            servers = [s for s in self._api.get(f"{COMPUTE}/servers")["servers"] if s["name"] in SERVERS]
            for server in servers:
                self._api.call("DELETE", f"{COMPUTE}/servers/{server['id']}")
            deadline = time.monotonic() + DELETED_WITHIN_S
            while any(s["name"] in SERVERS for s in self._api.get(f"{COMPUTE}/servers")["servers"]):
                if time.monotonic() > deadline:
                    raise DemoFailed("the servers do not go away; `pileus timeline` says how far they came")
                time.sleep(0.2)
        with _step("Delete networks, image and key pair"):
            self._remove_network()
            self._delete(f"{IMAGE}/images", "images", NAME)
            self._delete(f"{NETWORK}/security-groups", "security_groups", NAME)
            for flavor in self._api.get(f"{COMPUTE}/flavors")["flavors"]:
                if flavor["name"] == FLAVOR["name"]:
                    self._api.call("DELETE", f"{COMPUTE}/flavors/{flavor['id']}")
            names = [one["keypair"]["name"] for one in self._api.get(f"{COMPUTE}/os-keypairs")["keypairs"]]
            if NAME in names:
                self._api.call("DELETE", f"{COMPUTE}/os-keypairs/{NAME}")

    def _remove_network(self) -> None:
        router = self._find(f"{NETWORK}/routers", "routers", NAME)
        subnet = self._find(f"{NETWORK}/subnets", "subnets", NAME)
        if router is not None:
            for floating in self._api.get(f"{NETWORK}/floatingips?router_id={router['id']}")["floatingips"]:
                self._api.call("DELETE", f"{NETWORK}/floatingips/{floating['id']}")
            if subnet is not None and self._api.get(f"{NETWORK}/ports?device_id={router['id']}")["ports"]:
                path = f"{NETWORK}/routers/{router['id']}/remove_router_interface"
                self._api.call("PUT", path, {"subnet_id": subnet["id"]})
            self._api.call("DELETE", f"{NETWORK}/routers/{router['id']}")
        for name in (NAME, "public"):
            self._delete(f"{NETWORK}/networks", "networks", name)

    def _delete(self, path: str, collection: str, name: str) -> None:
        found = self._find(path, collection, name)
        if found is not None:
            self._api.call("DELETE", f"{path}/{found['id']}")


def _last_line(text: str) -> str:
    """Return the last line of a console, without letters that a terminal would not show."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return "".join(letter for letter in lines[-1] if letter.isprintable())[:80] if lines else ""
