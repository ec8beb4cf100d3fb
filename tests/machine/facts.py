"""Print what a machine is like, as JSON: what a cloud that came and went must have left as it was.

Runs inside, with the system's Python and programs. Numbers that move by themselves (counters, handles, ages,
process ids) are left out.
"""

import json
import re
import subprocess
from pathlib import Path

# What the kernel itself or time changes, and what belongs to one link.
_MOVING = re.compile(
    r"^(fs\.(dentry|inode|file-nr|quota|epoll|binfmt)|kernel\.(random|ns_last_pid|pty|tainted|perf)|"
    r"net\.netfilter\.nf_conntrack_(count|generic|tcp|udp|icmp|dccp|gre|sctp|buckets)|"
    r"net\.ipv[46]\.(conf|neigh)\.(?!all|default)|net\.ipv4\.tcp_(fastopen_key|mem)|net\.ipv4\.udp_mem|"
    r"net\.(bridge|mptcp|sctp)|"
    r"dev\.|debug\.|abi\.|user\.|vm\.(max_map|stat))"
)
_FLEETING = re.compile(
    r"\.(scope|device|mount|swap|slice|timer|target|path)$|^(user@|systemd-|ssh@|apt-)|^run-"
)


def said(*command: str) -> str:
    """What a program says; empty where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def lines(*command: str) -> list[str]:
    return sorted(line.strip() for line in said(*command).splitlines() if line.strip())


def links() -> dict[str, object]:
    found = {}
    for link in json.loads(said("ip", "-j", "-d", "address") or "[]"):
        found[link["ifname"]] = {
            "addresses": sorted(
                f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if not one.get("temporary")
            ),
            "up": "UP" in link["flags"],
            "mtu": link["mtu"],
            "kind": link.get("linkinfo", {}).get("info_kind", ""),
        }
    return found


def sysctls() -> dict[str, str]:
    pairs = (line.partition(" = ") for line in said("sysctl", "-a").splitlines())
    return {name: value for name, _, value in pairs if not _MOVING.match(name)}


def units() -> dict[str, str]:
    listed = said("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service,socket")
    words = (line.split() for line in listed.splitlines())
    return {word[0]: word[2] for word in words if len(word) > 3 and not _FLEETING.search(word[0])}


def rules() -> list[str]:
    listed = said("nft", "list", "ruleset")
    return [re.sub(r"packets \d+ bytes \d+", "counter", line) for line in listed.splitlines()]


def switch() -> dict[str, list[str]]:
    return {bridge: lines("ovs-vsctl", "list-ports", bridge) for bridge in lines("ovs-vsctl", "list-br")}


def files() -> list[str]:
    """Paths below /etc, /var/lib, /run, /root and /usr/local, without those that change by themselves."""
    found = [str(path) for path in Path("/etc").rglob("*")]
    for folder, depth in (("/var/lib", 2), ("/run", 1), ("/root", 1), ("/usr/local", 3)):
        pattern = "/".join("*" * depth)
        found += [str(path) for path in Path(folder).glob(pattern)]
    return sorted(
        path for path in found if not re.search(r"-$|\.(pid|lock)$|/systemd/|/dhclient|/apt/", path)
    )


def facts() -> dict[str, object]:
    return {
        "links": links(),
        "routes": lines("ip", "-4", "route") + lines("ip", "rule"),
        "namespaces": [line.split()[0] for line in lines("ip", "netns")],
        "switch": switch(),
        "domains": lines("virsh", "-c", "qemu:///system", "list", "--all", "--name"),
        "networks": lines("virsh", "-c", "qemu:///system", "net-list", "--all", "--name"),
        "rules": rules(),
        "sysctls": sysctls(),
        "units": units(),
        "enabled": lines("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain"),
        "users": [line.split(":")[0] for line in lines("getent", "passwd")],
        "groups": [line.split(":")[0] for line in lines("getent", "group")],
        "mounts": lines("findmnt", "-rno", "TARGET,FSTYPE"),
        "files": files(),
        "programs": sorted(
            {line for line in said("ps", "-eo", "comm=").splitlines() if "kworker" not in line}
        ),
    }


if __name__ == "__main__":
    print(json.dumps(facts(), indent=1))
