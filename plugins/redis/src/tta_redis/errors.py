"""What goes wrong between us and a server, and how a store tells it as an error of its own."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from redis.exceptions import ResponseError


class RedisDown(Exception):
    """No server could be reached, or none answered in time.

    ``unknown`` says that the command may have been executed: ask before sending it again, or send
    what does no harm twice with ``retry=True``. Otherwise it was not executed. Never holds what was sent.
    """

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(f"Redis: {reason}{'; whether it was executed is unknown' if unknown else ''}")
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


class StoreErrors:
    """Raises, for what a server refuses or doesn't answer within its block, what ``error`` makes of it.

    What task groups raise of that counts, too. One serves any number of blocks, also at once.
    """

    def __init__(self, error: Callable[[BaseException], Exception]) -> None:
        self._error = error

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(exc, RedisDown | ResponseError):
            raise self._error(exc) from exc
        if isinstance(exc, ExceptionGroup) and (known := exc.subgroup((RedisDown, ResponseError))):
            raise self._error(known.exceptions[0]) from exc
