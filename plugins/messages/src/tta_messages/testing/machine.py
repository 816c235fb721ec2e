"""A machine that makes calls up, and compares what an implementation answers with what the reference does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any, NamedTuple, TypeVar

from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tta_messages.memory import MemoryMessages
from tta_messages.model import Delivery, Message, Messages, MessagesConfig, Priority, QueueSettings

from .common import TYPES, Note

T = TypeVar("T")
QUEUES = ("q", "r")
FOR_EVER = 100_000.0


class Held(NamedTuple):
    """One delivery, as both gave it."""

    subject: Delivery
    oracle: Delivery


def _settings(**fields: Any) -> QueueSettings:
    """Return settings with which no time matters: nothing runs out, and a pause is none or for ever."""
    return QueueSettings(
        visibility=FOR_EVER, ttl=FOR_EVER * 9, dedup_window=FOR_EVER, dead_ttl=FOR_EVER, backoff_base=0.0, **fields
    )


CONFIG = MessagesConfig(defaults=_settings(max_length=8, retries=1, starvation_limit=0, dead_limit=4, audit_limit=1000))

queues = st.sampled_from(QUEUES)
ids = st.sampled_from([f"id-{n}" for n in range(12)])
picks = st.integers(0, 99)
"""Which of the deliveries so far, counted round and round."""
messages = st.builds(
    lambda queue, id, priority, owner, delay: Message.to(
        queue, "test.note", Note(id), id=id, priority=priority, owner=owner, delay=delay
    ),
    queues, ids, st.sampled_from(Priority), st.sampled_from(["", "u", "v"]), st.sampled_from([0.0] * 4 + [FOR_EVER]),
)  # fmt: skip


class MessagesMachine(RuleBasedStateMachine):
    """Subclass this, and say in `open` what to compare; `TestCase` of the subclass is the test.

    Of a time there is either nothing or for ever, so both must agree in all that they answer.
    """

    backend = "asyncio"

    def open(self, config: MessagesConfig) -> AbstractAsyncContextManager[Messages]:
        """Return an empty implementation, which takes the types `TYPES`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Held] = []
        self._exit = ExitStack()
        self._portal = self._exit.enter_context(start_blocking_portal(self.backend))
        manager = self._portal.wrap_async_context_manager(self.open(CONFIG))
        self._subject: Messages = self._exit.enter_context(manager)
        self._oracle: Messages = MemoryMessages(CONFIG, TYPES, clock=lambda: 1_000_000_000.0)

    def teardown(self) -> None:
        self._exit.close()

    def _call(self, do: Callable[[Messages], Awaitable[T]]) -> tuple[T, T]:
        return self._portal.call(do, self._subject), self._portal.call(do, self._oracle)

    def _same(self, do: Callable[[Messages], Awaitable[Any]], view: Callable[[Any], Any] = lambda it: it) -> Any:
        subject, oracle = self._call(do)
        assert view(subject) == view(oracle)
        return view(oracle)

    def _pairs(self, held: tuple[Sequence[Delivery], Sequence[Delivery]]) -> Sequence[Held]:
        shown = [[(d.message.id, d.message.queue, d.attempt, d.last_error, d.suspect) for d in each] for each in held]
        assert shown[0] == shown[1]
        return [Held(*pair) for pair in zip(*held, strict=True)]

    def _picked(self, picks: Sequence[int]) -> Sequence[Held]:
        # Neither a Bundle nor a precondition: Hypothesis throws away examples in which nothing is held yet.
        return [self._held[pick % len(self._held)] for pick in picks if self._held]

    def _both(self, held: Sequence[Held], do: Callable[[Messages, Sequence[Delivery]], Awaitable[Any]]) -> None:
        subject = self._portal.call(do, self._subject, [pair.subject for pair in held])
        oracle = self._portal.call(do, self._oracle, [pair.oracle for pair in held])
        assert _plain(subject) == _plain(oracle)

    # Messages come and go

    @rule(sent=st.lists(messages, min_size=1, max_size=4))
    def send(self, sent: Sequence[Message]) -> None:
        self._same(
            lambda m: m.send(*sent), lambda results: [(r.id, r.delivered, r.error, r.duplicate) for r in results]
        )

    @rule(message=messages)
    def broadcast(self, message: Message) -> None:
        self._same(lambda m: m.broadcast(message, QUEUES), lambda results: [(r.id, r.error) for r in results])

    @rule(queue=queues, limit=st.integers(1, 4), done=st.lists(picks, max_size=2))
    def receive(self, queue: str, limit: int, done: Sequence[int]) -> None:
        settled = [self._held.pop(pick % len(self._held)) for pick in done if self._held]
        own, others = [pair.subject for pair in settled], [pair.oracle for pair in settled]
        subject = self._portal.call(lambda: self._subject.receive(queue, limit=limit, done=own))
        oracle = self._portal.call(lambda: self._oracle.receive(queue, limit=limit, done=others))
        self._held += self._pairs((subject, oracle))

    @rule(held=st.lists(picks, max_size=3))
    def ack(self, held: Sequence[int]) -> None:
        self._both(self._picked(held), lambda m, deliveries: m.ack(*deliveries))

    @rule(held=picks, permanent=st.booleans(), delay=st.sampled_from([None, 0.0, FOR_EVER]), error=st.text(max_size=3))
    def nack(self, held: int, permanent: bool, delay: float | None, error: str) -> None:
        async def nack(m: Messages, deliveries: Sequence[Delivery]) -> Any:
            return await m.nack(deliveries[0], error=error, permanent=permanent, delay=delay)

        for each in self._picked([held]):
            self._both([each], nack)

    @rule(held=st.lists(picks, max_size=3))
    def release(self, held: Sequence[int]) -> None:
        self._both(self._picked(held), lambda m, deliveries: m.release(*deliveries))

    @rule(held=picks)
    def extend(self, held: int) -> None:
        for each in self._picked([held]):
            self._both([each], lambda m, deliveries: m.extend(deliveries[0], FOR_EVER))

    @rule(queue=queues, id=ids)
    def cancel(self, queue: str, id: str) -> None:
        self._same(lambda m: m.cancel(queue, id))

    @rule()
    def recover(self) -> None:
        assert not self._same(lambda m: m.recover(), dict)

    # An operator does something

    @rule(queue=queues, length=st.integers(1, 9), retries=st.integers(0, 3), starvation_limit=st.integers(0, 2))
    def configure(self, queue: str, length: int, retries: int, starvation_limit: int) -> None:
        new = _settings(max_length=length, retries=retries, starvation_limit=starvation_limit, dead_limit=4)
        self._same(lambda m: m.configure(queue, new))
        assert self._same(lambda m: m.settings(queue)) == new

    @rule(queue=queues)
    def purge(self, queue: str) -> None:
        self._same(lambda m: m.purge(queue))

    @rule(queue=queues)
    def drop(self, queue: str) -> None:
        self._same(lambda m: m.drop(queue))

    @rule(queue=queues, chosen=st.lists(ids, max_size=2, unique=True))
    def requeue(self, queue: str, chosen: Sequence[str]) -> None:
        self._same(lambda m: m.requeue(queue, *chosen))

    @rule(queue=queues, chosen=st.lists(ids, max_size=2))
    def purge_dead(self, queue: str, chosen: Sequence[str]) -> None:
        self._same(lambda m: m.purge_dead(queue, *chosen))

    @rule(owner=st.sampled_from(["", "u", "v"]))
    def forget(self, owner: str) -> None:
        self._same(lambda m: m.forget(owner))

    # Both are in the same state

    @invariant()
    def stats_agree(self) -> None:
        self._same(lambda m: m.stats(), lambda found: {q: _plain(each) for q, each in found.items() if each.sent})

    @invariant()
    def dead_letters_agree(self) -> None:
        for queue in QUEUES:
            self._same(
                lambda m, queue=queue: m.dead(queue),  # type: ignore[misc]
                lambda letters: [(d.id, d.queue, d.reason, d.error, d.attempts) for d in letters],
            )


def _plain(answer: Any) -> Any:
    if isinstance(answer, list | tuple):
        return list(answer)
    if hasattr(answer, "waiting"):
        # Two stores that are asked one after the other don't agree on how long something has waited.
        counts = {name: getattr(answer, name) for name in answer.__struct_fields__ if name != "oldest_age"}
        return counts | {"waiting": {name: n for name, n in answer.waiting.items() if n}}
    return answer
