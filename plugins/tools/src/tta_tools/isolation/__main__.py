"""Fork a supervisor for each connection that comes in through standard input, until that ends."""

from __future__ import annotations

import gc
import os
import signal
import socket

# So that each worker has them: to import them takes longer than most calls.
import tta_tools.declaring
import tta_tools.plain  # noqa: F401

from . import supervisor


def main() -> None:
    """Serve; a child only returns from here by ending."""
    # Nobody asks how a supervisor ended: it says so itself.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A collection would write to all that is shared with each child, and copy it.
    gc.freeze()
    control = socket.socket(fileno=0)
    while True:
        _, files, _, _ = socket.recv_fds(control, 1, 1)
        if not files:
            return
        if not os.fork():
            _supervise(files[0])
        os.close(files[0])


def _supervise(connection: int) -> None:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.dup2(connection, 0)
        os.dup2(connection, 1)
        os.close(connection)
        supervisor.main()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
