"""Which endpoints to open and to close. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pileus.host.metadata_endpoint import MetadataEndpoint


class EndpointPlan(msgspec.Struct, frozen=True):
    """``close`` goes first: an endpoint may be opened anew in the same place."""

    close: tuple[MetadataEndpoint, ...]
    open: tuple[MetadataEndpoint, ...]

    def __len__(self) -> int:
        return len(self.close) + len(self.open)


def plan_endpoints(
    wanted: Mapping[str, tuple[MetadataEndpoint, ...]],
    opened: Mapping[MetadataEndpoint, int],
    incarnations: Mapping[str, int | None],
) -> EndpointPlan:
    """Compare. ``opened`` has the incarnation of the namespace that an endpoint was opened in; ``wanted`` and
    ``incarnations`` go by namespace. An endpoint waits for its namespace."""
    right = {endpoint for endpoints in wanted.values() for endpoint in endpoints}
    stays = {
        endpoint
        for endpoint, incarnation in opened.items()
        if endpoint in right and incarnations.get(endpoint.namespace) == incarnation
    }
    return EndpointPlan(
        close=tuple(endpoint for endpoint in opened if endpoint not in stays),
        open=tuple(
            endpoint
            for endpoint in sorted(
                right - stays, key=lambda endpoint: (endpoint.namespace, endpoint.address, endpoint.port)
            )
            if incarnations.get(endpoint.namespace) is not None
        ),
    )
