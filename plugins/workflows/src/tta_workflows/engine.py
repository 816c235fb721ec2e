"""What all runs of a process share: the services that they use, the clock, and the settings."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from anyio.abc import TaskGroup

from tta_agents import Agents
from tta_breakers import Breakers
from tta_capabilities import Capabilities
from tta_kernel import Event
from tta_kernel.isolation import is_interrupt
from tta_messages import Backoff, Messages

from .bulk import BulkAgents
from .clock import Alarms, Clock
from .definition import Retry
from .entrance import Entrance
from .journal import Journal
from .outbox import Outbox
from .pools import Pools
from .validation import CheckOutput


class Settings(msgspec.Struct, frozen=True):
    """How an executor goes about it; times in seconds.

    ``watch_after``: so long a run goes on before this process looks for what others say of it, such as that it is to be
    cancelled: most are over by then, and to look costs as much as a short run. A step that waits for an answer looks
    at once. ``takeovers``: so many processes in a row may vanish with a run that comes no further, before it is set
    aside: a step of it may be what kills them. ``runs`` is how many may be at work, beyond which none begins.
    Without ``claims`` it goes on with no run that others have left. After ``quiet_after`` a run of which nothing has
    come is said to be quiet.
    """

    lease: float = 10.0
    grace: float = 3.0
    patience: float = 2.0
    undo: Retry = Retry(attempts=5, delay=0.5, cap=30.0)
    undo_timeout: float = 60.0
    watch_after: float = 0.5
    window: int = 64
    takeovers: int = 5
    runs: int = 10_000
    claims: bool = True
    quiet_after: float = 600.0


@dataclass
class Engine:
    """The services of a process that runs workflows; ``tasks`` runs them, and there is none before it starts."""

    agents: Agents
    journal: Journal
    clock: Clock
    alarms: Alarms
    log: logging.Logger
    settings: Settings = field(default_factory=Settings)
    capabilities: Capabilities | None = None
    messages: Messages | None = None
    publish: Callable[[Event], None] | None = None
    check_output: CheckOutput | None = None
    breakers: Breakers | None = None
    pools: Pools = field(default_factory=Pools)
    # Where to look again, and how long to pause: nothing that anybody should not guess.
    random: random.Random = field(default_factory=random.Random)
    tasks: TaskGroup | None = None
    interrupt: BaseException | None = None
    """What a stranger's code let out that is to stop the program."""

    def __post_init__(self) -> None:
        self.outbox = Outbox(self)
        self.entrance = Entrance(self)
        self.bulk = BulkAgents(self.journal, self.clock)
        """What acts for runs of `BULK`."""

    def start_soon(self, func: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a function in a task that ends with this process's hold on runs."""
        assert self.tasks is not None
        self.tasks.start_soon(self._run, func, args)

    async def _run(self, func: Callable[..., Awaitable[None]], args: Sequence[object]) -> None:
        try:
            await func(*args)
        except BaseException as exc:  # noqa: BLE001 - all but an interrupt goes on
            self.stop_if_interrupted(exc)

    def stop_if_interrupted(self, exc: BaseException) -> None:
        """Stop everything in order for an interrupt, which asyncio would let out of the event loop; raise all else."""
        if not is_interrupt(exc):
            raise exc
        self.interrupt = exc
        assert self.tasks is not None
        self.tasks.cancel_scope.cancel()

    def backoff(self) -> Backoff:
        """Return what waits while the journal is away."""
        return Backoff(self.log, "runs wait, while their journal can't be reached")

    def pause(self, retry: Retry, attempt: int) -> float:
        """Return how long to wait after that attempt has failed."""
        delay = min(retry.delay * retry.factor ** (attempt - 1), retry.cap)
        return delay * (1 - retry.jitter * self.random.random())
