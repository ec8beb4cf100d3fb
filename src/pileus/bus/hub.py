"""Who is listening for which scopes on this server, and telling them.

The hub holds no queue of messages: a listener has one set of scopes that have
changed since it last looked, and the newest position. So a slow listener costs
a set, never a growing list, and a hundred changes of one network are one.

A question to a node (``ask``) goes down the same stream and waits for its answer, which
comes as a call; it is never kept for later.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from pileus.core.errors import Unavailable
from pileus.wire.agents import Wakeup
from pileus.wire.questions import Answer, Question

MOST_STREAMS = 64
"""Of one host. It has some agents with a stream or two each, and those that a broken network left."""
MOST_SCOPES = 500_000
"""In all streams of one host."""


class NobodyAnswers(Unavailable):
    message = "Nobody who serves {scope} answers now."


class Listener:
    """One open stream of a host: waits for changes of the scopes that it named."""

    def __init__(self, scopes: frozenset[str], host: str) -> None:
        self.scopes = scopes
        self.host = host
        self.left = False
        """Nothing comes any more."""
        self._position = 0
        self._changed: set[str] = set()
        self._questions: list[Question] = []
        self._event = asyncio.Event()

    def _tell(self, position: int, scopes: Iterable[str]) -> None:
        self._position = max(self._position, position)
        self._changed.update(scopes)
        self._event.set()

    def _ask(self, question: Question) -> None:
        self._questions.append(question)
        self._event.set()

    def wake(self) -> None:
        """End a waiting ``next`` with an empty wake-up."""
        self._event.set()

    async def next(self, timeout_s: float) -> Wakeup:
        """Wait for what changed since the last call; an empty wake-up when nothing did for ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return Wakeup(self._position)
        self._event.clear()
        changed, self._changed = self._changed, set()
        questions, self._questions = self._questions, []
        return Wakeup(self._position, tuple(sorted(changed)), tuple(questions))


class Hub:
    """All listeners of this server, found by scope."""

    def __init__(self) -> None:
        self._by_scope: defaultdict[str, set[Listener]] = defaultdict(set)
        self._by_host: defaultdict[str, dict[Listener, None]] = defaultdict(dict)
        self._asked: dict[str, tuple[frozenset[str], asyncio.Future[Answer]]] = {}
        self.listeners = 0

    def listen(self, scopes: Iterable[str], host: str = "") -> Listener:
        """Register a listener; ``leave`` must follow. Of a host that has too many the oldest leave."""
        listener = Listener(frozenset(scopes), host)
        theirs = self._by_host[host]
        theirs[listener] = None
        for scope in listener.scopes:
            self._by_scope[scope].add(listener)
        self.listeners += 1
        named = sum(len(one.scopes) for one in theirs)
        for one in list(theirs)[:-1]:
            if len(theirs) <= MOST_STREAMS and named <= MOST_SCOPES:
                break
            named -= len(one.scopes)
            self.leave(one)
            one.wake()
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener."""
        if listener.left:
            return
        listener.left = True
        theirs = self._by_host[listener.host]
        del theirs[listener]
        if not theirs:
            del self._by_host[listener.host]
        for scope in listener.scopes:
            members = self._by_scope[scope]
            members.discard(listener)
            if not members:
                del self._by_scope[scope]
        self.listeners -= 1

    def publish(self, position: int, scopes: Iterable[str]) -> None:
        """Wake those that listen to any of ``scopes``. Call it in the event loop."""
        told: defaultdict[Listener, list[str]] = defaultdict(list)
        for scope in scopes:
            for listener in self._by_scope.get(scope, ()):
                told[listener].append(scope)
        for listener, theirs in told.items():
            listener._tell(position, theirs)

    async def ask(self, scope: str, question: Question, timeout_s: float) -> Answer:
        """Ask who listens to ``scope`` (``hypervisor:HOST``); raises NobodyAnswers."""
        listeners = self._by_scope.get(scope)
        if not listeners:
            raise NobodyAnswers(scope=scope)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[question.question_id] = (frozenset(one.host for one in listeners), answer)
        try:
            for listener in listeners:
                listener._ask(question)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise NobodyAnswers(scope=scope) from None
        finally:
            del self._asked[question.question_id]

    def answered(self, answer: Answer) -> None:
        """An answer has come; one that nobody waits for, or from a host that was not asked, is dropped."""
        hosts, waiting = self._asked.get(answer.question_id, (frozenset(), None))
        if waiting is not None and answer.host in hosts and not waiting.done():
            waiting.set_result(answer)

    def wake_all(self) -> None:
        """Have every open stream look whether it may go on."""
        for listener in {one for several in self._by_scope.values() for one in several}:
            listener.wake()
