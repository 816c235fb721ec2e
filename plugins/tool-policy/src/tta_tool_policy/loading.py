"""Keeps the policy in force: read from a file, whole or not at all, and the last good one stays."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from tta_kernel import Problem

from .engine import Engine
from .model import PolicyStatus, Reloaded
from .reading import Overrides, PolicyError, empty_policy, format_of, read_file, read_policy
from .watching import looks

P = ParamSpec("P")
R = TypeVar("R")
READ_LIMIT = 10.0
"""Seconds that reading a policy and making it ready may take."""
KEPT = 50
"""How many reloads are remembered."""
_SETTLES = 0.1
"""Seconds for which a file that has changed must stay as it is."""
NO_FILE = "no file is configured"


class Stamp(NamedTuple):
    """By what it shows that a file is another one than before, without reading it."""

    changed: int
    size: int
    inode: int


class Loaded(NamedTuple):
    """A policy that is ready, what it was made of, and how its file looked just before it was read."""

    engine: Engine
    text: str
    file: Path | None
    overrides: Overrides
    stamp: Stamp | None


def stamp_of(path: Path | None) -> Stamp | None:
    """Return a file's stamp; None where there is no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def load(file: Path | None, overrides: Overrides) -> Loaded:
    """Read a policy and make it ready; raise a `PolicyError` with every problem. Without a file there is no rule."""
    if file is None:
        return Loaded(empty_policy(overrides), "", None, overrides, None)
    # Before it is read: what is written meanwhile is another one.
    stamp = stamp_of(file)
    text = read_file(file)
    return Loaded(read_policy(text, str(file), format_of(file), overrides), text, file, overrides, stamp)


class Loader:
    """The policy in force, and how it came to be so.

    ``taken`` is called with each engine that is put in force, and ``refused`` with what keeps one from that, both in
    the event loop. ``trouble`` is what is wrong with the file just now, since ``degraded_since``.
    """

    def __init__(
        self,
        file: Path | None,
        overrides: Overrides,
        *,
        taken: Callable[[Engine], None] = lambda engine: None,
        refused: Callable[[Sequence[Problem]], None] = lambda problems: None,
        clock: Callable[[], float] = time.time,
        limit: float = READ_LIMIT,
    ) -> None:
        self.history: deque[Reloaded] = deque(maxlen=KEPT)
        self.trouble: Sequence[Problem] = ()
        self.degraded_since: float | None = None
        self.watching = False
        self.since = clock()
        self._loaded = Loaded(empty_policy(overrides), "", file, overrides, None)
        self._seen: Stamp | None = None
        self._taken = taken
        self._refused = refused
        self._clock = clock
        self._limit = limit
        self._lock = anyio.Lock()
        # Held by the thread that reads: behind a file system that hangs, one thread waits for that, and no more.
        self._reading = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine of the policy in force."""
        return self._loaded.engine

    @property
    def text(self) -> str:
        """The text of the policy in force."""
        return self._loaded.text

    @property
    def source(self) -> str:
        """Where the policy lies."""
        return str(self._loaded.file or NO_FILE)

    def status(self) -> PolicyStatus:
        """Say which policy is in force, since when, and how the last reloads went."""
        text = self.engine.text
        return PolicyStatus(
            source=self.source,
            hash=self.engine.digest,
            since=self.since,
            rules=len(text.deny) + len(text.rules),
            watching=self.watching,
            degraded_since=self.degraded_since,
            problems=tuple(str(problem) for problem in self.trouble[:20]),
            reloads=tuple(self.history),
        )

    async def start(self) -> None:
        """Put the policy in force for the first time; raise a `PolicyError` where that can't be."""
        self.take(await self._load(self._loaded.file, self._loaded.overrides))

    async def reload(self) -> Reloaded:
        """Read the policy again and put it in force at once; where that can't be, the one before stays."""
        async with self._lock:
            self._seen = await self._stamp()
            try:
                found = await self._load(self._loaded.file, self._loaded.overrides)
            except PolicyError as error:
                self._refuse(error.problems)
            else:
                self.take(found)
        return self.history[-1]

    async def look(self) -> None:
        """Notice that the file has become useless, or good again, without putting in force what it says."""
        async with self._lock:
            stamp = await self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                await self._load(self._loaded.file, self._loaded.overrides)
            except PolicyError as error:
                self._refuse(error.problems)
            else:
                self.trouble, self.degraded_since = (), None

    async def prepare(self, file: Path | None, overrides: Overrides) -> Loaded:
        """Make another policy ready, to be taken later; raise a `PolicyError` where that can't be."""
        return await self._load(file, overrides)

    def take(self, found: Loaded) -> None:
        """Put a policy in force: whoever decides about a call just now ends with the one that they began with."""
        if found.engine.digest != self.engine.digest:
            self.since = self._clock()
        self._loaded = found
        self._seen = found.stamp
        self.trouble, self.degraded_since = (), None
        self._remember("")
        self._taken(found.engine)

    async def watch(self, every: float) -> None:
        """Reload whenever the file is another one; never ends, where there is a file."""
        file = self._loaded.file
        if file is None:
            return
        self.watching = True
        async with aclosing(looks(file, every)) as times:
            async for _ in times:
                found = await self._stamp()
                if found == self._seen:
                    continue
                await anyio.sleep(min(every, _SETTLES))
                # Twice the same: whoever writes it has most likely come to the end.
                if found == await self._stamp():
                    await self.reload()

    async def _stamp(self) -> Stamp | None:
        try:
            return await self._in_thread(stamp_of, self._loaded.file)
        except TimeoutError:
            return None

    async def _load(self, file: Path | None, overrides: Overrides) -> Loaded:
        try:
            return await self._in_thread(load, file, overrides)
        except TimeoutError:
            what = f"could not be read within {self._limit:g} s"
            raise PolicyError(Problem(str(file), what, "see to its file system")) from None

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what may block; calls are decided meanwhile, by the policy that is in force."""

        def one_at_a_time() -> R:
            if not self._reading.acquire(timeout=self._limit):
                raise TimeoutError
            try:
                return call(*args, **kwargs)
            finally:
                self._reading.release()

        with anyio.fail_after(self._limit):
            return await anyio.to_thread.run_sync(one_at_a_time, abandon_on_cancel=True)

    def _refuse(self, problems: Sequence[Problem]) -> None:
        self.trouble = problems
        self.degraded_since = self.degraded_since or self._clock()
        self._remember("; ".join(str(problem) for problem in problems)[:1000])
        self._refused(problems)

    def _remember(self, error: str) -> None:
        digest = self.engine.digest
        self.history.append(Reloaded(at=self._clock(), source=self.source, hash=digest, ok=not error, error=error))
