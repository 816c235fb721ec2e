"""A time limit for the import of each plugin, kept by a timer's signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from tta_kernel.wiring import Wiring

_MAKES = Wiring._choose.__code__
"""What imports and constructs one plugin; whatever is raised meanwhile is kept as that plugin's problem."""
_TICKS = 4
"""How often in a limit to look whether it is still the same one."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt a plugin that takes longer to be imported and constructed; that is its problem, and the others go on.

    Only the main thread can be interrupted, and only where there are such timers and nobody else has one. What
    a library of C does without coming back to Python can't be, either: the watch of the wiring names it.
    """
    timers = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not timers or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    made: FrameType | None = None
    since = 0.0

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal made, since
        while frame is not None and frame.f_code is not _MAKES:
            frame = frame.f_back
        if frame is None or frame is not made:
            made = frame
            since = monotonic()
        elif monotonic() - since >= seconds:
            since = monotonic()  # Once more a limit later, where it catches this.
            raise TimeoutError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds / _TICKS, seconds / _TICKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
