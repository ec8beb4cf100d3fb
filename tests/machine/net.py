"""Make a network with two ports on the machine's cloud, and print the ports' addresses as JSON.

Runs inside, by the checkout's Python: ``net.py STATE NAME CIDR [KEY=VALUE …]``; pairs go into the network.
"""

import json
import sys
from pathlib import Path

from pileus.app.local import NETWORK, LocalApi
from pileus.app.state import StateFolder


def main(state: str, name: str, cidr: str, *pairs: str) -> None:
    with LocalApi(StateFolder(Path(state))) as api:
        more = {
            key: int(value) if value.isdigit() else value
            for key, _, value in (p.partition("=") for p in pairs)
        }
        network = api.call("POST", f"{NETWORK}/networks", {"network": {"name": name, **more}})["network"]
        subnet = {"network_id": network["id"], "ip_version": 4, "cidr": cidr, "name": name}
        api.call("POST", f"{NETWORK}/subnets", {"subnet": subnet})
        group = {"security_group": {"name": f"{name}-open"}}
        group_id = api.call("POST", f"{NETWORK}/security-groups", group)["security_group"]["id"]
        rule = {"security_group_id": group_id, "direction": "ingress", "ethertype": "IPv4"}
        api.call("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
        found = {}
        for port in ("a", "b"):
            body = {"network_id": network["id"], "name": f"{name}-{port}", "security_groups": [group_id]}
            made = api.call("POST", f"{NETWORK}/ports", {"port": body})["port"]
            found[made["name"]] = {"id": made["id"], "ip": made["fixed_ips"][0]["ip_address"]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
