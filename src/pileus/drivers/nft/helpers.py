"""Conntrack helpers in a router's table: which protocol's connections are read for further ones. Pure.

A helper is an object that a rule gives to connections to a port, before they are translated. Its kernel
module may be missing; then the kernel refuses the object, and with it the whole load.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from pileus.drivers.nft.table import NamedObject, Rule

_KERNELS = {"h323": "Q.931"}
"""Names of helpers in the kernel, where they are not the API's."""


class Helper(msgspec.Struct, frozen=True, order=True):
    """A helper for connections to a port."""

    helper: str
    protocol: str
    port: int

    @property
    def object(self) -> NamedObject:
        kernels = _KERNELS.get(self.helper, self.helper)
        return NamedObject(
            "ct helper", f"{self.helper}_{self.protocol}".replace("-", "_"), kernels, self.protocol
        )


def objects(helpers: Collection[Helper]) -> tuple[NamedObject, ...]:
    """The objects, each once."""
    return tuple(dict.fromkeys(helper.object for helper in sorted(helpers)))


def rules(helpers: Collection[Helper]) -> Iterable[Rule]:
    """A rule for each port; the last one that fits is the one in force."""
    for one in sorted(helpers):
        port = {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": one.protocol, "field": "dport"}},
                "right": one.port,
            }
        }
        yield Rule("helper", (port, {"ct helper": one.object.name}))
