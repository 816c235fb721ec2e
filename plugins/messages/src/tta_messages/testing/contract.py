"""The contract that every implementation of `Messages` passes."""

from __future__ import annotations

from .asking import AskingContract
from .keeping import KeepingContract
from .receiving import ReceivingContract
from .sending import SendingContract


class MessagesContract(SendingContract, ReceivingContract, KeepingContract, AskingContract):
    """Subclass this, and give a fixture ``messages``: an `Open`.

    The tests take real, short times, since a store has a clock of its own; none fails because
    something takes longer.
    """
