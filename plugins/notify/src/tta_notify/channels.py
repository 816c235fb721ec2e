"""What carries a notification out of the system, whoever wrote it: it is held to a time, and to its word."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

import anyio
import msgspec

from tta_kernel import KernelError, as_failure, raised_at
from tta_kernel.shapes import fits

from .model import Severity

log = logging.getLogger("tta.notify")
_NAME = r"[a-z][a-z0-9-]{0,63}"
_CODE = r"[A-Za-z0-9._ -]{0,64}"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel is to send. ``id`` stays the same however often it is sent: let receivers know it by that.

    ``to``: an address of the roster, empty for a channel that isn't personal. ``link``: a page on which whoever was
    told can acknowledge it, empty where there is none.
    """

    id: str
    key: str
    topic: str
    severity: Severity
    subject: str
    body: str
    at: float
    to: str = ""
    locale: str = ""
    tier: int = 1
    link: str = ""
    about: Mapping[str, str] = {}


class Accepted(msgspec.Struct, frozen=True):
    """The channel says that it has taken a message; ``said`` is a short code of its answer."""

    said: str = ""


class ChannelError(KernelError):
    """A channel hasn't taken a message: ``code`` says why, and ``retryable`` whether another try makes sense."""

    def __init__(self, code: str, *, retryable: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.retryable = retryable


class Channel(ABC):
    """A way to tell people; a plugin returns its own from the hook ``notification_channels``."""

    name: str
    """What the config calls it."""
    personal: bool = True
    """Whether it needs an address of a person; otherwise it has one of its own, such as a pager's."""

    @abstractmethod
    async def send(self, message: Message) -> Accepted:
        """Send it, or raise `ChannelError`; what returns anything else hasn't taken it."""


async def send_through(channel: Channel, message: Message, limit: float) -> Accepted:
    """Let a channel send a message; whatever else it does, and that it takes longer, is a `ChannelError`."""
    code = "time-limit"
    with anyio.CancelScope(deadline=anyio.current_time() + limit):
        try:
            answer: object = await channel.send(message)
            if isinstance(answer, Accepted) and fits(answer, Accepted):
                return Accepted(_code(answer.said, ""))
            code = "wrong-answer"
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            if isinstance(failure, ChannelError):
                raise ChannelError(_code(failure.code), retryable=failure.retryable is not False) from failure
            # Nothing of its text: it may quote an address, or what was sent.
            log.warning("channel %s raised %s at %s", channel.name, type(exc).__name__, raised_at(exc))
            raise ChannelError("error") from failure
    raise ChannelError(code)


def is_channel(value: object) -> bool:
    """Say whether it has a name that the config can use; its class is a stranger's."""
    name = getattr(value, "name", None)
    return isinstance(value, Channel) and isinstance(name, str) and re.fullmatch(_NAME, name) is not None


def _code(said: object, otherwise: str = "error") -> str:
    return said if isinstance(said, str) and re.fullmatch(_CODE, said) else otherwise
