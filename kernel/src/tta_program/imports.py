"""A time limit for the import of each plugin, kept by a timer's signal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from tta_kernel.wiring import Wiring

from .leaving import abandon

_MAKES = Wiring._choose.__code__
"""What imports and constructs one plugin; whatever is raised meanwhile is kept as that plugin's problem."""
_TICKS = 4
"""How often in a limit to look whether it is still the same one."""
_PATIENCE = 4
"""How many limits, and two seconds more, a plugin may take that catches what interrupts it, or ignores the signal."""


class _Making:
    """What one thread is making, and since when."""

    def __init__(self) -> None:
        self.since = 0.0
        self._frame: FrameType | None = None

    def look(self, frame: FrameType | None) -> bool:
        """Say whether it is a plugin, and still the same one as before."""
        while frame is not None and frame.f_code is not _MAKES:
            frame = frame.f_back
        if frame is not None and frame is self._frame:
            return True
        self._frame = frame
        self.since = monotonic()
        return False

    @property
    def name(self) -> str:
        """The plugin's name."""
        assert self._frame is not None
        return str(self._frame.f_locals["record"].name)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt a plugin that takes longer to be imported and constructed; that is its problem, and the others go on.

    Only the main thread can be interrupted, and only where there are such timers and nobody else has one. What
    catches that again and again, or sits in a library of C that doesn't come back to Python, ends the process.
    """
    timers = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not timers or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    making = _Making()

    def look(number: int, frame: FrameType | None) -> None:
        if making.look(frame) and monotonic() - making.since >= seconds:
            making.since = monotonic()  # Once more a limit later, where it catches this.
            raise TimeoutError(f"it took longer than {seconds:g} s")

    made = threading.Event()
    threading.Thread(target=_end, args=(seconds, threading.get_ident(), made), name="tta imports", daemon=True).start()
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds / _TICKS, seconds / _TICKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        made.set()


def _end(seconds: float, thread: int, made: threading.Event) -> None:
    """End the process where a plugin can't be interrupted, unless all are made before."""
    making = _Making()
    most = _PATIENCE * seconds + 2
    while not made.wait(seconds / _TICKS):
        if making.look(sys._current_frames().get(thread)) and monotonic() - making.since >= most:
            abandon(f"plugin {making.name!r} has been imported or constructed for {most:g} s, and can't be interrupted")
