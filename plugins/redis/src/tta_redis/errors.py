"""What goes wrong between us and a server, as opposed to what a server answers."""

from __future__ import annotations


class RedisDown(Exception):
    """No server could be reached, or none answered in time.

    ``unknown`` says that the command may have been executed: ask before sending it again, or send
    what does no harm twice with ``retry=True``. Otherwise it was not executed. Never holds what was sent.
    """

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(f"{reason}; whether it was executed is unknown" if unknown else reason)
        self.reason = reason
        self.unknown = unknown


class Unreachable(Exception):
    """One attempt to connect went wrong; another may do better."""


class Refused(Exception):
    """A server that would refuse us however often we came: a wrong password, too old, of the wrong kind."""


class ConnectionLost(Exception):
    """The connection ended under a call; ``sent`` says whether the server may have seen it."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class NoAnswer(Exception):
    """What was sent wasn't answered by its deadline; it may still be."""
