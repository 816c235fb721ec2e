"""Threads that name whatever blocks an event loop, or the wiring of plugins, while it lasts."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Self

from tta_kernel import Kernel, check_duration, discovery
from tta_kernel.discovery import Classes
from tta_kernel.errors import delays

from .blame import Owners, Place, entered, place

if TYPE_CHECKING:
    from .loops import Loop  # It needs asyncio, which no wiring has to wait for.

log = logging.getLogger("tta.kernel")
LIMIT = 1.0
"""Seconds of a block that nobody hears of."""
BLOCKED = "the event loop was blocked for"
"""How a time-out begins that came of a block."""
_KEPT = 32
"""How many blocks of the past are remembered, for time-outs to tell."""
_PAUSE = 0.25
"""Seconds between two looks: they cost what four wake-ups a second cost, and no message anything."""


class _Watch:
    """A thread that watches the one that it was started in."""

    def __init__(self, limit: float) -> None:
        check_duration("limit", limit)
        self._limit = limit
        self._pause = min(_PAUSE, limit / 4)
        self._thread_id = 0
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch this thread; a limit of 0 seconds means never."""
        self._thread_id = threading.get_ident()
        if self._limit:
            self._thread = threading.Thread(target=self._run, name="tta watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._left.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if self._thread is not None:
            # Its last line comes before whatever is told next.
            self._thread.join(1.0)

    def _run(self) -> None:
        raise NotImplementedError


class Block:
    """A time in which an event loop did nothing else: since when, until when, and where it was."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended: float | None = None
        self.places: list[Place] = []

    def add(self, place: Place) -> None:
        """Note where it is now; one place of each plugin is enough."""
        if place.plugin not in [it.plugin for it in self.places] and len(self.places) < 3:
            self.places.append(place)

    def seconds(self, since: float = 0.0) -> float:
        """Return how long it has lasted; 0 where all of that lies before ``since``."""
        ended = self.ended or monotonic()
        return ended - self.began if ended > since else 0.0

    def __str__(self) -> str:
        return ", then ".join(map(str, self.places)) or "what could not be seen"


class LoopWatch(_Watch):
    """Warns while the event loop is blocked: by which plugin, where in its code, and for how long.

    ``with LoopWatch(kernel):`` around what runs the kernel, in its event loop; or `start` before the kernel starts, and
    `stop`. Told is a block that lasts for ``limit`` seconds (else for ``kernel.block_warning``), again whenever it has
    lasted twice as long, and how long it was in all. A time-out in this kernel says so, too, where it came of a block.
    """

    def __init__(self, kernel: Kernel, limit: float | None = None) -> None:
        if limit is None:
            limit = getattr(kernel.settings, "block_warning", LIMIT)
        super().__init__(limit)
        self._kernel = kernel
        self._blocks: deque[Block] = deque(maxlen=_KEPT)
        self._answered = threading.Event()
        self._answered_at = 0.0

    def start(self) -> None:
        """Begin to watch the event loop that runs in this thread; a limit of 0 seconds means never."""
        from .loops import Loop

        self._loop: Loop = Loop()
        delays.set(self.delay)
        super().start()

    def stop(self) -> None:
        """Watch no longer."""
        super().stop()
        # Whoever is stopping isn't blocked, and mustn't wait here for what only this thread can answer.
        self._answer()

    def delay(self, seconds: float) -> str:
        """Say what blocked the event loop within the last ``seconds`` (``…: ``); empty where nothing did."""
        since = monotonic() - seconds
        blocks = [it for it in [*self._blocks] if it.seconds(since)]
        if not blocks:
            return ""
        whole = sum(it.seconds() for it in blocks)
        return f"{BLOCKED} {whole:.1f} s by {max(blocks, key=Block.seconds)}: "

    def _run(self) -> None:
        while True:
            self._answered.clear()
            if self._left.is_set():  # `stop` has answered before that was cleared.
                return
            asked = monotonic()
            try:
                self._loop.schedule(self._answer)
            except RuntimeError:  # The event loop has ended.
                return
            if not self._answered.wait(self._limit):
                self._tell(Block(asked))
            self._left.wait(self._pause)

    def _answer(self) -> None:
        """Say, in the event loop's thread, that it isn't blocked, or no longer."""
        self._answered_at = monotonic()
        self._answered.set()

    def _tell(self, block: Block) -> None:
        """Name a block until it ends, at growing intervals."""
        # A thread that was itself woken late has seen nothing of what went before.
        unseen = block.seconds() > 2 * self._limit + 1.0
        self._blocks.append(block)
        owners = Owners(record.found for record in self._kernel.records.values())
        pause = self._limit
        while not self._answered.is_set():
            frame = sys._current_frames().get(self._thread_id)
            if frame is None or self._left.is_set():
                break
            at = place(frame, owners, task=self._loop.task(frame))
            block.add(at)
            what = f"the event loop has been blocked for {block.seconds():.1f} s, now by {at}"
            if unseen:
                what += ", and no other thread ran, either: the process was stopped, or that code let none"
                unseen = False
            log.warning("%s", what)
            del frame
            self._answered.wait(pause)
            pause *= 2
        block.ended = self._answered_at if self._answered.is_set() else monotonic()
        log.warning("the event loop was blocked for %.1f s in all, by %s", block.seconds(), block)


class WiringWatch(_Watch):
    """Warns while plugins are imported and constructed: which one takes ``limit`` seconds, and where in its code.

    ``with WiringWatch():`` around what makes a kernel; ``plugins`` are the host's own, as the kernel gets them. No
    event loop could answer yet: a plugin holds the others up for as long as the thread doesn't leave its code.
    """

    def __init__(self, limit: float = LIMIT, *, plugins: Classes | None = None) -> None:
        super().__init__(limit)
        self._plugins = plugins or {}

    def _run(self) -> None:
        code, since, due = None, 0.0, 0.0
        named: Place | None = None
        while not self._left.wait(self._pause):
            frame = sys._current_frames().get(self._thread_id)
            if frame is None:
                return
            now = monotonic()
            if (found := entered(frame)) is not code:
                if named:
                    log.warning("it took %.1f s in all: %s", now - since, named)
                code, since, due, named = found, now, self._limit, None
            elif code is not None and now - since >= due:
                # Found once more, since those that are being wired are nobody's to see yet.
                at = place(frame, Owners(discovery.find(self._plugins, beside=True)[0].values()))
                due *= 2
                if at.plugin:  # It may be a module of Python's own that the kernel needs now.
                    named = at
                    log.warning("all has waited for %.1f s for %s", now - since, at)
            del frame
        if named:
            log.warning("it took %.1f s in all: %s", monotonic() - since, named)
