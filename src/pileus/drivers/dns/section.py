"""The section of the settings file about the server that names are published to."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class ExternalDnsSection(Section, frozen=True):
    """``[external_dns]``: the server that gets the names of ports and floating IPs (RFC 2136)."""

    server: Annotated[
        str, Description(description="address of the server that takes dynamic updates; empty: none")
    ] = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="its port")] = 53
    tsig_name: Annotated[
        str, Description(description="name of the key that signs updates (TSIG); empty: they are not signed")
    ] = ""
    tsig_secret_file: Annotated[str, Description(description="file with the key's secret, in Base64")] = ""
    tsig_algorithm: Annotated[
        Literal["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
        Description(description="the key's algorithm"),
    ] = "hmac-sha256"
    ttl_s: Annotated[
        int, msgspec.Meta(ge=0, le=604800, description="seconds that others may remember a record")
    ] = 300
    reverse: Annotated[bool, Description(description="publish the names of addresses, too (PTR records)")] = (
        False
    )
    timeout_s: Annotated[
        float, msgspec.Meta(gt=0, le=60, description="seconds until the server counts as unreachable")
    ] = 5.0
    retry_s: Annotated[
        float, msgspec.Meta(gt=0, le=3600, description="seconds until what failed is tried again")
    ] = 30.0
