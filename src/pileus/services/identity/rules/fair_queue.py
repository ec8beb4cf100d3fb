"""A bounded fair queue, in which no client waits for all the work of another: one turn for each, and among a
client's work one for each user.

Full, it makes room for who has little in it by dropping the newest of whoever has most. So the many
requests of one who guesses passwords push out each other, and not the log-in of somebody else.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Origin(msgspec.Struct, frozen=True):
    """The origin of an item: the client (an address), and the user that the work is about."""

    client: str
    user: str


class QueueFull(Exception):
    """There is no room; ``own`` where it is the client's own share that is used up."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.own = own


class FairQueue(Generic[T]):
    """Items by origin, at most ``most`` and at most ``most_of_one`` of one client."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._clients: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._origins: dict[T, Origin] = {}
        self._sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._origins)

    def add(self, origin: Origin, item: T) -> T | None:
        """Put an item at the end of its origin's; returns one that had to leave for it. Raises QueueFull."""
        dropped = None
        if self._sizes.get(origin.client, 0) >= self._most_of_one:
            users = self._clients[origin.client]
            mine = len(users.get(origin.user, ()))
            dropped = self._drop(origin.client, mine + 1, own=True)
        elif len(self) >= self._most:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            if self._sizes[largest] <= self._sizes.get(origin.client, 0) + 1:
                raise QueueFull(own=False)
            dropped = self._drop(largest, 0, own=False)
        self._clients.setdefault(origin.client, OrderedDict()).setdefault(origin.user, deque()).append(item)
        self._origins[item] = origin
        self._sizes[origin.client] = self._sizes.get(origin.client, 0) + 1
        return dropped

    def take(self) -> T | None:
        """The next item, or None."""
        if not self._clients:
            return None
        client, users = next(iter(self._clients.items()))
        user, items = next(iter(users.items()))
        item = items[0]
        users.move_to_end(user)
        self._clients.move_to_end(client)
        self.remove(item)
        return item

    def remove(self, item: T) -> None:
        """Take an item out; nothing happens if it is not there."""
        origin = self._origins.pop(item, None)
        if origin is None:
            return
        users = self._clients[origin.client]
        users[origin.user].remove(item)
        if not users[origin.user]:
            del users[origin.user]
        if not users:
            del self._clients[origin.client]
        self._sizes[origin.client] -= 1
        if not self._sizes[origin.client]:
            del self._sizes[origin.client]

    def _drop(self, client: str, more_than: int, *, own: bool) -> T:
        """Take out the newest item of the client's user with most, if those are more than that many."""
        users = self._clients[client]
        user = max(users, key=lambda one: len(users[one]))
        if len(users[user]) <= more_than:
            raise QueueFull(own=own)
        item = users[user][-1]
        self.remove(item)
        return item
