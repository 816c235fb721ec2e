"""Random histories of three processes whose store goes away, loses answers, news and writes: what holds of each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from tta_breakers import Breakers, BreakersError, BreakerSettings, Permit, Record, Records, Swap
from tta_breakers.testing import Time, breakers_on

pytestmark = pytest.mark.anyio
SETTINGS = BreakerSettings(failures=3, rate=None, open=10, growth=2, longest=40, jitter=0.1, probe=5, successes=2)
WELL = ("call", "call", "all call", "all call", "wait", "end", "die", "trip")
OUTAGES = (*WELL, "away", "back", "back", "faulty")
LOSSES = (*OUTAGES, "lose")
SEEDS = range(20)
STEPS = 120


@dataclass
class Server:
    """What the stores of all processes stand for; it may lose its latest writes, as in a failover."""

    clock: Time
    records: dict[str, Record] = field(default_factory=dict)
    before: dict[str, Record] = field(default_factory=dict)
    stores: list[Store] = field(default_factory=list)

    def lose(self) -> None:
        """Be what it was a few writes ago, and tell everybody that they may have missed something."""
        self.records = dict(self.before)
        for store in self.stores:
            store.miss()


class Store:
    """A process's way to the server."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        self._server, self._dice = server, dice
        self.away = False
        self.faulty = 0.0
        """How often an answer is lost, or a piece of news."""
        self._news: dict[str, Record] = {}
        self._missed = False
        self._filled = anyio.Event()
        server.stores.append(self)

    async def read(self) -> Records:
        self._reach()
        return Records(self._server.clock(), dict(self._server.records))

    async def swap(self, swaps: Sequence[Swap]) -> Records:
        self._reach()
        await anyio.lowlevel.checkpoint()  # Others may be quicker.
        found: dict[str, Record] = {}
        records = self._server.records
        for swap in swaps:
            record = records.get(swap.name, Record())
            if record.stamp == swap.expected:
                if self._dice.random() < 0.3:
                    self._server.before = dict(records)
                record = records[swap.name] = swap.record
                for store in self._server.stores:
                    store.hear(swap.name, record)
            found[swap.name] = record
        if self._dice.random() < self.faulty:
            raise BreakersError("no answer in time")
        return Records(self._server.clock(), found)

    async def news(self, *, wait: float) -> Mapping[str, Record] | None:
        if not self._news and not self._missed:
            self._filled = anyio.Event()
            with anyio.move_on_after(wait):
                await self._filled.wait()
        self._reach()
        await anyio.lowlevel.checkpoint()
        missed, self._missed = self._missed, False
        news, self._news = self._news, {}
        return None if missed else news

    def hear(self, name: str, record: Record) -> None:
        if self.away or self._dice.random() < self.faulty:
            self.miss()
        else:
            self._news[name] = record
            self._filled.set()

    def miss(self) -> None:
        self._missed = True
        self._filled.set()

    def _reach(self) -> None:
        if self.away:
            raise BreakersError("it is away")


@dataclass
class Process:
    """A process, and the probe that it makes."""

    breakers: Breakers
    store: Store
    probe: Permit | None = None
    until: float = 0.0
    alone: bool = False
    """Whether it may have decided without the store when it was given that."""


class History:
    """Lets things happen, and looks at each probe that is given."""

    def __init__(self, what: Sequence[str], seed: int) -> None:
        self.what, self.dice = what, random.Random(seed)
        self.clock = Time()
        self.server = Server(self.clock)
        self.processes: list[Process] = []
        self.trusted = True
        """Whether the server has lost nothing, so that it knows of every probe."""
        self.probes = 0

    async def begin(self, stack: AsyncExitStack) -> None:
        for _ in range(3):
            store = Store(self.server, self.dice)
            on = breakers_on(store, SETTINGS, clock=self.clock, refresh=5.0)
            self.processes.append(Process(await stack.enter_async_context(on.running()), store))

    async def step(self) -> None:
        process = self.dice.choice(self.processes)
        match self.dice.choice(self.what):
            case "call":
                await self.call(process)
            case "all call":
                async with anyio.create_task_group() as tasks:
                    for each in self.processes:
                        tasks.start_soon(self.call, each)
            case "wait":
                self.clock.now += self.dice.choice([0.1, 2.0, 6.0, 30.0])
            case "end" if process.probe is not None:
                self.dice.choice([process.probe.succeeded, process.probe.failed, process.probe.returned])()
                process.probe = None
            case "die":
                process.probe = None  # It never says how that went.
            case "away":
                process.store.away = True
            case "back":
                process.store.away = False
                process.store.miss()
            case "faulty":
                process.store.faulty = self.dice.choice([0.0, 0.0, 0.3])
            case "lose":
                self.server.lose()
                self.trusted = False
            case "trip" if self.dice.random() < 0.2 and not process.store.away:
                with suppress(BreakersError):
                    await process.breakers.trip("x", "by hand")
        for _ in range(self.dice.randrange(6)):
            await anyio.lowlevel.checkpoint()

    async def call(self, process: Process) -> None:
        answer = await process.breakers.breaker("x").admit()
        if not isinstance(answer, Permit):
            return
        if not answer.probe:
            self.dice.choice([answer.failed, answer.failed, answer.succeeded, answer.returned])()
            return
        alone = process.store.away or process.store.faulty > 0 or bool(process.breakers.trouble)
        others = [each for each in self.processes if each.probe is not None and each.until > self.clock.now]
        self.probes += 1
        if self.trusted and not alone:
            assert [each for each in others if not each.alone] == [], "two probes at once"
        process.probe, process.until, process.alone = answer, self.clock.now + SETTINGS.probe, alone

    async def heal(self) -> None:
        """Let all be well from now on, and calls succeed: everything closes, and all agree."""
        for process in self.processes:
            process.probe, process.store.away, process.store.faulty = None, False, 0.0
            process.store.miss()
        with anyio.fail_after(60):
            while not self.closed():
                self.clock.now += 60
                for process in self.processes:
                    answer = await process.breakers.breaker("x").admit()
                    if isinstance(answer, Permit):
                        answer.succeeded()
                await anyio.sleep(0.001)  # What waits after an outage waits by the clock of the machine.

    def closed(self) -> bool:
        breakers = [each.breakers.breaker("x") for each in self.processes]
        told = all(not each.sending and not each.waiting for each in breakers)
        return told and all(each.record.clean and each.expected == breakers[0].expected for each in breakers)


@pytest.mark.parametrize("what", [WELL, OUTAGES, LOSSES], ids=["well", "outages", "losses"])
async def test_whatever_happens_one_probe_is_made_and_all_close_and_agree_in_the_end(what: Sequence[str]) -> None:
    probes = 0
    for seed in SEEDS:
        history = History(what, seed)
        async with AsyncExitStack() as stack:
            await history.begin(stack)
            for _ in range(STEPS):
                await history.step()
            await history.heal()
        probes += history.probes
    assert probes > len(SEEDS), "little was tried"
