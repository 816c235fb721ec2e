"""What the exit codes of ``tta`` mean."""

from __future__ import annotations

DONE = 0
WANTING = 1
"""Something was looked for and found wanting, or a required plugin failed while it ran."""
USAGE = 2
"""The command line was wrong; argparse says so, too."""
NOT_STARTED = 3
ABANDONED = 70
"""A plugin did not stop in time: EX_SOFTWARE of sysexits.h."""
UNWRITTEN = 74
"""The output could not be written, because a disk is full, say: EX_IOERR of sysexits.h."""
INTERRUPTED = 130
"""A command was interrupted: 128 + SIGINT, as shells say it."""
UNREAD = 141
"""Nobody reads the output any more: 128 + SIGPIPE."""
