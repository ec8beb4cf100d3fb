"""The machines of this host as they were last seen: domains, their cards, records and disks."""

from __future__ import annotations

from collections.abc import Collection

from pileus.drivers.libvirt.hypervisor import Hypervisor, Power
from pileus.host.hypervisor.machine import power_state
from pileus.host.hypervisor.plan import View
from pileus.host.hypervisor.records import InstanceBook
from pileus.host.hypervisor.volumes import Refusal, still_refused
from pileus.wire.hypervisor import ServerDetails, ServerReport


class Observed:
    """Kept by passes; a machine that a job has touched is seen anew by the next. ``boot_id``: this run of the
    host."""

    def __init__(self, hypervisor: Hypervisor, book: InstanceBook, boot_id: str = "") -> None:
        self._boot_id = boot_id
        self.powers: dict[str, Power] = {}
        self._hypervisor = hypervisor
        self._book = book
        self._cards: dict[str, frozenset[str]] = {}
        self._died: set[str] = set()
        self._stale: dict[str, frozenset[str]] = {}
        self.refused: dict[str, dict[str, Refusal]] = {}
        """By machine and volume."""

    def ids(self) -> set[str]:
        """Servers of which something is here."""
        return {*self._book.all(), *self.powers}

    def cards(self) -> set[str]:
        """Taps that running machines have."""
        return {tap for cards in self._cards.values() for tap in cards}

    async def list(self) -> None:
        """List the machines and their power: one call."""
        self.powers = {state.uuid: state.power for state in await self._hypervisor.list_domains()}
        self._stale = {key: taps for key, taps in self._stale.items() if self.is_running(key)}
        self._died &= {key for key, power in self.powers.items() if power is Power.OFF}

    async def look_at_cards(self, touched: Collection[str], everything: bool) -> None:
        """The cards of running machines, where nobody has looked yet: one call at most."""
        running = {key for key, power in self.powers.items() if power in (Power.RUNNING, Power.PAUSED)}
        self._cards = {key: cards for key, cards in self._cards.items() if key in running}
        unknown = {key for key in running & set(touched) if key not in self._cards}
        if unknown or (everything and running):
            stats = await self._hypervisor.stats(None if everything else unknown)
            for key in running & stats.keys():
                self._cards[key] = frozenset(card.tap for card in stats[key].interfaces)

    def lost_taps(self, taps: Collection[str]) -> set[str]:
        """Taps are gone: the cards of running machines that had them lead nowhere, also when there are such
        taps again. The servers."""
        found = {
            key: cards.intersection(taps) for key, cards in self._cards.items() if cards.intersection(taps)
        }
        for key, names in found.items():
            self._stale[key] = self._stale.get(key, frozenset()) | names
        return set(found)

    def renewed(self, server_id: str) -> None:
        """Its cards were put in anew."""
        self._stale.pop(server_id, None)

    def died(self, server_id: str) -> None:
        """A machine ended as none should."""
        self._died.add(server_id)

    def changed(self, server_id: str) -> None:
        """Its cards may be others now."""
        self._cards.pop(server_id, None)

    def gone(self, server_ids: Collection[str]) -> None:
        """Nothing of these is here any more."""
        for server_id in server_ids:
            self.powers.pop(server_id, None)
            self._cards.pop(server_id, None)
            self.refused.pop(server_id, None)

    def view(self, server_id: str) -> View:
        """One server as a plan needs to know it."""
        instance = self._book.get(server_id)
        return View(
            instance,
            self.powers.get(server_id),
            instance is None or not instance.built or self._book.places(server_id).root_disk.exists(),
            self._cards.get(server_id),
            bool(
                self._boot_id
                and instance is not None
                and instance.boot_id
                and instance.boot_id != self._boot_id
            ),
            self._stale.get(server_id, frozenset()),
            self.refused.get(server_id, {}),
        )

    def is_running(self, server_id: str) -> bool:
        """Whether a machine was seen running, or on its way."""
        return self.powers.get(server_id) in (Power.RUNNING, Power.PAUSED)

    def report(
        self, server_id: str, wanted: ServerDetails | None, in_place: bool, error: str | None
    ) -> ServerReport:
        """A server as the API's side is told of it."""
        instance = self._book.get(server_id)
        generation = instance.generation if instance else wanted.generation if wanted else 0
        power = self.powers.get(server_id)
        if power is Power.OFF and server_id in self._died:
            power = Power.CRASHED
        state = power_state(power, instance.applied if instance else "")
        refused = still_refused(self.refused.get(server_id, {}), wanted)
        if server_id in self.refused:
            self.refused[server_id] = refused
        return ServerReport(
            *(server_id, generation, state, in_place, error),
            volumes=tuple(sorted(instance.volumes)) if instance is not None and instance.built else (),
            refused={key: one.reason for key, one in sorted(refused.items())},
        )
