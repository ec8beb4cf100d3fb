"""The files of a config drive: OpenStack's tree and EC2's (Nova user guide, "Config drives")."""

from __future__ import annotations

import msgspec

from pileus.services.compute.instance_metadata import ec2, openstack
from pileus.services.compute.instance_metadata.facts import MetadataFacts

_encode = msgspec.json.Encoder().encode


def config_drive(facts: MetadataFacts) -> dict[str, bytes]:
    """The contents of a config drive: the newest folder, the one that old readers look for, EC2's tree."""
    tree: dict[str, bytes] = {}
    for version in ("2012-08-10", "2018-08-27", "latest"):
        files = openstack.files_of(facts, version)
        tree |= {f"openstack/{version}/{name}": data for name, data in files.items()}
    for number in range(len(facts.server["files"] or []) + 1):
        contents = openstack.file_contents(facts, number)
        if contents is not None:
            tree[f"openstack/content/{number:04d}"] = contents
    for version in ("2009-04-04", "latest"):
        tree[f"ec2/{version}/meta-data.json"] = _encode(ec2.document(facts))
        own = openstack.user_data(facts)
        if own is not None:
            tree[f"ec2/{version}/user-data"] = own
    return tree
