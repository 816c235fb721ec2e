"""The hooks with which plugins bring channels, and hear that a human has seen a notification."""

from __future__ import annotations

from collections.abc import Sequence

from tta_kernel import hookspec

from .channels import Channel
from .model import Acknowledged


@hookspec()
def notification_channels() -> Sequence[Channel]:
    """Bring channels; what they connect to, they do when they send.

    It is asked before anything runs, too, so that ``tta check`` knows their names.
    """
    raise AssertionError("a specification is never called")


@hookspec(timeout=10.0)
async def notification_acknowledged(acknowledged: Acknowledged) -> None:
    """Do what follows from it that a human has seen a notification, or raise: then it is told again, ever later.

    The acknowledgement is stored before, and stays untold until everybody has returned, so it can't be lost. It may
    come more than once, and from another process than the one that sent the notification.
    """
    raise AssertionError("a specification is never called")
