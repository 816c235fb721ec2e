"""Whether a call waits for a server that is away, or says so at once: who only looks would rather be told."""

from __future__ import annotations

from contextvars import ContextVar

waits_for_servers: ContextVar[bool] = ContextVar("tta_waits_for_servers", default=True)
"""Set it to False around a call, in the task that makes it; a client of a server asks when it can't be reached.

Tasks that are begun within such a call wait no more, either: not for what begins any.
"""
