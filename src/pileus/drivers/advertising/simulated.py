"""Router advertisements that nobody hears."""

from __future__ import annotations

from collections.abc import Collection

from pileus.drivers.advertising.advertisers import Advertisement


class SimulatedAdvertisers:
    """Remembers advertisements and sends none. ``current`` is what is advertised, ``taken_back`` what was."""

    def __init__(self) -> None:
        self.current: set[Advertisement] = set()
        self.taken_back: list[Advertisement] = []

    async def advertise(self, wanted: Collection[Advertisement]) -> None:
        """See Advertisers."""
        places = {(item.namespace, item.interface) for item in wanted}
        self.taken_back += [item for item in self.current if (item.namespace, item.interface) not in places]
        self.current = set(wanted)

    def close(self) -> None:
        """See Advertisers."""
        self.current = set()
