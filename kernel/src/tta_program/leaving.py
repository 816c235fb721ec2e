"""The last seconds of the process, in which a plugin's thread could keep it from ending."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from typing import NoReturn

from .exits import ABANDONED
from .output import printable_lines

LIMIT = 5.0
"""Seconds that threads, and what is registered with `atexit`, may go on when all is done."""


def watch(limit: float = LIMIT) -> None:
    """Give this process ``limit`` seconds to end by itself; then end it with the exit code of what was abandoned.

    Python waits for every thread that isn't a daemon, for ever, and then calls what is registered with `atexit`.
    """
    threading.Thread(target=_end, args=(limit,), name="tta leaving", daemon=True).start()


def _end(limit: float) -> None:
    threading.Event().wait(limit)
    main = threading.main_thread()
    kept = [it.name for it in threading.enumerate() if not it.daemon and it is not main]
    what = f"the threads {kept}" if kept else "what is registered with atexit"
    abandon(f"{what} did not end within {limit:g} s")


def abandon(why: str) -> NoReturn:
    """Say on standard error why, and where all threads are, and end the process."""
    told = printable_lines(f"tta: abandoned: {why}; this is where all threads are")
    os.write(2, told.encode(errors="backslashreplace") + b"\n")
    end()


def end() -> NoReturn:
    """End the process with all stacks on standard error, and what was printed where somebody takes it."""
    faulthandler.dump_traceback(2, all_threads=True)
    # In another thread, since a reader may have stopped reading.
    flush = threading.Thread(target=sys.stdout.flush, daemon=True)
    flush.start()
    flush.join(1.0)
    os._exit(ABANDONED)
